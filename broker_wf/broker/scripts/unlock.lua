--! unlock: drop the run's lock, or the wait for it, without a change.
--! use lock
--! arg rid   str
--! arg token str
--! reply 1 if it was held

if redis.call('HGET', lock_key(rid), 'token') ~= token then
  for _, item in ipairs(redis.call('LRANGE', lockers_key(rid), 0, -1)) do
    if cmsgpack.unpack(item).token == token then redis.call('LREM', lockers_key(rid), 1, item) end
  end
  return 0
end
grant_next(rid)
return 1
