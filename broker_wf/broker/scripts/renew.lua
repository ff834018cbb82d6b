--! renew: keep a batch of leases; says which are lost.
--! use places
--! key watch ZSET
--! arg lease_ms int
--! arg leases   pack  list of {run, delivery, nonce}
--! reply list of positions (from 1) that are lost or whose run has ended

local now, held, lost = now_ms(), {}, {}

-- Guards.
for i, one in ipairs(leases) do
  local run, rec = load_run(one[1]), load_record(one[1], one[2])
  if run and run.status == 'running' and rec and rec.st == 'l' and rec.n == one[3] then
    held[#held + 1] = { run, one[1], one[2], rec }
  else
    lost[#lost + 1] = i
  end
end

-- Writes.
for _, one in ipairs(held) do
  redis.call('ZADD', watch_key(), now + lease_ms, one[2] .. '|' .. one[3])
  if one[4].l then hold_place(one[1], one[2], one[3], one[4], now + lease_ms) end
end
return lost
