--! release: hand deliveries back that were claimed and not finished; neither attempt nor crashes change.
--! use end finish
--! arg leases pack  list of {run, delivery, nonce}
--! reply how many went back to their stream

local now, count = now_ms(), 0
for _, one in ipairs(leases) do
  local run, rec = load_run(one[1]), load_record(one[1], one[2])
  if not refusal(run, rec, one[1], one[2], one[3]) then
    if rec.V then notes().publish_stop(run, one[1], rec, now) end
    free_place(run, one[1], one[2], rec)
    free_lock(run, one[1], one[2], rec.n)
    redis.call('ZREM', watch_key(), one[1] .. '|' .. one[2])
    ring(redispatch(run, one[1], one[2], rec, now), 1)
    count = count + 1
  end
end
return count
