--! use record aux lineage
--! key buffers HASH
--! key buffer  LIST
-- collect_events: per (step, buffer) one list per event name; an item is {delivery id, payload, recoveries or nil}.
-- A decision travels with the commit: { buffer, name, payload, want = {name = n}, fire = bool, used = {name = {first id, n}} }.

local function counts_of(rid, field, want)
  local counts = {}
  for name in pairs(want) do counts[name] = redis.call('LLEN', buffer_key(rid, field, name)) end
  return counts
end

local function complete(counts, want, own)
  for name, n in pairs(want) do
    if counts[name] + (name == own and 1 or 0) < n then return false end
  end
  return true
end

-- Whether what the step decided on its snapshot still holds.
local function decision_stands(rid, step, decision)
  local field = step .. ':' .. decision.buffer
  if not decision.fire then
    return not complete(counts_of(rid, field, decision.want), decision.want, decision.name)
  end
  for name, used in pairs(decision.used) do
    local head = redis.call('LINDEX', buffer_key(rid, field, name), 0)
    if not head or cmsgpack.unpack(head)[1] ~= used[1] then return false end
    if redis.call('LLEN', buffer_key(rid, field, name)) < used[2] then return false end
  end
  return true
end

-- The recoveries of the events that a decision takes out of a buffer count for what comes of them.
local function take_over(tx, key, count)
  for _, item in ipairs(redis.call('LRANGE', key, 0, count - 1)) do tx.r = larger(tx.r, cmsgpack.unpack(item)[3]) end
end

local function apply_decision(tx, did, step, decision)
  local rid, field = tx.rid, step .. ':' .. decision.buffer
  if decision.fire then
    for name, used in pairs(decision.used) do
      if tx.run.recovered then take_over(tx, buffer_key(rid, field, name), used[2]) end
      redis.call('LTRIM', buffer_key(rid, field, name), used[2], -1)
    end
    return
  end
  local key, wanted = buffer_key(rid, field, decision.name), decision.want[decision.name] or 0
  if redis.call('LLEN', key) >= wanted then return end
  redis.call('RPUSH', key, cmsgpack.pack({ did, decision.payload, tx.r }))
  note_key(rid, key)
  redis.call('HSET', buffers_key(rid), field, cmsgpack.pack(decision.want))
  if tx.run.buffers then return end
  set_rare(rid, 'buffers', 1)
  tx.run.buffers = '1'
end

-- What a step needs to decide: the counts of its buffers, and the events themselves where they may be complete.
local function snapshot(rid, step, own)
  local out, all = {}, redis.call('HGETALL', buffers_key(rid))
  for i = 1, #all, 2 do
    local field = all[i]
    if string.sub(field, 1, #step + 1) == step .. ':' then
      local want = cmsgpack.unpack(all[i + 1])
      local counts, items = counts_of(rid, field, want), nil
      if complete(counts, want, own) then
        items = {}
        for name, n in pairs(want) do items[name] = redis.call('LRANGE', buffer_key(rid, field, name), 0, n - 1) end
      end
      out[#out + 1] = { buffer = string.sub(field, #step + 2), counts = counts, items = items }
    end
  end
  return out
end
