--! free: give back the places of deliveries whose lease was lost, once their code has really stopped.
--! use places
--! arg places pack  list of {lane, step, run, delivery, nonce}
--! reply how many were freed

local count = 0
for _, p in ipairs(places) do
  local key, ending = running_key(base_lane(p[1]), p[2]), '|' .. p[3] .. '|' .. p[4] .. '|' .. p[5]
  for _, member in ipairs(redis.call('ZRANGE', key, '0', '-1')) do
    if string.sub(member, -#ending) == ending then count = count + redis.call('ZREM', key, member) end
  end
  unpark(base_lane(p[1]), p[2])
end
return count
