--! free: give back the places of deliveries whose lease was lost, once their code has really stopped.
--! use places
--! arg places pack  list of {lane, step, place, run, delivery, nonce}
--! reply how many were freed

local count = 0
for _, p in ipairs(places) do
  local member = p[3] .. '|' .. p[4] .. '|' .. p[5] .. '|' .. p[6]
  count = count + redis.call('ZREM', running_key(base_lane(p[1]), p[2]), member)
  unpark(base_lane(p[1]), p[2])
end
return count
