--! sweep: look at what is due: leases that ran out, delays that are over, deadlines, entries that were lost.
--! use end finish dead
--! key swept STRING
--! arg limit       int  members looked at in each watch set
--! arg lease_ms    int
--! arg max_crashes int
--! reply list: how many were due, how many went back to a stream, how many runs ended

local now = now_ms()
local due, redone, ended = 0, 0, 0
local last = tonumber(redis.call('GET', swept_key()) or now)
local gap = now - last > 3 * lease_ms and now - last or 0
local groups = {}

local function time_out(run, rid)
  if gap > 0 then
    redis.call('ZADD', watch_key(), now + gap, rid .. '|!deadline')
    return
  end
  local active, seen = {}, {}
  local all = redis.call('HVALS', live_key(rid))
  for _, raw in ipairs(all) do
    local rec = cmsgpack.unpack(raw)
    if rec.st == 'l' and not seen[rec.s] then
      seen[rec.s] = true
      active[#active + 1] = rec.s
    end
  end
  table.sort(active)
  local why = cmsgpack.pack({ kind = 'timeout', timeout_ms = run.timeout_ms, steps = active })
  finish(run, rid, now, { status = 'timed_out', error = '!' .. why, name = '!timed_out', payload = why })
  ended = ended + 1
end

local function poison(run, rid, did, rec)
  local why = { kind = 'poison', run = rid, delivery = did, step = rec.s, event = rec.t, crashes = rec.c,
    workers = rec.z, workflow = run.workflow }
  local tx = begin(run, rid, now)
  end_delivery(tx, did, rec, 'poison')
  local packed = cmsgpack.pack(why)
  why.payload, why.at = rec.p, now
  dead_letter(why)
  finish(run, rid, now, { status = 'failed', error = '!' .. packed, name = '!poison', payload = packed, step = rec.s })
  ended = ended + 1
end

local function lease_over(run, rid, did, rec)
  rec.c = rec.c + 1
  rec.z = rec.z or {}
  rec.z[#rec.z + 1] = rec.w
  if rec.c >= max_crashes then return poison(run, rid, did, rec) end
  free_place(run, rid, did, rec)
  free_lock(run, rid, did, rec.n)
  ring(redispatch(run, rid, did, rec, now), 1)
  redis.call('ZREM', watch_key(), rid .. '|' .. did)
  redone = redone + 1
end

local function look_at(member)
  local at = string.find(member, '|', 1, true)
  local rid, did = string.sub(member, 1, at - 1), string.sub(member, at + 1)
  local run = load_run(rid)
  local live = run and run.status == 'running'
  if live and did == '!deadline' then return time_out(run, rid) end
  local rec = live and load_record(rid, did)
  if rec and rec.st == 'l' then return lease_over(run, rid, did, rec) end
  redis.call('ZREM', watch_key(), member)
  if rec and rec.st == 'd' then
    ring(enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now), 1)
    redone = redone + 1
  end
end

local function last_delivered(key, step)
  if not groups[key] then
    groups[key] = {}
    local info = redis.pcall('XINFO', 'GROUPS', key)
    if not info.err then
      for _, one in ipairs(info) do
        local group = {}
        for i = 1, #one, 2 do group[one[i]] = one[i + 1] end
        groups[key][group['name']] = group['last-delivered-id']
      end
    end
  end
  return groups[key][step]
end

local function earlier(a, b)
  local a1, a2 = string.match(a, '(%d+)-(%d+)')
  local b1, b2 = string.match(b, '(%d+)-(%d+)')
  a1, a2, b1, b2 = tonumber(a1), tonumber(a2), tonumber(b1), tonumber(b2)
  return a1 < b1 or (a1 == b1 and a2 <= b2)
end

-- An entry that its group can still be given: there, and behind what the group has delivered.
local function reachable(key, step, entry)
  if #redis.call('XRANGE', key, entry, entry) == 0 then return false end
  local last = last_delivered(key, step)
  if not last then
    redis.call('XGROUP', 'CREATE', key, step, '0', 'MKSTREAM')
    groups[key][step] = '0-0'
    return true
  end
  return not earlier(entry, last)
end

local function look_at_queued(member)
  local at = string.find(member, '|', 1, true)
  local rid, did = string.sub(member, 1, at - 1), string.sub(member, at + 1)
  local run = load_run(rid)
  local rec = run and run.status == 'running' and load_record(rid, did)
  if not rec or rec.st ~= 'q' then
    redis.call('ZREM', queued_key(), member)
    return
  end
  local key, lane = stream_of(run, rec), lane_of(run, rec)
  if reachable(key, rec.s, rec.i) then
    redis.call('ZADD', queued_key(), now + run.check_ms, member)
    redis.call('ZADD', ready_key(lane), 'NX', 0, rec.k .. ':' .. rec.t .. '|' .. rec.s)
    ring(lane, 1)
    return
  end
  ring(redispatch(run, rid, did, rec, now), 1)
  redone = redone + 1
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', watch_key(), '-inf', now, 'LIMIT', 0, limit)) do
  due = due + 1
  look_at(member)
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', queued_key(), '-inf', now, 'LIMIT', 0, limit)) do
  due = due + 1
  look_at_queued(member)
end
redis.call('SET', swept_key(), string.format('%.0f', now))
return { due, redone, ended }
