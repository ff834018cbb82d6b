--! use record
--! key watch ZSET
-- A run's time begins when its first delivery is first claimed; or as it is admitted, if nothing is to be claimed: then it
-- waits for somebody.
local function begin_run(run, rid, now)
  if run.started then return end
  run.started = now
  redis.call('HSET', run_key(rid), 'started_ms', string.format('%.0f', now))
  if run.timeout_ms > 0 then
    run.begun = math.max(1, run.timeout_ms - (tonumber(redis.call('HGET', run_key(rid), 'used_ms')) or 0))
    redis.call('HSET', run_key(rid), 'deadline_ms', string.format('%.0f', now + run.begun))
    redis.call('ZADD', watch_key(), now + run.begun, rid .. '|!deadline')
  end
end
