--! register: make a workflow known, and the consumer groups of its steps.
--! key definition HASH
--! key workflows  SET
--! key live_runs  ZSET
--! key serving    ZSET
--! key work       STREAM
--! key again      STREAM
--! use clock
--! arg workflow   str
--! arg class_path str
--! arg digest     str
--! arg facts      str   the definition, packed: steps, acceptors, schemas
--! arg fresh_ms   int   a worker heard of within this time is alive
--! arg groups     pack  list of {lane, kind, event name, step}
--! reply list: 'OK' | 'CONFLICT', the other class

local now = now_ms()

-- Guards.
local other = redis.call('HGET', definition_key(workflow), 'class')
if other and other ~= class_path then
  local served = redis.call('ZCOUNT', serving_key(workflow), now - fresh_ms, '+inf') > 0
  if served or redis.call('ZCARD', live_runs_key(workflow)) > 0 then return { 'CONFLICT', other } end
end

-- Writes.
redis.call('HSET', definition_key(workflow), 'class', class_path, 'latest', digest, 'digest:' .. digest, facts)
redis.call('SADD', workflows_key(), workflow)
for _, g in ipairs(groups) do
  local key = g[2] == 'a' and again_key(g[1], g[3]) or work_key(g[1], g[3])
  redis.pcall('XGROUP', 'CREATE', key, g[4], '0', 'MKSTREAM')
end
return { 'OK' }
