--! suspend: park a delivery whose step waits for an event; publish what it asks, once.
--! use end waiting blobs
--! arg rid  str
--! arg did  str
--! arg plan pack  nonce, busy, effects, waits {{id, names, fields {name = hash}, timeout_ms or nil, asks {name, payload} or nil,
--!                takes event id or nil, seen {event id = true}}}, hashes {event id = {field = hash}} or nil, refs or nil
--! reply list: 'OK' | 'DONE' | 'GONE', status | 'FENCED' | 'NO_BLOB' | 'FIELDS', field… |
--!             'EARLY', packed list of {number of the wait, event id, payload}: events it may take; ask again with takes, seen

local now, run, rec = now_ms(), load_run(rid), load_record(rid, did)

-- Guards.
local refused = refusal(run, rec, rid, did, plan.nonce)
if refused then
  local again = refused[1] == 'FENCED' and (rec or stored(waiting_key(rid), did))
  if again and again.e == plan.nonce then return { 'DONE', run.status } end
  return refused
end
local lack = lack_of(rid, plan.refs) or unasked_fields(run, rid, nil, plan.effects, plan.hashes)
if lack then return lack end
local early = candidates(rid, did, plan.waits)
if #early > 0 then return { 'EARLY', cmsgpack.pack(early) } end

-- Writes.
set_rare(rid, 'waits', 1)
run.waits = 1
rec.q, rec.e = rec.q or {}, rec.n
rec.q.w = 1
note_key(rid, waits_key(rid, did))
local tx = begin(run, rid, now)
tx.hashes = plan.hashes
tx.r = rec.r
apply_effects(tx, did, rec, plan.effects)
if tx.lost then notes().lose(tx, false) end
if rec.V then notes().publish_stop(run, rid, rec, now) end
local due, settled = register(tx, did, rec, plan.waits)
free_place(run, rid, did, rec)
free_lock(run, rid, did, rec.n)
park_delivery(tx, did, rec, due)
-- What its own effects have just sent is looked at when it starts again.
if settled or #candidates(rid, did, plan.waits) > 0 then wake(tx, did, rec) end
refill(tx)
if run.exposed then notes().publish_changes(tx, true) end
ring_for(run.lane, tx.made, plan.busy == 1)
return { 'OK' }
