--! use splice lock aux state
--! key changed HASH
-- A change of the state that depends on what stands there: a number raised, a list or a set grown. It is made here, or
-- worked out by Python on a version that must still stand, or under the run's lock, as an edit of several keys. Its result
-- is remembered for the delivery under its id: made again, it changes nothing and gives the same.
-- A change: did, nonce, id; token of the run's lock if that is held for it, and after: who of the same worker is to have
-- that next, or nil. To be made here: key, kind, path (behind the key), values (encoded, without their first byte), make
-- (1: there may be no such key yet), most_bytes, most_keys. Worked out: key, value, version, result. An edit: sets, dels.

-- Once a delivery has made a change, its end forgets what it remembers.
local function note_change(rid, did, rec)
  if rec.q and rec.q.c then return end
  note_key(rid, changed_key(rid, did))
  rec.q = rec.q or {}
  rec.q.c = 1
  save_record(rid, did, rec)
end

-- Makes the change that is not an edit. Its result, or nil and why it was not made.
local function make_change(rid, change)
  local version, before = state_of(rid, change.key)
  local value, result = change.value, change.result
  if value then
    if change.version ~= version then return nil, 'conflict' end
  else
    if not before and change.make ~= 1 then return nil, 'hard' end
    local splice = splicing().changed
    local fine, new, found = pcall(splice, before, change.kind, change.path, change.values, change.most_keys)
    if not fine and new ~= HARD then error(new, 0) end
    if not fine or #new > change.most_bytes then return nil, 'hard' end
    value, result = new, found
  end
  write_state(rid, change.key, value, version)
  return result
end

-- {'ok', result}, of a change under the lock also 'yours' or 'queued', see lib/lock.lua | {'seen', result} | {'locked'} |
-- {'lost'}: the lock | {'conflict'} | {'hard'}: worked out by Python, please.
local function change_state(run, rid, change)
  local known = redis.call('HGET', changed_key(rid, change.did), change.id)
  if known then return { 'seen', known } end
  if change.token then
    if redis.call('HGET', lock_key(rid), 'token') ~= change.token then return { 'lost' } end
  elseif run.locks and redis.call('EXISTS', lock_key(rid)) == 1 then
    return { 'locked' }
  end
  local result, why = '', nil
  if change.sets then
    for _, pair in ipairs(change.sets) do write_state(rid, pair[1], pair[2]) end
    for _, key in ipairs(change.dels) do redis.call('HDEL', state_key(rid), key) end
  else
    result, why = make_change(rid, change)
    if not result then return { why } end
  end
  redis.call('HSET', changed_key(rid, change.did), change.id, result)
  return { change.token and hand_on(rid, change.after) or 'ok', result }
end

local function forget_changes(rid, did, rec)
  if rec.q and rec.q.c then drop_key(rid, changed_key(rid, did)) end
end
