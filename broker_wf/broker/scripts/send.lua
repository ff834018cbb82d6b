--! send: an event from outside into a run, once per event id.
--! flags none
--! use emit blobs kept
--! key effects SET
--! arg rid     str
--! arg eid     str
--! arg name    str
--! arg payload str
--! arg routes  str   packed
--! arg hashes  pack  {event id = {field = hash}} of what waiters ask for
--! arg parts   rest  of what the payload refers to: hash, encoded part, the next hash …
--! reply list: 'OK', how many deliveries | 'SEEN' | 'GONE', status | 'FIELDS', field…

local run = load_run(rid)

-- The event may have ended the run, and the reply that it was taken be lost: the record keeps the ids of the last ones.
local LAST, ID_BYTES = 64, 18

-- Guards.
if not run then return { 'GONE', 'missing' } end
local sent = redis.call('HGET', run_key(rid), 'sent') or ''
if run.status ~= 'running' then
  return string.find(sent, eid .. ',', 1, true) and { 'SEEN' } or { 'GONE', run.status }
end
local seen = effects_key(rid, '!sent')
if redis.call('SISMEMBER', seen, eid) == 1 then return { 'SEEN' } end
local lack = unasked_fields(run, rid, { { eid, name } }, {}, hashes)
if lack then return lack end

-- Writes.
redis.call('SADD', seen, eid)
redis.call('HSET', run_key(rid), 'sent', string.sub(eid .. ',' .. sent, 1, LAST * ID_BYTES))
note_key(rid, seen)
keep_blobs(rid, parts)
local tx = begin(run, rid, now_ms())
tx.hashes = hashes
keep(run, rid, 's', eid, cmsgpack.pack({ name, payload, routes }), parts[1])
emit(tx, routes, eid, name, payload, nil)
refill(tx)
if tx.run.exposed then notes().publish_changes(tx, false) end
if tx.made > 0 then ring(run.lane, tx.made) end
return { 'OK', tx.made }
