--! key state HASH
-- A key of the state holds '<version>:<value>'. A version is given once: whoever has read a key that was removed and made
-- again, or that a server had written which lost the end of its log, finds another one there. So it is a time, in
-- microseconds, and always ahead of the one before.

-- Version and value of a key; 0 and nil: there is no such key.
local function state_of(rid, key)
  local raw = redis.call('HGET', state_key(rid), key)
  if not raw then return 0, nil end
  local digits = string.match(raw, '^%d+')
  return tonumber(digits), string.sub(raw, #digits + 2)
end

-- As state_of, without the value, which may be long.
local function version_of(rid, key)
  local raw = redis.call('HGET', state_key(rid), key)
  return raw and tonumber(string.match(raw, '^%d+')) or 0
end

-- before: the version it has; nil: look.
local function write_state(rid, key, value, before)
  local now = redis.call('TIME')
  local version = math.max((before or version_of(rid, key)) + 1, now[1] * 1000000 + now[2])
  redis.call('HSET', state_key(rid), key, string.format('%.0f:', version) .. value)
end
