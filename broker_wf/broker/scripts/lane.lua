--! lane: the life of a private lane, that of in-process runs: kept while its process lives, dropped when it closes.
--! key work    STREAM
--! key again   STREAM
--! key ready   ZSET
--! key bell    LIST
--! key serving ZSET
--! key running ZSET
--! key parked  SET
--! arg lane    str
--! arg keep_ms int   0: drop its keys now
--! arg groups  pack  list of {lane, kind, event name, step}
--! reply how many keys

local keys = { ready_key(lane), bell_key(lane), serving_key(lane) }
for _, g in ipairs(groups) do
  keys[#keys + 1] = g[2] == 'a' and again_key(lane, g[3]) or work_key(lane, g[3])
  keys[#keys + 1] = running_key(lane, g[4])
  keys[#keys + 1] = parked_key(lane, g[4])
end
local count = 0
for _, key in ipairs(keys) do
  if keep_ms > 0 then
    count = count + redis.call('PEXPIRE', key, keep_ms)
  else
    count = count + redis.call('UNLINK', key)
  end
end
return count
