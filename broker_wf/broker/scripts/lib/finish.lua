--! use record dispatch places aux inbox feed blobs turns notes waits children
--! key watch         ZSET
--! key state         HASH
--! key collections   HASH
--! key buffers       HASH
--! key lock          HASH
--! key lockers       LIST
--! key live_runs     ZSET
--! key ended_runs    ZSET
--! key logs          STREAM
--! key kept          LIST
-- The end of a run: status, result, last entry of the feed, expiry of every key, in one script.

local function cancelled()
  return { status = 'cancelled', error = '', name = '!cancelled', payload = '' }
end

local finish
do
  local INLINE_RESULT, TRIM_MS = 16384, 1000

  local function unwatch(members)
    for i = 1, #members, 500 do
      redis.call('ZREM', watch_key(), unpack(members, i, math.min(i + 499, #members)))
      redis.call('ZREM', queued_key(), unpack(members, i, math.min(i + 499, #members)))
    end
  end

  local function stop_waiting_ones(rid)
    local members = redis.call('HKEYS', waiting_key(rid))
    for i, did in ipairs(members) do members[i] = rid .. '|' .. did end
    unwatch(members)
  end

  local function stop_deliveries(run, rid)
    local all = redis.call('HGETALL', live_key(rid))
    local workers, members = {}, {}
    -- First: an entry stays while a live delivery of another step points at it, and none of these is one any more.
    redis.call('UNLINK', live_key(rid))
    for i = 1, #all, 2 do
      local did, rec = all[i], record_of(all[i + 1])
      members[#members + 1] = rid .. '|' .. did
      if rec and rec.st == 'l' then workers[rec.w] = (workers[rec.w] or '') .. rec.n .. ',' end
      if rec then retire_record(run, rid, did, rec) end
    end
    unwatch(members)
    -- Which leases: another run may have this id by the time the worker reads it.
    for worker, nonces in pairs(workers) do push_inbox(worker, { kind = 'stop', run = rid, nonces = nonces }) end
  end

  -- Whether it has any of what most runs have not.
  local function has_more(rid)
    return redis.call('EXISTS', aux_key(rid), collections_key(rid), early_key(rid), state_key(rid), logs_key(rid),
      blob_key(rid)) > 0
  end

  -- What it never used is not looked for: `live` went with its last delivery, or in stop_deliveries.
  local function drop_run_keys(run, rid, more)
    if more then
      for _, key in ipairs(redis.call('SMEMBERS', aux_key(rid))) do redis.call('UNLINK', key) end
      redis.call('UNLINK', aux_key(rid), collections_key(rid), early_key(rid))
    end
    if run.backlog then redis.call('UNLINK', backlog_key(rid)) end
    if run.buffers then redis.call('UNLINK', buffers_key(rid)) end
    if run.locks then redis.call('UNLINK', lock_key(rid), lockers_key(rid)) end
    if run.waits then redis.call('UNLINK', waiting_key(rid)) end
    if run.children then redis.call('UNLINK', children_key(rid)) end
  end

  local function keep_for(run, rid, life_ms, more)
    local life = decimal(life_ms)
    redis.call('PEXPIRE', run_key(rid), life)
    redis.call('PEXPIRE', done_key(rid), life)
    if run.has_feed then redis.call('PEXPIRE', feed_key(rid), life) end
    if not run.unkept then redis.call('PEXPIRE', kept_key(rid), life) end
    if not more then return end
    redis.call('PEXPIRE', state_key(rid), life)
    redis.call('PEXPIRE', logs_key(rid), life)
    if redis.call('PEXPIRE', blob_key(rid), life) == 1 then drop_unpublished_blobs(rid) end
  end

  -- Those whose retention is over leave the index, at most once a second.
  local trimmed = {}

  local function forget_ended(run, now)
    local since = now - (trimmed[run.workflow] or -TRIM_MS)
    if since >= 0 and since < TRIM_MS then return end
    trimmed[run.workflow] = now
    local forgotten = decimal(now - math.max(run.keep_ms, run.keep_failed_ms))
    redis.call('ZREMRANGEBYSCORE', ended_runs_key(run.workflow), '-inf', forgotten)
  end

  local function write_end(run, rid, now, outcome, field, value)
    if run.notes then notes().publish(run, rid, now) end
    run.has_feed = run.streamed or redis.call('HGET', run_key(rid), 'seq')
    local what = { 'status', outcome.status, 'ended_ms', decimal(now), field, value }
    if not run.has_feed then what[7], what[8], what[9], what[10] = 'seq', '1', 'last', end_entry(rid, outcome, value) end
    redis.call('HSET', run_key(rid), unpack(what))
    if run.has_feed then append_feed(rid, outcome.name, outcome.payload, outcome.step, now, outcome.by) end
  end

  -- outcome: status, result or error (bytes), name and payload of the last event in the feed.
  finish = function(run, rid, now, outcome)
    local field = outcome.result and 'result' or 'error'
    local value = outcome.result or outcome.error
    run.status = outcome.status
    write_end(run, rid, now, outcome, field, value)
    if redis.call('HLEN', live_key(rid)) > 0 then stop_deliveries(run, rid) end
    if run.waits then stop_waiting_ones(rid) end
    if not run.is_unwatched then redis.call('ZREM', watch_key(), rid .. '|!deadline') end
    if run.begins then redis.call('ZREM', watch_key(), rid .. '|!begin') end
    redis.call('ZREM', live_runs_key(run.workflow), rid)
    redis.call('ZADD', ended_runs_key(run.workflow), decimal(now), rid)
    forget_ended(run, now)
    if run.max_runs then end_turn(run, rid, now) end
    if run.parent then redis.call('SREM', children_key(run.parent), rid) end
    local children = left_behind(run, rid)
    local more = has_more(rid)
    drop_run_keys(run, rid, more)
    keep_for(run, rid, outcome.status == 'completed' and run.keep_ms or run.keep_failed_ms, more)
    local message = { kind = 'end', run = rid, status = outcome.status }
    if #value <= INLINE_RESULT then message[field] = value end
    for process in string.gmatch(run.inboxes, '[^,]+') do push_inbox(process, message) end
    for _, child in ipairs(children) do
      local its = load_run(child)
      if its and its.status == 'running' then finish(its, child, now, cancelled()) end
    end
  end
end
