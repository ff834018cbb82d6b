--! unlock: drop the run's lock, or the wait for it, without a change.
--! use lock
--! arg rid   str
--! arg token str
--! arg after pack  who of the same process is to have it next, as in lock; or empty
--! reply '' (it was not held) | 'ok' | 'yours' | 'queued', see lib/lock.lua

if redis.call('HGET', lock_key(rid), 'token') ~= token then
  for _, item in ipairs(redis.call('LRANGE', lockers_key(rid), '0', '-1')) do
    if cmsgpack.unpack(item).token == token then redis.call('LREM', lockers_key(rid), 1, item) end
  end
  return ''
end
return hand_on(rid, after.token and after)
