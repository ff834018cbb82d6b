--! use dispatch inside returning
--! key running ZSET
--! key parked  SET
-- The places 1..num_workers of a limited step. A member of `running` is '<place>|<run>|<delivery>|<nonce>'.

local function unheld_places(lane, step, limit, now)
  local key = running_key(base_lane(lane), step)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. decimal(now))
  local used, free = {}, {}
  for _, member in ipairs(redis.call('ZRANGE', key, '0', '-1')) do
    used[tonumber(string.match(member, '^%d+')) or 0] = true
  end
  for place = 1, limit do
    if not used[place] then free[#free + 1] = place end
  end
  return free
end

-- Those that a claim may take: not the ones for which somebody waits who had one before.
local function free_places(lane, step, limit, now)
  local free = unheld_places(lane, step, limit, now)
  for _ = 1, owed(lane, step, now) do free[#free] = nil end
  return free
end

local function place_member(rid, did, rec)
  return rec.l .. '|' .. rid .. '|' .. did .. '|' .. rec.n
end

local function hold_place(run, rid, did, rec, until_ms)
  local lane = base_lane(lane_of(run, rec))
  redis.call('ZADD', running_key(lane, rec.s), decimal(until_ms), place_member(rid, did, rec))
  expire_private(lane, running_key(lane, rec.s))
end

-- A group without a free place is not read until one is given back.
local function park(lane, step, pair)
  redis.call('SADD', parked_key(base_lane(lane), step), lane .. '/' .. pair)
  expire_private(lane, parked_key(base_lane(lane), step))
  redis.call('ZREM', ready_key(lane), pair)
end

-- What waited for a place of the step may be read again.
local function unpark(lane, step)
  local key = parked_key(lane, step)
  local waiting = redis.call('SMEMBERS', key)
  if #waiting == 0 then return end
  for _, member in ipairs(waiting) do
    local at = string.find(member, '/', 1, true)
    local parked_lane = string.sub(member, 1, at - 1)
    make_ready(parked_lane, string.sub(member, at + 1))
    ring(parked_lane, 1)
  end
  redis.call('DEL', key)
end

local function free_place(run, rid, did, rec)
  leave(run, rid, did, rec)
  if not (rec.H or rec.l) then return end
  local base = base_lane(lane_of(run, rec))
  if rec.H then
    rec.H = nil
    unreserve(base, rec.s, rid, did)
  else
    redis.call('ZREM', running_key(base, rec.s), place_member(rid, did, rec))
  end
  unpark(base, rec.s)
end

-- A place whose holder has gone without a word, its run ended before, is nobody's when its time is over.
local function free_overdue_places(lane, limits, now)
  for step in pairs(limits) do
    if redis.call('ZREMRANGEBYSCORE', running_key(lane, step), '-inf', '(' .. decimal(now)) > 0 then unpark(lane, step) end
  end
end
