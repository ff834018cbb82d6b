--! use record
--! key watch  ZSET
--! key queued ZSET
-- What must be looked at some time is in a set of such moments. Each of these says how many repairs that took.

local function ensure(key, member, score)
  if redis.call('ZSCORE', key, member) then return 0 end
  redis.call('ZADD', key, score, member)
  return 1
end

-- When a lease was last renewed is not in its record: it begins anew, if it is not watched. So does one that ends much
-- later than a lease from now: the clock was put back, and its worker, which would renew it, may be dead.
local function ensure_lease(member, rec, now)
  local score, length = tonumber(redis.call('ZSCORE', watch_key(), member)), rec.d - rec.x
  if score and score <= now + 2 * length then return 0 end
  redis.call('ZADD', watch_key(), now + length, member)
  return 1
end

local function ensure_watched(member, rec, now)
  if rec.st == 'q' then return ensure(queued_key(), member, now) end
  if rec.st == 'l' then return ensure_lease(member, rec, now) end
  if rec.st == 'd' then return ensure(watch_key(), member, rec.d) end
  return 0
end
