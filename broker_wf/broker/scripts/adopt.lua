--! adopt: move a live run to another lane: the process that resumes an in-process run takes it over.
--! use emit
--! arg rid    str
--! arg lane   str
--! arg digest str
--! reply list: 'OK', deliveries that were queued | 'GONE', status | 'DIGEST', the run's

local run, now, moved = load_run(rid), now_ms(), 0

-- Guards.
if not run then return { 'GONE', 'missing' } end
if run.status ~= 'running' then return { 'GONE', run.status } end
if run.digest ~= digest then return { 'DIGEST', run.digest } end

-- Writes.
local all = redis.call('HGETALL', live_key(rid))
for i = 1, #all, 2 do
  local rec = cmsgpack.unpack(all[i + 1])
  if rec.st == 'q' then
    retire_record(run, rid, all[i], rec)
    rec.i, rec.h = nil, nil
    enqueue({ lane = lane, check_ms = run.check_ms }, rid, event_of(all[i], rec.s), { rec }, 'a', now)
    moved = moved + 1
  end
end
redis.call('HSET', run_key(rid), 'lane', lane)
ring(lane, 1)
return { 'OK', moved }
