--! tidy: remove the consumers that workers left which have gone, where nothing of theirs pends.
--! key serving ZSET
--! key work    STREAM
--! key again   STREAM
--! arg idle_ms int   how long a consumer must have done nothing
--! arg groups  pack  list of {lane, kind, event name, step}
--! reply how many consumers were removed

local removed = 0

-- A number is a place of a limited step: it belongs to the step and not to a worker.
local function has_gone(lane, consumer)
  return not string.match(consumer.name, '^%d+$') and consumer.pending == 0 and consumer.idle >= idle_ms
    and not redis.call('ZSCORE', serving_key(lane), consumer.name)
end

for _, g in ipairs(groups) do
  local key = g[2] == 'a' and again_key(g[1], g[3]) or work_key(g[1], g[3])
  local consumers = redis.pcall('XINFO', 'CONSUMERS', key, g[4])
  for _, facts in ipairs(consumers.err and {} or consumers) do
    local consumer = {}
    for i = 1, #facts, 2 do consumer[facts[i]] = facts[i + 1] end
    if has_gone(g[1], consumer) then
      redis.call('XGROUP', 'DELCONSUMER', key, g[4], consumer.name)
      removed = removed + 1
    end
  end
end
return removed
