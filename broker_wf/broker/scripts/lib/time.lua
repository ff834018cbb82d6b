--! use record
--! key watch ZSET
-- A run's time begins when its first delivery is first claimed; or as it is admitted, if nothing is to be claimed: then it
-- waits for somebody.
local function begin_run(run, rid, now)
  if run.started then return end
  run.started = now
  local at = decimal(now)
  if run.timeout_ms == 0 then return redis.call('HSET', run_key(rid), 'started_ms', at) end
  run.begun = math.max(1, run.timeout_ms - (run.used or 0))
  local ends = decimal(now + run.begun)
  redis.call('HSET', run_key(rid), 'started_ms', at, 'deadline_ms', ends)
  redis.call('ZADD', watch_key(), ends, rid .. '|!deadline')
end
