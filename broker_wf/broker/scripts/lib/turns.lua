--! use dispatch time
--! key admitted_runs ZSET
--! key queued_runs   ZSET
--! key watch         ZSET
--! key turns         HASH
-- Turns of runs of a workflow with `num_concurrent_runs`. A run that waits for its turn has the dispatch window 0, so
-- that whatever is sent to it stays in its backlog; `later_window` of its record keeps the window it will have. So has one
-- that is to begin later (`begins_ms`), of whatever workflow: it asks for its turn when that moment has come.

local promote, take_back_turns, ask_for_turn, put_off, come_forward, end_turn, resume_turn, ensure_turn
do
  -- The line goes round by round. Runs of one priority and fairness key are a flow; each run stands so many rounds behind
  -- the one of its flow before it, or behind the round that is being served: a flow of high priority comes four times as
  -- often as one of the next. A place in the line is a round, and in it the order of arrival. `turns` holds the round that is
  -- served, and the last one of each flow that has runs in the line.
  local STRIDE = { high = 1, normal = 4, low = 16 }
  local ROUND = 1000000

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
    local tx = { run = run, rid = rid, now = now, ended = 0, made = 0 }
    refill(tx)
    if tx.made == 0 and not is_new then begin_run(run, rid, now) end
    ring(run.lane, math.max(tx.made, 1))
  end

  local function begin_turn(run, rid, now, is_new)
    redis.call('ZADD', admitted_runs_key(run.workflow), now, rid)
    open_window(run, rid, now, is_new)
  end

  local function flow_of(rid)
    local v = redis.call('HMGET', run_key(rid), 'priority', 'fairness')
    local priority = v[1] or 'normal'
    return priority .. ':' .. (v[2] or ''), STRIDE[priority] or STRIDE.normal
  end

  -- The line without a run. place: that of the first one, whose round is served then; nil: it goes for another reason.
  local function leave_line(workflow, rid, place)
    if redis.call('ZREM', queued_runs_key(workflow), rid) == 0 then return end
    if redis.call('EXISTS', queued_runs_key(workflow)) == 0 then return redis.call('DEL', turns_key(workflow)) end
    local flow, stride = flow_of(rid)
    if not place then return redis.call('HINCRBY', turns_key(workflow), flow, -stride) end
    local round = math.floor(tonumber(place) / ROUND)
    redis.call('HSET', turns_key(workflow), '', decimal(round))
    if tonumber(redis.call('HGET', turns_key(workflow), flow)) == round then redis.call('HDEL', turns_key(workflow), flow) end
  end

  -- Lets runs begin in the order of the line, as many as there is room for. Each is bound by the limit it came with.
  promote = function(workflow, now, newcomer)
    while true do
      local rid, place = unpack(redis.call('ZRANGE', queued_runs_key(workflow), 0, 0, 'WITHSCORES'))
      if not rid then return end
      local run = load_run(rid)
      local waits = run and run.status == 'running' and not is_abandoned(run, now)
      if waits and redis.call('ZCARD', admitted_runs_key(workflow)) >= run.max_runs then return end
      leave_line(workflow, rid, place)
      if waits then begin_turn(run, rid, now, rid == newcomer) end
    end
  end

  -- Takes back the turns of runs that have ended or that nobody can execute. Returns how many.
  take_back_turns = function(workflow, now)
    local taken = 0
    for _, rid in ipairs(redis.call('ZRANGE', admitted_runs_key(workflow), '0', '-1')) do
      local run = load_run(rid)
      if not run or run.status ~= 'running' or is_abandoned(run, now) then
        taken = taken + redis.call('ZREM', admitted_runs_key(workflow), rid)
      end
    end
    return taken
  end

  local function line_up(workflow, rid, now)
    if redis.call('ZSCORE', queued_runs_key(workflow), rid) then return end
    local flow, stride = flow_of(rid)
    local seen = redis.call('HMGET', turns_key(workflow), '', flow)
    local served = tonumber(seen[1]) or math.floor(now / 1000)
    local round = math.max(served, tonumber(seen[2]) or 0) + stride
    redis.call('HSET', turns_key(workflow), '', decimal(served), flow, decimal(round))
    local last = redis.call('ZREVRANGEBYSCORE', queued_runs_key(workflow), string.format('(%.0f', (round + 1) * ROUND),
      decimal(round * ROUND), 'WITHSCORES', 'LIMIT', 0, 1)
    local place = last[2] and tonumber(last[2]) + 1 or round * ROUND
    redis.call('ZADD', queued_runs_key(workflow), decimal(place), rid)
  end

  -- A new run of a limited workflow: its turn, or its place in the line.
  ask_for_turn = function(workflow, rid, window, now)
    redis.call('HSET', run_key(rid), 'window', 0, 'later_window', window)
    line_up(workflow, rid, now)
    promote(workflow, now, rid)
  end

  put_off = function(rid, window, begins)
    begins = decimal(begins)
    redis.call('HSET', run_key(rid), 'window', 0, 'later_window', window, 'begins_ms', begins, 'more', '1')
    redis.call('ZADD', watch_key(), begins, rid .. '|!begin')
  end

  -- The moment has come for a run that was put off.
  come_forward = function(run, rid, now)
    redis.call('HDEL', run_key(rid), 'begins_ms')
    run.begins = nil
    if not run.max_runs then return open_window(run, rid, now) end
    line_up(run.workflow, rid, now)
    promote(run.workflow, now)
  end

  end_turn = function(run, rid, now)
    redis.call('ZREM', admitted_runs_key(run.workflow), rid)
    leave_line(run.workflow, rid)
    promote(run.workflow, now)
  end

  -- A run goes on in another process: a turn that was taken back is taken again, even if there are too many then.
  resume_turn = function(run, rid, now)
    if run.begins then return end
    if run.window > 0 then return redis.call('ZADD', admitted_runs_key(run.workflow), 'NX', now, rid) end
    line_up(run.workflow, rid, now)
    promote(run.workflow, now)
  end

  -- For the audit: 1 if a live run was neither admitted nor in the line though it should be.
  ensure_turn = function(run, rid, now)
    if not run.max_runs or run.begins or is_abandoned(run, now) then return 0 end
    if run.window > 0 then return redis.call('ZADD', admitted_runs_key(run.workflow), 'NX', now, rid) end
    if redis.call('ZSCORE', queued_runs_key(run.workflow), rid) then return 0 end
    line_up(run.workflow, rid, now)
    return 1
  end
end
