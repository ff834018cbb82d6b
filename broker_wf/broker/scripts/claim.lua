--! claim: lease what waits in the lanes a worker serves; drop what belongs to ended runs.
--! use places buffers emit dead
--! key watch   ZSET
--! key claimed STRING
--! arg worker   str
--! arg nonce    str   fence of every lease made here
--! arg free     int   deliveries the worker can start now
--! arg held     int   deliveries it executes now
--! arg greedy   int   1: take more than a fair share
--! arg again    int   1: the reply to this very claim was lost
--! arg lease_ms int
--! arg serves   pack  list of {lane, digest, {step = num_workers}}
--! reply pack {list of deliveries, 1 if a fair share left work behind}

local now = now_ms()
local out, capped, runs, refs = {}, 0, {}, {}
local INLINE_BATCH = 1000

local function run_of(rid)
  if runs[rid] == nil then runs[rid] = load_run(rid) or false end
  return runs[rid]
end

local function handed(rid, did, rec, run)
  local given = { r = rid, d = did, s = rec.s, t = rec.t, p = rec.p, a = rec.a, c = rec.c, m = rec.m, f = rec.f,
    g = rec.g, w = run.workflow, q = run.lane, j = rec.j, l = rec.l, x = rec.x, dl = run.begun }
  if rec.j and rec.j ~= 'slots' then
    local key = batch_key(rid, rec.j, rec.s)
    given.size = redis.call('LLEN', key)
    if given.size <= INLINE_BATCH then given.batch = redis.call('LRANGE', key, 0, -1) end
  end
  if run.buffers then given.buffers = snapshot(rid, rec.s, rec.t) end
  return given
end

local function begin_run(run, rid)
  if run.started then return end
  run.started, run.begun = now, run.timeout_ms
  redis.call('HSET', run_key(rid), 'started_ms', string.format('%.0f', now))
  if run.timeout_ms > 0 then
    redis.call('HSET', run_key(rid), 'deadline_ms', string.format('%.0f', now + run.timeout_ms))
    redis.call('ZADD', watch_key(), now + run.timeout_ms, rid .. '|!deadline')
  end
end

local function lease(run, rid, did, rec, place)
  rec.st, rec.n, rec.w, rec.l, rec.d, rec.x = 'l', nonce, worker, place, now + lease_ms, now
  rec.f = rec.f or now
  save_record(rid, did, rec)
  redis.call('ZADD', watch_key(), rec.d, rid .. '|' .. did)
  redis.call('ZREM', queued_key(), rid .. '|' .. did)
  if place then hold_place(run, rid, did, rec, rec.d) end
  begin_run(run, rid)
  refs[#refs + 1] = { rid, did }
  out[#out + 1] = handed(rid, did, rec, run)
end

-- A run of another graph goes to the stream that only workers with its digest read.
local function set_aside(run, rid, did, rec)
  retire_record(run, rid, did, rec)
  rec.h = '#' .. run.digest
  ring(enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now), 1)
end

-- One entry that this step's group was given. True if it became a lease.
local function take(key, digest, step, entry, place)
  local id, f = entry[1], entry[2]
  if #f ~= 6 or f[1] ~= 'r' or f[3] ~= 'e' or f[5] ~= 's' then
    redis.call('XACK', key, step, id)
    redis.call('XDEL', key, id)
    dead_letter({ kind = 'malformed', entry = id, stream = key, fields = f, at = now })
    return false
  end
  local rid, eid, named = f[2], f[4], f[6]
  local run, did = run_of(rid), eid .. '@' .. step
  local rec = run and run.status == 'running' and load_record(rid, did) or nil
  if not rec or rec.i ~= id then
    retire(key, rid, eid, named, step, id)
    return false
  end
  if rec.st ~= 'q' then return false end
  if run.digest ~= digest then
    set_aside(run, rid, did, rec)
    return false
  end
  lease(run, rid, did, rec, place)
  return true
end

local function read(key, step, consumer, count)
  local got = redis.pcall('XREADGROUP', 'GROUP', step, consumer, 'COUNT', count, 'STREAMS', key, '>')
  if got and got.err then
    redis.call('XGROUP', 'CREATE', key, step, '0', 'MKSTREAM')
    got = redis.call('XREADGROUP', 'GROUP', step, consumer, 'COUNT', count, 'STREAMS', key, '>')
  end
  return got and got[1][2] or {}
end

local function share(lane, key)
  if greedy == 1 then return free end
  local length = redis.call('XLEN', key)
  if length <= 1 then return free end
  local workers = redis.call('ZCARD', serving_key(lane))
  if workers <= 1 then return free end
  return math.max(1, math.ceil(length / workers) - held - #out)
end

local function read_limited(lane, digest, pair, key, step, limit, count)
  local places, exhausted = free_places(lane, step, limit, now), false
  for i = 1, math.min(#places, count) do
    local entries = read(key, step, tostring(places[i]), 1)
    if #entries == 0 then exhausted = true break end
    if take(key, digest, step, entries[1], places[i]) then free = free - 1 end
  end
  if #places == 0 then
    redis.call('SADD', parked_key(base_lane(lane), step), lane .. '/' .. pair)
    redis.call('ZREM', ready_key(lane), pair)
  end
  return exhausted
end

local function serve(lane, digest, limits, pair)
  local kind, name, step = string.match(pair, '^(%a):([^|]+)|(.+)$')
  local key = kind == 'a' and again_key(lane, name) or work_key(lane, name)
  local count = math.min(free, share(lane, key))
  local exhausted
  if limits[step] then
    exhausted = read_limited(lane, digest, pair, key, step, limits[step], count)
  else
    local entries = read(key, step, worker, count)
    for _, entry in ipairs(entries) do
      if take(key, digest, step, entry, nil) then free = free - 1 end
    end
    exhausted = #entries < count
  end
  if exhausted then
    redis.call('ZREM', ready_key(lane), pair)
  else
    redis.call('ZADD', ready_key(lane), 'XX', now, pair)
    if count < free then capped = 1 end
  end
end

if again == 1 then
  local kept = redis.call('GET', claimed_key(worker))
  kept = kept and cmsgpack.unpack(kept) or { '', {} }
  if kept[1] == nonce then
    for _, ref in ipairs(kept[2]) do
      local rec, run = load_record(ref[1], ref[2]), run_of(ref[1])
      if run and rec and rec.st == 'l' and rec.n == nonce then out[#out + 1] = handed(ref[1], ref[2], rec, run) end
    end
    return cmsgpack.pack({ out, 0 })
  end
end

for _, one in ipairs(serves) do
  local pairs_here = redis.call('ZRANGE', ready_key(one[1]), 0, 127)
  for _, kind in ipairs({ 'a', 'w' }) do
    for _, pair in ipairs(pairs_here) do
      if free <= 0 then break end
      if string.sub(pair, 1, 1) == kind then serve(one[1], one[2], one[3], pair) end
    end
  end
end
if #refs > 0 then redis.call('SET', claimed_key(worker), cmsgpack.pack({ nonce, refs }), 'PX', lease_ms) end
return cmsgpack.pack({ out, capped })
