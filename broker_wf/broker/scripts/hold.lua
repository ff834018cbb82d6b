--! hold: keep the places of deliveries whose lease is over while their code still runs: a thread cannot be stopped.
--! use places
--! arg lease_ms int
--! arg places   pack  list of {lane, step, place, run, delivery, nonce}
--! reply how many are still held

local until_ms, count = now_ms() + lease_ms, 0
for _, p in ipairs(places) do
  local key, member = running_key(base_lane(p[1]), p[2]), p[3] .. '|' .. p[4] .. '|' .. p[5] .. '|' .. p[6]
  if redis.call('ZSCORE', key, member) then
    redis.call('ZADD', key, until_ms, member)
    count = count + 1
  end
end
return count
