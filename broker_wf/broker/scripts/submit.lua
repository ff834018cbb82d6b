--! submit: accept a run, once: its record, its first deliveries, its place among the live runs.
--! flags none
--! use accept emit inbox blobs children time finish forget
--! arg rid        str
--! arg packed     str   what it has in common with others, see lib/record.lua
--! arg payload    str   its start event
--! arg start_hash str
--! arg inbox      str   of who follows it; empty: nobody
--! arg plan       pack  what few have, see lib/accept.lua; besides: parent (a run) or nil, arriving (token of what its payload
--!                      refers to) or nil
--! reply {'OK'} | {'NO_PARTS'} | {'EXISTS', status, same start event?} | {'FULL', live runs} | {'GONE', the parent's status}

local now, kind = now_ms(), kind_of(packed)
plan.payload, plan.start_hash, plan.inbox = payload, start_hash, inbox

-- Guards.
local refused = not_accepted(rid, kind, plan)
if refused and plan.arriving then redis.call('UNLINK', arriving_key(plan.arriving)) end
if refused then return refused end
if plan.arriving and redis.call('EXISTS', arriving_key(plan.arriving)) == 0 then return { 'NO_PARTS' } end
if plan.parent then
  local status = redis.call('HGET', run_key(plan.parent), 'status') or 'missing'
  if status ~= 'running' then return { 'GONE', status } end
end

-- Writes.
local before = plan.on_conflict == 'restart' and load_run(rid)
if before then
  if before.status == 'running' then finish(before, rid, now, cancelled()) end
  forget(before, rid)
end
local run = accept(rid, kind, plan, now)
if plan.arriving then take_arrived(rid, plan.arriving) end
publish_blobs(rid, payload)
if plan.parent then
  add_child(plan.parent, rid)
  run.parent = plan.parent
end
local tx = begin(run, rid, now)
tx.live = 0
emit(tx, kind.routes, '0', kind.start_name, payload, nil)
refill(tx)
-- Where nothing is to be claimed, its time begins now: the event has filled one slot of a join.
if tx.made == 0 and tx.run.window > 0 then begin_run(tx.run, rid, now) end
if tx.run.exposed then notes().publish_changes(tx, false) end
ring(kind.lane, math.max(tx.made, 1))
return { 'OK' }
