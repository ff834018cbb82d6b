--! use lease groups guard dispatch emit notes
-- Reading the groups of a lane, each entry once: it becomes a lease, or it is dropped or set aside.
-- claim is what one claim asks and finds: worker, nonce, lease_ms, now, free, held, waited, runs, out, refs, capped,
-- read (records, by run and delivery), leased (see lib/lease.lua),
-- per_run (num_workers_per_run by step, of the lane that is read), kind (of the stream that is read).

local function run_of(claim, rid)
  if claim.runs[rid] == nil then claim.runs[rid] = load_run(rid) or false end
  return claim.runs[rid]
end

local FRAIL_PAUSE_MS = 250

-- A frail delivery shares its worker with no other: what only was beside a poisonous one must not count as poison too.
local function postpone(claim, run, rid, did, rec)
  retire_record(run, rid, did, rec)
  rec.st, rec.i, rec.d = 'd', nil, claim.now + FRAIL_PAUSE_MS
  save_record(rid, did, rec)
  redis.call('ZREM', queued_key(), rid .. '|' .. did)
  redis.call('ZADD', watch_key(), rec.d, rid .. '|' .. did)
end

-- Both streams of a step may have given one id to entries of the same millisecond. What is spoiled is looked at elsewhere.
local function is_in_other_stream(claim, rec)
  return rec.k ~= claim.kind and (rec.k == 'a' or rec.k == 'w')
end

