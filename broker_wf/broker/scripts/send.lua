--! send: an event from outside into a run, once per event id.
--! flags none
--! use emit
--! key effects SET
--! arg rid     str
--! arg eid     str
--! arg name    str
--! arg payload str
--! arg routes  pack
--! reply list: 'OK', how many deliveries | 'SEEN' | 'GONE', status

local run = load_run(rid)

-- Guards.
if not run then return { 'GONE', 'missing' } end
if run.status ~= 'running' then return { 'GONE', run.status } end
local seen = effects_key(rid, '!sent')
if redis.call('SISMEMBER', seen, eid) == 1 then return { 'SEEN' } end

-- Writes.
redis.call('SADD', seen, eid)
note_key(rid, seen)
local tx = begin(run, rid, now_ms())
emit(tx, routes, eid, name, payload, nil)
if tx.made > 0 then ring(run.lane, tx.made) end
return { 'OK', tx.made }
