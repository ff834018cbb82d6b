--! heartbeat: this worker is alive and serves these lanes.
--! use clock
--! key roster  ZSET
--! key worker  STRING
--! key serving ZSET
--! key inbox   LIST
--! arg id      str
--! arg facts   str   what people want to know of it, packed
--! arg life_ms int   how long a silent worker counts as alive
--! arg lanes   pack  list of lanes
--! reply how many workers are alive

local now = now_ms()
redis.call('ZADD', roster_key(), now, id)
redis.call('ZREMRANGEBYSCORE', roster_key(), '-inf', now - life_ms)
redis.call('SET', worker_key(id), facts, 'PX', life_ms)
redis.call('PEXPIRE', inbox_key(id), life_ms)
for _, lane in ipairs(lanes) do
  redis.call('ZADD', serving_key(lane), now, id)
  redis.call('ZREMRANGEBYSCORE', serving_key(lane), '-inf', now - life_ms)
end
return redis.call('ZCARD', roster_key())
