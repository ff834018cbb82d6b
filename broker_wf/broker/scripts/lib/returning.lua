--! use dispatch
--! key returning ZSET
-- Deliveries that gave their places back while they waited for a child run, and that want them again: what falls free is
-- for them first. A member '<run>|<delivery>' stands until the moment of its score; who still waits asks again before.
-- Of a record: H 1 while the delivery has given its places back.

local RESERVED_MS = 3000

-- The lane without its digest: all versions of a step share its places.
local function base_lane(lane)
  return string.match(lane, '^[^#]+')
end

-- How many places of a step are reserved; those for deliveries of one run if one is given.
local function owed(lane, step, now, rid)
  local waiting = redis.call('ZRANGEBYSCORE', returning_key(base_lane(lane), step), now, '+inf')
  if not rid then return #waiting end
  local count, prefix = 0, rid .. '|'
  for _, member in ipairs(waiting) do
    if string.sub(member, 1, #prefix) == prefix then count = count + 1 end
  end
  return count
end

local function reserve(lane, step, rid, did, now)
  local key = returning_key(base_lane(lane), step)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. decimal(now))
  redis.call('ZADD', key, now + RESERVED_MS, rid .. '|' .. did)
  redis.call('PEXPIRE', key, 2 * RESERVED_MS)
end

local function unreserve(lane, step, rid, did)
  redis.call('ZREM', returning_key(base_lane(lane), step), rid .. '|' .. did)
end
