--! sweep: look at what is due: leases that ran out, delays that are over, deadlines, entries that were lost.
--! use lease_over lost guard turns
--! key swept STRING
--! arg limit       int  members looked at in each watch set
--! arg outage_ms   int  without a sweep for longer than this, nobody was there: deadlines wait
--! arg max_crashes int
--! reply list: 1 if there may be more that is due, how many went back to a stream, how many runs ended

-- To end a run costs what it has live: a call that ends more would hold the server up for everybody else.
local MOST_ENDED = 5

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

local function waits_over(tx, did)
  if not time_out_waits(tx, did) then return end
  ring(tx.run.lane, tx.made)
  redone = redone + 1
end

local function look_at(member)
  local at = string.find(member, '|', 1, true) or #member + 1
  local rid, did = string.sub(member, 1, at - 1), string.sub(member, at + 1)
  local run = load_run(rid)
  local live = run and run.status == 'running'
  if live and did == '!deadline' then return deadline_over(run, rid) end
  if live and did == '!begin' then
    redis.call('ZREM', watch_key(), member)
    return come_forward(run, rid, now)
  end
  local rec = live and load_record(rid, did)
  if live and not rec and run.waits then return waits_over(begin(run, rid, now), did) end
  if rec and rec.st == 'l' then
    local back, over = lease_over(run, rid, did, rec, max_crashes, last, now)
    redone, ended = redone + back, ended + over
    return
  end
  redis.call('ZREM', watch_key(), member)
  if rec and rec.st == 'd' then
    ring(enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now), 1)
    redone = redone + 1
  end
end

local watched = redis.call('ZRANGEBYSCORE', watch_key(), '-inf', now, 'LIMIT', 0, limit)
local waiting = redis.call('ZRANGEBYSCORE', queued_key(), '-inf', now, 'LIMIT', 0, limit)
local more = #watched == limit or #waiting == limit
for _, member in ipairs(watched) do
  if not guarded(now, member, look_at, member) then redis.call('ZREM', watch_key(), member) end
  if ended == MOST_ENDED then
    more = true
    break
  end
end
for _, member in ipairs(waiting) do
  local fine, count = guarded(now, member, find_entry, member, now)
  redone = redone + (fine and count or 0)
  if not fine then redis.call('ZREM', queued_key(), member) end
end
-- An outage is over when all that fell due in it was looked at, which may take several sweeps.
if not more or now - last <= outage_ms / 6 then redis.call('SET', swept_key(), decimal(now)) end
return { more and 1 or 0, redone, ended }
