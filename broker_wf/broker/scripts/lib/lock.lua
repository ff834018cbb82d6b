--! use record inbox
--! key lock    HASH
--! key lockers LIST
-- The run's lock for edit_state: held by one leased delivery, handed on in order of asking.

local function grant_next(rid)
  while true do
    local item = redis.call('LPOP', lockers_key(rid))
    if not item then
      redis.call('DEL', lock_key(rid))
      return
    end
    local next_one = cmsgpack.unpack(item)
    local rec = load_record(rid, next_one.did)
    if rec and rec.st == 'l' and rec.n == next_one.nonce then
      redis.call('HSET', lock_key(rid), 'did', next_one.did, 'nonce', next_one.nonce, 'token', next_one.token)
      push_inbox(next_one.worker, { kind = 'grant', token = next_one.token })
      return
    end
  end
end

-- A delivery that ends, in whatever way, holds no lock.
local function free_lock(run, rid, did, nonce)
  if not run.locks then return end
  local held = redis.call('HMGET', lock_key(rid), 'did', 'nonce')
  if held[1] == did and held[2] == nonce then grant_next(rid) end
end
