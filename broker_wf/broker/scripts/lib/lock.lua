--! use record inbox
--! key lock    HASH
--! key lockers LIST
-- The run's lock for edit_state: held by one leased delivery, handed on in order of asking. Whoever gives it back may name
-- somebody of the same process to have it next, so that it need not be asked for; so often in a row while others wait.

local IN_A_ROW = 16

local function is_leased(rid, ask)
  local rec = load_record(rid, ask.did)
  return rec and rec.st == 'l' and rec.n == ask.nonce
end

local function grant_next(rid)
  while true do
    local item = redis.call('LPOP', lockers_key(rid))
    if not item then
      redis.call('DEL', lock_key(rid))
      return
    end
    local next_one = cmsgpack.unpack(item)
    if is_leased(rid, next_one) then
      redis.call('HSET', lock_key(rid), 'did', next_one.did, 'nonce', next_one.nonce, 'token', next_one.token, 'row', 0)
      push_inbox(next_one.worker, { kind = 'grant', token = next_one.token })
      return
    end
  end
end

-- 'yours': the one named has it; 'queued': it stands in line; 'ok': it is not concerned.
local function hand_on(rid, ask)
  if not ask or not is_leased(rid, ask) then
    grant_next(rid)
    return 'ok'
  end
  local item, row = cmsgpack.pack(ask), tonumber(redis.call('HGET', lock_key(rid), 'row') or 0)
  local stood = redis.call('LREM', lockers_key(rid), 1, item)
  if row >= IN_A_ROW and redis.call('LLEN', lockers_key(rid)) > 0 then
    redis.call('RPUSH', lockers_key(rid), item)
    grant_next(rid)
    return 'queued'
  end
  redis.call('HSET', lock_key(rid), 'did', ask.did, 'nonce', ask.nonce, 'token', ask.token, 'row', row + 1)
  if stood > 0 then push_inbox(ask.worker, { kind = 'grant', token = ask.token }) end
  return 'yours'
end

-- A delivery that ends, in whatever way, holds no lock.
local function free_lock(run, rid, did, nonce)
  if not run.locks then return end
  local held = redis.call('HMGET', lock_key(rid), 'did', 'nonce')
  if held[1] == did and held[2] == nonce then grant_next(rid) end
end
