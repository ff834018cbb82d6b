--! goodbye: a worker has stopped; it leaves the roster, and the groups where nothing of it pends.
--! key roster  ZSET
--! key worker  STRING
--! key serving ZSET
--! key inbox   LIST
--! key claimed STRING
--! key work    STREAM
--! key again   STREAM
--! arg id     str
--! arg lanes  pack  list of lanes
--! arg groups pack  list of {lane, kind, event name, step}
--! reply how many consumers were removed

local removed = 0
redis.call('ZREM', roster_key(), id)
redis.call('UNLINK', worker_key(id), inbox_key(id), claimed_key(id))
for _, lane in ipairs(lanes) do redis.call('ZREM', serving_key(lane), id) end
for _, g in ipairs(groups) do
  local key = g[2] == 'a' and again_key(g[1], g[3]) or work_key(g[1], g[3])
  local consumers = redis.pcall('XINFO', 'CONSUMERS', key, g[4])
  if not consumers.err then
    for _, c in ipairs(consumers) do
      local facts = {}
      for i = 1, #c, 2 do facts[c[i]] = c[i + 1] end
      if facts['name'] == id and facts['pending'] == 0 then
        redis.call('XGROUP', 'DELCONSUMER', key, g[4], id)
        removed = removed + 1
      end
    end
  end
end
return removed
