--! log: keep what steps of a run have logged, the last lines of it.
--! flags none
--! use record
--! key logs STREAM
--! arg rid   str
--! arg plan  pack  worker, number (of what this worker sends, in order), most (lines that are kept), lines {packed line}
--! reply str: OK, SEEN, or missing

local run = load_run(rid)
if not run then return 'missing' end
local field = 'logged:' .. plan.worker
if (tonumber(redis.call('HGET', run_key(rid), field)) or 0) >= plan.number then return 'SEEN' end

-- Writes.
redis.call('HSET', run_key(rid), field, plan.number)
for _, line in ipairs(plan.lines) do
  redis.call('XADD', logs_key(rid), 'MAXLEN', plan.most, '*', 'l', line)
end
-- The last lines of a run may come just behind its end.
local left = redis.call('PTTL', run_key(rid))
if left > 0 then redis.call('PEXPIRE', logs_key(rid), left) end
return 'OK'
