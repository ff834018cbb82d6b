--! lock: ask for the run's lock; granted at once or, in order, by a message to the worker's inbox.
--! use lock
--! key state HASH
--! arg rid   str
--! arg ask   pack  did, nonce, token, worker
--! reply list: 'OK' (held) | 'WAIT' | 'GONE', status | 'FENCED'

local run, rec = load_run(rid), load_record(rid, ask.did)

-- Guards.
local refused = refusal(run, rec, rid, ask.did, ask.nonce)
if refused then return refused end
local holder = redis.call('HGET', lock_key(rid), 'token')
if holder == ask.token then return { 'OK' } end

-- Writes.
if not run.locks then set_rare(rid, 'locks', 1) end
if holder then
  local item = cmsgpack.pack(ask)
  if not redis.call('LPOS', lockers_key(rid), item) then redis.call('RPUSH', lockers_key(rid), item) end
  return { 'WAIT' }
end
redis.call('HSET', lock_key(rid), 'did', ask.did, 'nonce', ask.nonce, 'token', ask.token)
return { 'OK' }