-- Reads the records that entries point at, in one command for each run: most entries of a group are of few runs.
local function read_ahead(claim, step, entries)
  local dids = {}
  for _, entry in ipairs(entries) do
    entry.rid, entry.eid, entry.named = parsed(entry)
    if entry.rid then
      entry.did = entry.eid .. '@' .. step
      local those = dids[entry.rid]
      if those then those[#those + 1] = entry.did else dids[entry.rid] = { entry.did } end
    end
  end
  claim.read = {}
  for rid, those in pairs(dids) do
    local raws = those[2] and redis.pcall('HMGET', live_key(rid), unpack(those))
    if raws and not raws.err then
      local read = {}
      claim.read[rid] = read
      for i, did in ipairs(those) do read[did] = raws[i] end
    end
  end
end

local function record_ahead(claim, rid, did)
  local read = claim.read[rid]
  local raw = read and read[did]
  if raw == nil then return load_record(rid, did) end
  return raw and record_of(raw, did) or nil
end

-- One entry that the group was given. 1 if it became a lease, else 0.
local function take(claim, key, digest, step, entry, place)
  local rid, eid, named, did = entry.rid, entry.eid, entry.named, entry.did
  if not rid then
    drop_malformed(key, step, entry, claim.now)
    return 0
  end
  local run = run_of(claim, rid)
  local rec = run and run.status == 'running' and record_ahead(claim, rid, did) or nil
  if not rec or rec.i ~= entry[1] or is_in_other_stream(claim, rec) then
    retire(key, rid, eid, named, step, entry[1])
  elseif rec.st == 'q' and run.digest ~= digest then
    set_aside(run, rid, did, rec, claim.now)
  elseif rec.st == 'q' and is_full(run, rid, step, claim.per_run[step], claim.now) then
    hold(run, rid, did, rec, claim.per_run[step])
  elseif rec.st == 'q' and rec.c >= claim.frail_at and not claim.frail_free then
    postpone(claim, run, rid, did, rec)
  elseif rec.st == 'q' then
    if rec.c >= claim.frail_at then claim.frail_free = false end
    claim.refs[#claim.refs + 1] = { rid, did, place and base_lane(lane_of(run, rec)), step, place }
    enter(rid, did, rec, claim.per_run[step])
    claim.out[#claim.out + 1] = lease(claim, run, rid, did, rec, place)
    claim.free = claim.free - 1
    return 1
  end
  return 0
end

-- As take; an entry that breaks it is dropped.
local function taken(claim, key, digest, step, entry, place)
  local fine, count = pcall(take, claim, key, digest, step, entry, place)
  if fine then return count end
  tell_broken(claim.now, { key, step, entry[1] }, count)
  redis.call('XACK', key, step, entry[1])
  redis.call('XDEL', key, entry[1])
  return 0
end

-- After so many rounds in which others did not come for their shares, a worker takes what is left.
local PATIENT_ROUNDS = 4

-- How many of a stream's entries one worker takes while others serve the lane too: its fair share, and of what the
-- others have not come for a little at first, then more. They may be about to: on a busy machine a worker can need
-- long to hear its bell. Of a limited step there is no more to share than its places.
local function share(claim, lane, key, limit)
  if claim.waited >= PATIENT_ROUNDS then return claim.free end
  local length = math.min(redis.call('XLEN', key), limit or math.huge)
  if length <= 1 then return claim.free end
  local workers = redis.call('ZCARD', serving_key(lane))
  if workers <= 1 then return claim.free end
  local fair, more = length / workers, 1 + (claim.waited / PATIENT_ROUNDS) ^ 2
  return math.max(1, math.ceil(fair * more) - claim.held - #claim.out)
end

-- Entries of other steps and of ended runs are read over, so many times a group's count; the next claim goes on.
local ROUNDS = 8

-- A consumer of a limited step's group is a place; each takes one delivery. True if nothing more can be read now.
local function fill_places(claim, digest, key, step, places, count)
  local open, exhausted = { unpack(places, 1, math.min(#places, count)) }, false
  for _ = 1, ROUNDS do
    local entries, left = {}, {}
    for i, place in ipairs(open) do
      entries[i] = read_group(key, step, tostring(place), 1)[1]
      exhausted = not entries[i]
      if exhausted then break end
    end
    read_ahead(claim, step, entries)
    for i, entry in ipairs(entries) do
      if taken(claim, key, digest, step, entry, open[i]) == 0 then left[#left + 1] = open[i] end
    end
    if exhausted or not left[1] then return exhausted end
    open = left
  end
  return false
end

-- Those of one step, together: {until, member, …}.
local function hold_places(lane, step, held)
  if not held[1] then return end
  redis.call('ZADD', running_key(base_lane(lane), step), unpack(held))
  expire_private(lane, running_key(base_lane(lane), step))
end

-- As fill_places, with the places that are free.
local function read_limited(claim, lane, digest, pair, key, step, limit, count)
  local places = free_places(lane, step, limit, claim.now)
  if #places == 0 then
    park(lane, step, pair)
    return true
  end
  local exhausted = fill_places(claim, digest, key, step, places, count)
  -- Before anything else asks which are free.
  hold_places(lane, step, claim.leased.held)
  claim.leased.held = {}
  return exhausted
end

-- True if the group has no more.
local function read_unlimited(claim, digest, key, step, count)
  for _ = 1, ROUNDS do
    local entries, leased = read_group(key, step, claim.worker, count), 0
    read_ahead(claim, step, entries)
    for _, entry in ipairs(entries) do leased = leased + taken(claim, key, digest, step, entry, nil) end
    if #entries < count then return true end
    count = count - leased
    if count == 0 then return false end
  end
  return false
end

-- What a claim does for a run beside handing its deliveries out: the next part of its backlog, and what is told of it.
local function look_after(claim, rid, run)
  if run.status == 'running' and run.backlog then
    local tx = begin(run, rid, claim.now)
    refill(tx)
    if tx.made > 0 then ring(run.lane, tx.made) end
  end
  if run.notes then notes().publish(run, rid, claim.now) end
end

local function serve(claim, lane, digest, limits, pair)
  local mark, kind, name, step = string.match(pair, '^([+-]?)([aw]):([^|]+)|(.+)$')
  local ranked = lane .. (RANKS[mark] or '')
  claim.kind = kind
  local key = kind == 'a' and again_key(ranked, name) or work_key(ranked, name)
  local count, exhausted = math.min(claim.free, share(claim, lane, key, limits[step])), false
  if limits[step] then
    exhausted = read_limited(claim, lane, digest, pair, key, step, limits[step], count)
  else
    exhausted = read_unlimited(claim, digest, key, step, count)
  end
  if exhausted then
    redis.call('ZREM', ready_key(lane), pair)
  else
    redis.call('ZADD', ready_key(lane), 'XX', decimal(claim.now), pair)
    if claim.free > 0 then claim.capped = 1 end
    -- The bell that was meant for another may have been heard by who needed none, and is full by now.
    local is_left = claim.free <= 0 or claim.waited > 0
    if is_left and redis.call('LLEN', bell_key(lane)) == 0 then ring(lane, 1) end
  end
end
