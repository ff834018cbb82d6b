--! use dispatch time
--! key admitted_runs ZSET
--! key queued_runs   ZSET
--! key watch         ZSET
-- Turns of runs of a workflow with `num_concurrent_runs`. A run that waits for its turn has the dispatch window 0, so
-- that whatever is sent to it stays in its backlog; `later_window` of its record keeps the window it will have. So has one
-- that is to begin later (`begins_ms`), of whatever workflow: it asks for its turn when that moment has come.

-- Longer than any heartbeat: a private lane that was not served for so long has lost its process.
local LANE_GONE_MS = 30000

-- Whether nobody can execute a run of an in-process script any more, unless somebody resumes it.
local function is_abandoned(run, now)
  if not string.find(run.lane, '@', 1, true) then return false end
  return redis.call('ZCOUNT', serving_key(run.lane), now - LANE_GONE_MS, '+inf') == 0
end

-- is_new: what it begins with is still to come.
local function open_window(run, rid, now, is_new)
  local window = redis.call('HGET', run_key(rid), 'later_window')
  if not window then return end
  redis.call('HSET', run_key(rid), 'window', window)
  redis.call('HDEL', run_key(rid), 'later_window')
  run.window = tonumber(window)
  local tx = { run = run, rid = rid, now = now, live = redis.call('HLEN', live_key(rid)), made = 0 }
  refill(tx)
  if tx.made == 0 and not is_new then begin_run(run, rid, now) end
  ring(run.lane, math.max(tx.made, 1))
end

local function begin_turn(run, rid, now, is_new)
  redis.call('ZADD', admitted_runs_key(run.workflow), now, rid)
  open_window(run, rid, now, is_new)
end

-- Lets runs begin in the order of their arrival, as many as there is room for. Each is bound by the limit it came with.
local function promote(workflow, now, newcomer)
  while true do
    local rid = redis.call('ZRANGE', queued_runs_key(workflow), 0, 0)[1]
    if not rid then return end
    local run = load_run(rid)
    local waits = run and run.status == 'running' and not is_abandoned(run, now)
    if waits and redis.call('ZCARD', admitted_runs_key(workflow)) >= run.max_runs then return end
    redis.call('ZREM', queued_runs_key(workflow), rid)
    if waits then begin_turn(run, rid, now, rid == newcomer) end
  end
end

-- Takes back the turns of runs that have ended or that nobody can execute. Returns how many.
local function take_back_turns(workflow, now)
  local taken = 0
  for _, rid in ipairs(redis.call('ZRANGE', admitted_runs_key(workflow), 0, -1)) do
    local run = load_run(rid)
    if not run or run.status ~= 'running' or is_abandoned(run, now) then
      taken = taken + redis.call('ZREM', admitted_runs_key(workflow), rid)
    end
  end
  return taken
end

-- Behind those that wait, by order of arrival.
local function line_up(workflow, rid, now)
  local last = redis.call('ZREVRANGE', queued_runs_key(workflow), 0, 0, 'WITHSCORES')
  local place = math.max(now * 1000, (tonumber(last[2]) or 0) + 1)
  redis.call('ZADD', queued_runs_key(workflow), 'NX', string.format('%.0f', place), rid)
end

-- A new run of a limited workflow: its turn, or its place in the line.
local function ask_for_turn(workflow, rid, window, now)
  redis.call('HSET', run_key(rid), 'window', 0, 'later_window', window)
  line_up(workflow, rid, now)
  promote(workflow, now, rid)
end

local function put_off(rid, window, begins)
  begins = string.format('%.0f', begins)
  redis.call('HSET', run_key(rid), 'window', 0, 'later_window', window, 'begins_ms', begins)
  redis.call('ZADD', watch_key(), begins, rid .. '|!begin')
end

-- The moment has come for a run that was put off.
local function come_forward(run, rid, now)
  redis.call('HDEL', run_key(rid), 'begins_ms')
  run.begins = nil
  if not run.max_runs then return open_window(run, rid, now) end
  line_up(run.workflow, rid, now)
  promote(run.workflow, now)
end

local function end_turn(run, rid, now)
  redis.call('ZREM', admitted_runs_key(run.workflow), rid)
  redis.call('ZREM', queued_runs_key(run.workflow), rid)
  promote(run.workflow, now)
end

-- A run goes on in another process: a turn that was taken back is taken again, even if there are too many then.
local function resume_turn(run, rid, now)
  if run.begins then return end
  if run.window > 0 then return redis.call('ZADD', admitted_runs_key(run.workflow), 'NX', now, rid) end
  line_up(run.workflow, rid, now)
  promote(run.workflow, now)
end

-- For the audit: 1 if a live run was neither admitted nor in the line though it should be.
local function ensure_turn(run, rid, now)
  if not run.max_runs or run.begins or is_abandoned(run, now) then return 0 end
  if run.window > 0 then return redis.call('ZADD', admitted_runs_key(run.workflow), 'NX', now, rid) end
  if redis.call('ZSCORE', queued_runs_key(run.workflow), rid) then return 0 end
  line_up(run.workflow, rid, now)
  return 1
end
