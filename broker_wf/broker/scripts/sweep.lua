--! sweep: look at what is due: leases that ran out, delays that are over, deadlines, entries that were lost.
--! use overdue groups
--! key swept STRING
--! arg limit       int  members looked at in each watch set
--! arg outage_ms   int  without a sweep for longer than this, nobody was there: deadlines wait
--! arg max_crashes int
--! reply list: how many were due, how many went back to a stream, how many runs ended

local now, redone, ended = now_ms(), 0, 0
local last = tonumber(redis.call('GET', swept_key()) or now)
local gap = now - last > outage_ms and now - last or 0

local function deadline_over(run, rid)
  if gap > 0 then
    redis.call('ZADD', watch_key(), now + math.min(gap, run.timeout_ms), rid .. '|!deadline')
    return
  end
  time_out(run, rid, now)
  ended = ended + 1
end

local function lease_over(run, rid, did, rec)
  rec.c = rec.c + 1
  rec.z = rec.z or {}
  rec.z[#rec.z + 1] = rec.w
  if rec.c >= max_crashes then
    poison(run, rid, did, rec, now)
    ended = ended + 1
    return
  end
  publish_end(run, rid, rec, now)
  free_place(run, rid, did, rec)
  free_lock(run, rid, did, rec.n)
  ring(redispatch(run, rid, did, rec, now), 1)
  redis.call('ZREM', watch_key(), rid .. '|' .. did)
  redone = redone + 1
end

local function waits_over(tx, did)
  time_out_waits(tx, did)
  ring(tx.run.lane, tx.made)
  redone = redone + tx.made
end

local function look_at(member)
  local at = string.find(member, '|', 1, true)
  local rid, did = string.sub(member, 1, at - 1), string.sub(member, at + 1)
  local run = load_run(rid)
  local live = run and run.status == 'running'
  if live and did == '!deadline' then return deadline_over(run, rid) end
  local rec = live and load_record(rid, did)
  if live and not rec and run.waits then return waits_over(begin(run, rid, now), did) end
  if rec and rec.st == 'l' then return lease_over(run, rid, did, rec) end
  redis.call('ZREM', watch_key(), member)
  if rec and rec.st == 'd' then
    ring(enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now), 1)
    redone = redone + 1
  end
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
  if reachable(stream_of(run, rec), rec.s, rec.i) then
    local lane = lane_of(run, rec)
    redis.call('ZADD', queued_key(), now + run.check_ms, member)
    make_ready(lane, rec.k .. ':' .. rec.t .. '|' .. rec.s)
    ring(lane, 1)
    return
  end
  ring(redispatch(run, rid, did, rec, now), 1)
  redone = redone + 1
end

local watched = redis.call('ZRANGEBYSCORE', watch_key(), '-inf', now, 'LIMIT', 0, limit)
local waiting = redis.call('ZRANGEBYSCORE', queued_key(), '-inf', now, 'LIMIT', 0, limit)
for _, member in ipairs(watched) do look_at(member) end
for _, member in ipairs(waiting) do look_at_queued(member) end
-- An outage is over when all that fell due in it was looked at, which may take several sweeps.
if gap == 0 or #watched < limit then redis.call('SET', swept_key(), string.format('%.0f', now)) end
return { #watched + #waiting, redone, ended }
