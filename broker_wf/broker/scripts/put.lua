--! put: write state from outside a step, if it still is what the writer read.
--! use clock
--! key run   HASH
--! key state HASH
--! key lock  HASH
--! arg rid      str
--! arg sets     pack  list of {key, value}
--! arg dels     pack  list of keys
--! arg versions pack  {key = version it must still have}
--! reply 1 | 0: no such run | -1: it has changed, or is being edited; nothing was written

local function version_of(key)
  local raw = redis.call('HGET', state_key(rid), key)
  return raw and tonumber(string.match(raw, '^%d+')) or 0
end

-- Guards.
local keep = redis.call('PTTL', run_key(rid))
if keep == -2 then return 0 end
if redis.call('EXISTS', lock_key(rid)) == 1 then return -1 end
for key, version in pairs(versions) do
  if version_of(key) ~= version then return -1 end
end

-- Writes.
for _, pair in ipairs(sets) do
  redis.call('HSET', state_key(rid), pair[1], string.format('%.0f:', version_of(pair[1]) + 1) .. pair[2])
end
for _, key in ipairs(dels) do redis.call('HDEL', state_key(rid), key) end
if keep > 0 then redis.call('PEXPIRE', state_key(rid), keep) end
return 1
