--! resume: a step that waited for a child run goes on, once it has its places again.
--! use places
--! arg rid      str
--! arg did      str
--! arg nonce    str
--! arg limit    int  the step's num_workers; 0: none
--! arg lease_ms int
--! reply list: 'OK' | 'WAIT' (what falls free next is reserved) | 'DONE' | 'GONE', status | 'FENCED'

local now, run, rec = now_ms(), load_run(rid), load_record(rid, did)

-- Guards.
local refused = refusal(run, rec, rid, did, nonce)
if refused then return refused end
if not rec.H then return { 'OK' } end
local places = limit > 0 and unheld_places(run.lane, rec.s, limit, now) or { false }
local is_crowded = rec.K and redis.call('SCARD', inside_key(rid, rec.s)) >= rec.K

-- Writes.
if #places == 0 or is_crowded then
  reserve(run.lane, rec.s, rid, did, now)
  return { 'WAIT' }
end
rec.H, rec.l = nil, places[1] or nil
if rec.l then hold_place(run, rid, did, rec, now + lease_ms) end
enter(rid, did, rec, rec.K)
unreserve(run.lane, rec.s, rid, did)
save_record(rid, did, rec)
return { 'OK' }
