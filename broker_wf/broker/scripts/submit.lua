--! submit: accept a run, once: its record, its first deliveries, its place among the live runs.
--! flags none
--! use emit inbox blobs turns children
--! key live_runs ZSET
--! key workflows SET
--! key state     HASH
--! arg rid   str
--! arg plan  pack  workflow, lane, digest, timeout_ms, keep_ms, keep_failed_ms, window, queued_check_ms, inbox,
--!                 start_name, start_hash, payload, blobs {hash = encoded part}, routes, state {key = value}, max_live_runs, exposed or nil, trace or nil, app_version,
--!                max_runs or nil, parent (a run) or nil
--! reply {'OK'} | {'EXISTS', status, same start event?} | {'FULL', live runs} | {'GONE', the parent's status}

local now = now_ms()

-- Guards.
local old = redis.call('HMGET', run_key(rid), 'status', 'start_hash', 'workflow', 'inboxes')
if old[1] then
  local same = old[2] == plan.start_hash and old[3] == plan.workflow
  if same and plan.inbox ~= '' and not string.find(old[4] or '', plan.inbox, 1, true) then
    redis.call('HSET', run_key(rid), 'inboxes', (old[4] ~= '' and old[4] .. ',' or '') .. plan.inbox)
  end
  return { 'EXISTS', old[1], same and 1 or 0 }
end
local live_now = redis.call('ZCARD', live_runs_key(plan.workflow))
if plan.max_live_runs > 0 and live_now >= plan.max_live_runs then return { 'FULL', live_now } end

if plan.parent then
  local status = redis.call('HGET', run_key(plan.parent), 'status') or 'missing'
  if status ~= 'running' then return { 'GONE', status } end
end

-- Writes.
redis.call('HSET', run_key(rid), 'status', 'running', 'workflow', plan.workflow, 'lane', plan.lane,
  'digest', plan.digest, 'created_ms', string.format('%.0f', now), 'timeout_ms', plan.timeout_ms,
  'keep_ms', plan.keep_ms, 'keep_failed_ms', plan.keep_failed_ms, 'window', plan.window,
  'queued_check_ms', plan.queued_check_ms, 'inboxes', plan.inbox, 'start_name', plan.start_name,
  'start_hash', plan.start_hash)
if plan.exposed then redis.call('HSET', run_key(rid), 'exposed', 1) end
if plan.trace then redis.call('HSET', run_key(rid), 'trace', plan.trace) end
for key, value in pairs(plan.state) do redis.call('HSET', state_key(rid), key, '1:' .. value) end
redis.call('ZADD', live_runs_key(plan.workflow), now, rid)
redis.call('SADD', workflows_key(), plan.workflow)
if plan.max_runs then ask_for_turn(plan.workflow, rid, plan.max_runs, plan.window, now) end
for hash, part in pairs(plan.blobs) do keep_blob(rid, hash, part) end
if plan.parent then add_child(plan.parent, rid) end
local tx = begin(load_run(rid), rid, now)
emit(tx, plan.routes, '0', plan.start_name, plan.payload, nil)
refill(tx)
if tx.run.exposed then notes().publish_changes(tx, false) end
ring(plan.lane, math.max(tx.made, 1))
return { 'OK' }
