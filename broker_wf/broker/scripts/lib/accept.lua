--! use turns
--! key live_runs ZSET
--! key workflows SET
--! key state     HASH
--! key blob      HASH
-- The record of a new run, and its place among the live ones.
-- plan: workflow, lane, digest, timeout_ms, keep_ms, keep_failed_ms, window, queued_check_ms, inbox, start_name,
-- start_hash, state {key = value}, max_live_runs, exposed or nil, trace or nil, max_runs or nil, start (packed {payload,
-- routes, state}) or nil, unkept or nil, rerun_of (a run that has ended) or nil, tags (packed) or nil, delay_ms or nil,
-- on_conflict (attach, restart) or nil, token (of one wish to restart) or nil, priority (high, low) or nil, fairness (key) or nil.

-- Why a run is not made: the reply for one that exists, or for too many; nil.
local function not_accepted(rid, plan)
  local old = redis.call('HMGET', run_key(rid), 'status', 'start_hash', 'workflow', 'inboxes', 'token')
  local ours = old[3] == plan.workflow
  local restarts = ours and plan.on_conflict == 'restart' and old[5] ~= plan.token
  if old[1] and not restarts then
    local same = ours and (old[2] == plan.start_hash or plan.on_conflict ~= nil)
    if same and plan.inbox ~= '' and not string.find(old[4] or '', plan.inbox, 1, true) then
      redis.call('HSET', run_key(rid), 'inboxes', (old[4] ~= '' and old[4] .. ',' or '') .. plan.inbox)
    end
    return { 'EXISTS', old[1], same and 1 or 0 }
  end
  if plan.max_live_runs == 0 then return nil end
  local live_now = redis.call('ZCARD', live_runs_key(plan.workflow)) - (restarts and old[1] == 'running' and 1 or 0)
  return live_now >= plan.max_live_runs and { 'FULL', live_now } or nil
end

-- Its large parts are those of the run that is done again: they are shared out here, and not sent back and forth.
local function accept_rerun(rid, of)
  redis.call('HSET', run_key(rid), 'rerun_of', of)
  if redis.call('EXISTS', run_key(of)) == 1 then redis.call('HSET', run_key(of), 'rerun_as', rid) end
  if redis.call('COPY', blob_key(of), blob_key(rid)) == 1 then redis.call('PERSIST', blob_key(rid)) end
end

-- Its rank: where its entries stand among the others. One process has no streams for priorities.
local function rank_of(plan)
  local is_private = string.find(plan.lane, '@', 1, true)
  return plan.priority and not is_private and '#' .. plan.priority or nil
end

-- Returns the run.
local function accept(rid, plan, now)
  local record = { status = 'running', workflow = plan.workflow, lane = plan.lane, digest = plan.digest,
    created_ms = decimal(now), timeout_ms = plan.timeout_ms, keep_ms = plan.keep_ms,
    keep_failed_ms = plan.keep_failed_ms, window = plan.window, queued_check_ms = plan.queued_check_ms,
    inboxes = plan.inbox, start_name = plan.start_name, start_hash = plan.start_hash, exposed = plan.exposed,
    unkept = plan.unkept, trace = plan.trace, tags = plan.tags, token = plan.token, fairness = plan.fairness,
    priority = plan.priority, rank = rank_of(plan), start = plan.start, max_runs = plan.max_runs }
  local written, read = {}, {}
  for name, value in pairs(record) do
    if type(value) == 'number' then record[name] = decimal(value) end
    written[#written + 1], written[#written + 2] = name, record[name]
  end
  for i, name in ipairs(RUN_FIELDS) do read[i] = record[name] or false end
  redis.call('HSET', run_key(rid), unpack(written))
  if plan.rerun_of then accept_rerun(rid, plan.rerun_of) end
  for key, value in pairs(plan.state) do redis.call('HSET', state_key(rid), key, '1:' .. value) end
  redis.call('ZADD', live_runs_key(plan.workflow), decimal(now), rid)
  redis.call('SADD', workflows_key(), plan.workflow)
  if plan.delay_ms then
    put_off(rid, plan.window, now + plan.delay_ms)
  elseif plan.max_runs then
    ask_for_turn(plan.workflow, rid, plan.window, now)
  else
    return run_of_fields(read)
  end
  return load_run(rid)
end
