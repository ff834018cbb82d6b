--! effect: apply what a step did by call, in order; each once.
--! use effects blobs kept
--! arg rid     str
--! arg did     str
--! arg nonce   str
--! arg busy    int
--! arg effects pack  list of {id, kind, …}, see lib/effects.lua
--! arg refs    pack  hashes of the blobs their payloads need
--! arg hashes  pack  {event id = {field = hash}} of what waiters ask for
--! reply list: 'OK', list of replies | 'DONE' | 'GONE', status | 'FENCED' | 'NO_BLOB' | 'FIELDS', field…

local run, rec = load_run(rid), load_record(rid, did)

-- Guards.
local refused = refusal(run, rec, rid, did, nonce)
if refused then return refused end
local lack = lack_of(rid, refs) or unasked_fields(run, rid, nil, effects, hashes)
if lack then return lack end

-- Writes.
local tx = begin(run, rid, now_ms())
tx.r = rec.r
tx.hashes = hashes
local replies = apply_effects(tx, did, rec, effects)
keep_sent(run, rid, 'e', did, effects, ARGV[5], refs)
refill(tx)
if tx.run.exposed then notes().publish_changes(tx, false) end
ring_for(run.lane, tx.made, busy == 1)
return { 'OK', replies }
