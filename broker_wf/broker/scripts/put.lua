--! put: write state from outside a step, if it still is what the writer read.
--! use state
--! key run   HASH
--! key lock  HASH
--! arg rid      str
--! arg sets     pack  list of {key, value}
--! arg dels     pack  list of keys
--! arg versions pack  {key = version it must still have}
--! arg again    int   1: the reply to this very write was lost
--! reply 1 | 0: no such run | -1: it has changed, or is being edited; nothing was written

-- The state is as this write leaves it.
local function is_written()
  for _, pair in ipairs(sets) do
    local _, value = state_of(rid, pair[1])
    if value ~= pair[2] then return false end
  end
  for _, key in ipairs(dels) do
    if redis.call('HEXISTS', state_key(rid), key) == 1 then return false end
  end
  return true
end

-- Guards.
local keep = redis.call('PTTL', run_key(rid))
if keep == -2 then return 0 end
if again == 1 and is_written() then return 1 end
if redis.call('EXISTS', lock_key(rid)) == 1 then return -1 end
for key, version in pairs(versions) do
  if version_of(rid, key) ~= version then return -1 end
end

-- Writes.
for _, pair in ipairs(sets) do write_state(rid, pair[1], pair[2]) end
for _, key in ipairs(dels) do redis.call('HDEL', state_key(rid), key) end
if keep > 0 then redis.call('PEXPIRE', state_key(rid), keep) end
return 1
