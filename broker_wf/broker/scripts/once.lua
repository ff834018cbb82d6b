--! once: remember a result for a delivery; the first one stays.
--! use record aux
--! key once HASH
--! arg rid   str
--! arg did   str
--! arg nonce str
--! arg key   str
--! arg value str
--! reply list: 'OK', what is remembered | 'DONE' | 'GONE', status | 'FENCED'

local run, rec = load_run(rid), load_record(rid, did)

-- Guards.
local refused = refusal(run, rec, rid, did, nonce)
if refused then return refused end

-- Writes.
if redis.call('HSETNX', once_key(rid, did), key, value) == 1 and not (rec.q and rec.q.o) then
  note_key(rid, once_key(rid, did))
  rec.q = rec.q or {}
  rec.q.o = 1
  save_record(rid, did, rec)
end
return { 'OK', redis.call('HGET', once_key(rid, did), key) }
