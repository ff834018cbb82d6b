--! use record
--! key watch ZSET
-- A run's time begins when its first delivery is first claimed; or as it is admitted, if nothing is to be claimed: then it
-- waits for somebody. leased: what many leases write, gathered, or nil.
local function begin_run(run, rid, now, leased)
  if run.started then return end
  run.started = now
  local at = decimal(now)
  if run.timeout_ms == 0 then return redis.call('HSET', run_key(rid), 'started_ms', at) end
  run.begun = math.max(1, run.timeout_ms - (run.used or 0))
  local ends = decimal(now + run.begun)
  redis.call('HSET', run_key(rid), 'started_ms', at, 'deadline_ms', ends)
  if not leased then return redis.call('ZADD', watch_key(), ends, rid .. '|!deadline') end
  leased.watched[#leased.watched + 1], leased.watched[#leased.watched + 2] = ends, rid .. '|!deadline'
end
