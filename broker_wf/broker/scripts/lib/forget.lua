--! use record
--! key changed    HASH
--! key done       HASH
--! key state      HASH
--! key blob       HASH
--! key feed       STREAM
--! key logs       STREAM
--! key rest       STRING
--! key kept       LIST
--! key ended_runs ZSET
-- A run that has ended is known no longer.

local function forget(run, rid)
  redis.call('UNLINK', run_key(rid), done_key(rid), state_key(rid), blob_key(rid), feed_key(rid), logs_key(rid),
    changed_key(rid, '!outside'), rest_key(rid), kept_key(rid))
  redis.call('ZREM', ended_runs_key(run.workflow), rid)
end
