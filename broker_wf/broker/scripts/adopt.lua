--! adopt: move a live run to another lane: the process that resumes an in-process run takes it over.
--! use emit places turns
--! arg rid    str
--! arg lane   str
--! arg digest str
--! reply list: 'OK', deliveries that were queued | 'GONE', status | 'DIGEST', the run's

local run, now, moved = load_run(rid), now_ms(), 0
local there = run and { lane = lane, check_ms = run.check_ms }

-- Its holder goes on; what the lease held in the lane is given up there.
local function move_leased(did, rec)
  local limit = rec.K
  rec.K = nil
  free_place(run, rid, did, rec)
  rec.K = limit
  rec.h = nil
  save_record(rid, did, rec)
  if rec.l then hold_place(there, rid, did, rec, now + rec.d - rec.x) end
end

-- Guards.
if not run then return { 'GONE', 'missing' } end
if run.status ~= 'running' then return { 'GONE', run.status } end
if run.digest ~= digest then return { 'DIGEST', run.digest } end

-- Writes.
local all = redis.call('HGETALL', live_key(rid))
for i = 1, #all, 2 do
  local did, rec = all[i], cmsgpack.unpack(all[i + 1])
  retire_record(run, rid, did, rec)
  rec.i = nil
  if rec.st == 'q' then
    rec.h = nil
    enqueue(there, rid, event_of(did, rec.s), { rec }, 'a', now)
    moved = moved + 1
  elseif rec.st == 'l' then
    move_leased(did, rec)
  end
end
local list = { unpack(run.list) }
list[2] = lane
redis.call('HSET', run_key(rid), 'kind', cmsgpack.pack(list))
-- One process has no streams for priorities.
redis.call('HDEL', run_key(rid), 'rank')
if run.max_runs then resume_turn(run, rid, now) end
ring(lane, 1)
return { 'OK', moved }
