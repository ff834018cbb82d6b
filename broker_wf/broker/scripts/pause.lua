--! pause: a step waits for a child run: its places are for others meanwhile.
--! use places
--! arg rid   str
--! arg did   str
--! arg nonce str
--! reply list: 'OK' | 'DONE' | 'GONE', status | 'FENCED'

local run, rec = load_run(rid), load_record(rid, did)

-- Guards.
local refused = refusal(run, rec, rid, did, nonce)
if refused then return refused end
if rec.H then return { 'OK' } end

-- Writes. The limit stays: it says what the delivery comes back to.
local limit = rec.K
free_place(run, rid, did, rec)
rec.K, rec.l, rec.H = limit, nil, 1
save_record(rid, did, rec)
return { 'OK' }
