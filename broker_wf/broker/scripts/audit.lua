--! audit: hold the indexes of some live runs against their truth, and repair them.
--! use emit finish end skew guard rest watched
--! arg workflow str
--! arg offset   int  position among the workflow's live runs
--! arg limit    int  runs looked at
--! arg fresh_ms int  a worker heard of within this time is alive
--! arg skew_ms  int  how long a run waits for a worker of its version; 0: for ever
--! reply list: runs seen, repairs made, runs that can never end and were failed, runs nobody can execute

local now, repairs, stuck, unserved = now_ms(), 0, 0, 0

local function fail_run(run, rid, why)
  why = cmsgpack.pack(why)
  finish(run, rid, now, { status = 'failed', error = '!' .. why, name = '!failed', payload = why })
  stuck = stuck + 1
end

local STATUSES = ' running completed failed cancelled timed_out '

local function audit_run(rid)
  local run = load_run(rid)
  if run and run.is_broken then error('its kind is none of ours', 0) end
  if run and not string.find(STATUSES, ' ' .. run.status .. ' ', 1, true) then error('its status is none of ours', 0) end
  if not run or run.status ~= 'running' then
    repairs = repairs + redis.call('ZREM', live_runs_key(workflow), rid)
    return
  end
  if lost_parent(run) then return finish(run, rid, now, cancelled()) end
  if is_orphan(run, rid, now) then return fail_run(run, rid, { kind = 'orphaned' }) end
  local all, live = redis.call('HGETALL', live_key(rid)), {}
  for i = 1, #all, 2 do
    live[all[i]] = record_of(all[i + 1], all[i])
    if not live[all[i]] then error('the record of delivery ' .. all[i] .. ' is none of ours', 0) end
    repairs = repairs + ensure_watched(rid .. '|' .. all[i], live[all[i]], now)
  end
  local step, is_over = look_for_skew(run, rid, live, now, fresh_ms, skew_ms)
  if is_over then
    keep_rest(run, rid)
    return fail_run(run, rid, { kind = 'no_worker', workflow = run.workflow, step = step, digest = run.digest })
  end
  if step then unserved = unserved + 1 end
  repairs = repairs + repair_insides(run, rid, live, now)
  local waiting = run.waits and redis.call('HGETALL', waiting_key(rid)) or {}
  for i = 1, #waiting, 2 do
    local due = cmsgpack.unpack(waiting[i + 1]).d or '+inf'
    repairs = repairs + ensure(watch_key(), rid .. '|' .. waiting[i], due)
  end
  local deadline = tonumber(redis.call('HGET', run_key(rid), 'deadline_ms'))
  if deadline then repairs = repairs + ensure(watch_key(), rid .. '|!deadline', deadline) end
  if run.begins then repairs = repairs + ensure(watch_key(), rid .. '|!begin', run.begins) end
  repairs = repairs + ensure_turn(run, rid, now)
  if not run.backlog and redis.call('EXISTS', backlog_key(rid)) == 1 then
    has_backlog(run, rid)
    repairs = repairs + 1
  end
  local tx = begin(run, rid, now)
  refill(tx)
  ring(run.lane, tx.made)
  if #all + #waiting == 0 and redis.call('HLEN', live_key(rid)) == 0 then
    local open = redis.call('HKEYS', collections_key(rid))
    if #open > 0 then fail_run(run, rid, { kind = 'stuck', collections = open }) end
  end
end

local runs = redis.call('ZRANGE', live_runs_key(workflow), offset, offset + limit - 1)
for _, rid in ipairs(runs) do
  local broken = not guarded(now, rid, audit_run, rid)
  -- Nobody can go on with what nobody can read; what it has used is not known either.
  local run = broken and load_run(rid) or {}
  run.backlog, run.buffers, run.locks, run.waits, run.children = '1', '1', '1', '1', '1'
  if broken and not guarded(now, rid, fail_run, run, rid, { kind = 'broken' }) then
    redis.call('ZREM', live_runs_key(workflow), rid)
  end
end
repairs = repairs + take_back_turns(workflow, now)
promote(workflow, now)
return { #runs, repairs, stuck, unserved }
