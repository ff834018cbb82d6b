--! use dispatch aux
--! key waits   HASH
--! key waiters HASH
--! key wanted  HASH
--! key shapes  SET
--! key waiting HASH
--! key early   LIST
--! key once    HASH
--! key watch   ZSET
-- wait_for_event. A waiter is a map: s 'w' waits, 'a' answered, 't' timed out; n the event names it takes; f the fields
-- it requires -> hash of the value, '' if only the step can compare it; d when it times out; p the answer; k the seq of
-- what it asks in the feed.
-- `waiters` finds those that still wait by event name, `wanted` by the hash of all that they require besides, and `shapes`
-- tells which fields are asked for: so an event costs what it answers, and not how many wait. A delivery that waits and is not executing is in `waiting` instead
-- of `live`. An event that nobody took is in `early`: {event id, name, payload, to, done}; `to`: the waiters that have yet
-- to look at it, done: somebody has it.

local EARLY_CAP = 100

local function stored(key, field)
  local raw = redis.call('HGET', key, field)
  return raw and cmsgpack.unpack(raw) or nil
end

local function names_of(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- What a waiter wants, or an event is, in these fields; '?' if only the step can tell.
local function value_of(names, hashes)
  if #names == 0 then return '' end
  local parts = {}
  for i, name in ipairs(names) do
    local hash = hashes[name] or ''
    if hash == '' then return '?' end
    parts[2 * i - 1], parts[2 * i] = name, hash
  end
  return redis.sha1hex(cmsgpack.pack(parts))
end

local function put_noted(rid, key, field, value)
  redis.call('HSET', key, field, value)
  note_key(rid, key)
end

local function start_waiting(rid, ref, step, waiter)
  local names, packed = names_of(waiter.f), cmsgpack.pack({ s = step, f = waiter.f })
  for _, event in ipairs(waiter.n) do
    put_noted(rid, waiters_key(rid, event), ref, packed)
    put_noted(rid, wanted_key(rid, event, value_of(names, waiter.f)), ref, packed)
    if names[1] and redis.call('SADD', shapes_key(rid, event), cmsgpack.pack(names)) == 1 then
      note_key(rid, shapes_key(rid, event))
    end
  end
end

local function take_noted(rid, key, field)
  redis.call('HDEL', key, field)
  if redis.call('EXISTS', key) == 1 then return false end
  redis.call('SREM', aux_key(rid), key)
  return true
end

local function stop_waiting(rid, ref, waiter)
  local value = value_of(names_of(waiter.f), waiter.f)
  for _, event in ipairs(waiter.n) do
    take_noted(rid, wanted_key(rid, event, value), ref)
    if take_noted(rid, waiters_key(rid, event), ref) then drop_key(rid, shapes_key(rid, event)) end
  end
end

-- Those that an event may be for: {waiter, what it asks, …}.
local function asking(rid, event, hashes)
  if redis.call('EXISTS', waiters_key(rid, event)) == 0 then return {} end
  local values, found = { '', '?' }, {}
  for _, shape in ipairs(redis.call('SMEMBERS', shapes_key(rid, event))) do
    local value = value_of(cmsgpack.unpack(shape), hashes)
    if value == '?' then return redis.call('HGETALL', waiters_key(rid, event)) end
    values[#values + 1] = value
  end
  for _, value in ipairs(values) do
    for _, item in ipairs(redis.call('HGETALL', wanted_key(rid, event, value))) do found[#found + 1] = item end
  end
  return found
end

-- The events that effects hand on, after those of a commit.
local function handed_on(emits, effects)
  local handed = {}
  for _, one in ipairs(emits or {}) do handed[#handed + 1] = one end
  for _, one in ipairs(effects) do
    if one.kind == 'send' then handed[#handed + 1] = { one.id, one.name } end
  end
  return handed
end

-- What a sender did not tell of the events it hands on, and a waiter asks for: nil, or {'FIELDS', field…}.
local function unasked_fields(run, rid, emits, effects, hashes)
  if not run.waits then return nil end
  local lacking, reply = {}, { 'FIELDS' }
  for _, one in ipairs(handed_on(emits, effects)) do
    local told = hashes and hashes[one[1]] or {}
    for _, shape in ipairs(redis.call('SMEMBERS', shapes_key(rid, one[2]))) do
      for _, field in ipairs(cmsgpack.unpack(shape)) do
        if not told[field] then lacking[field] = true end
      end
    end
  end
  for field in pairs(lacking) do reply[#reply + 1] = field end
  return reply[2] and reply or nil
end

-- A delivery goes on: into a stream if it fits the window, else into the backlog.
local function wake(tx, did, rec)
  redis.call('HDEL', waiting_key(tx.rid), did)
  redis.call('ZREM', watch_key(), tx.rid .. '|' .. did)
  rec.st, rec.d = 'q', nil
  if not has_room(tx, 1) then return to_backlog(tx.run, tx.rid, did, rec, 'a') end
  enqueue(tx.run, tx.rid, event_of(did, rec.s), { rec }, 'a', tx.now)
  count_live(tx, 1)
  tx.made = tx.made + 1
end

local function wake_if_waiting(tx, did)
  local rec = stored(waiting_key(tx.rid), did)
  if rec then wake(tx, did, rec) end
end

local function settle(tx, did, wid, waiter, state, payload)
  waiter.s, waiter.p = state, payload
  redis.call('HSET', waits_key(tx.rid, did), wid, cmsgpack.pack(waiter))
  stop_waiting(tx.rid, cmsgpack.pack({ did, wid }), waiter)
end

-- Whether an event of these hashes is what a waiter requires: 'sure', 'ask' the step, or nil.
local function fits(fields, hashes)
  local fit = 'sure'
  for field, hash in pairs(fields) do
    local theirs = hashes[field] or ''
    if hash == '' or theirs == '' then
      fit = 'ask'
    elseif hash ~= theirs then
      return nil
    end
  end
  return fit
end

local function keep_early(tx, eid, name, payload, to, done)
  redis.call('RPUSH', early_key(tx.rid), cmsgpack.pack({ eid, name, payload, to, done }))
  redis.call('LTRIM', early_key(tx.rid), -EARLY_CAP, -1)
end

-- Gives an event to every waiter it is for. The steps that took it get it no other way: {step = true}, or nil.
local function answer(tx, route, eid, name, payload)
  local hashes, took, offered = tx.hashes and tx.hashes[eid] or {}, nil, nil
  local all = asking(tx.rid, name, hashes)
  for i = 1, #all, 2 do
    local did, wid = unpack(cmsgpack.unpack(all[i]))
    local asked = cmsgpack.unpack(all[i + 1])
    local fit = (not route.only or route.only == asked.s) and fits(asked.f, hashes)
    if fit == 'sure' then
      took = took or {}
      took[asked.s] = true
      settle(tx, did, wid, stored(waits_key(tx.rid, did), wid), 'a', payload)
    elseif fit == 'ask' then
      offered = offered or {}
      offered[all[i]] = true
    end
    if fit then wake_if_waiting(tx, did) end
  end
  if offered then keep_early(tx, eid, name, payload, offered, took ~= nil or not route.keep) end
  return took, offered
end

-- A route without the steps whose waiters took the event.
local function route_without(route, took)
  local left = { to = {}, slots = {}, into = {}, limits = route.limits }
  for _, step in ipairs(route.to) do if not took[step] then left.to[#left.to + 1] = step end end
  for _, slot in ipairs(route.slots) do if not took[slot[1]] then left.slots[#left.slots + 1] = slot end end
  for _, step in ipairs(route.into) do if not took[step] then left.into[#left.into + 1] = step end end
  return left
end

-- A waiting delivery is due: the waiters whose time is over get no answer any more. True if it goes on.
local function time_out_waits(tx, did)
  local rec = stored(waiting_key(tx.rid), did)
  if not rec or not rec.d then
    redis.call('ZREM', watch_key(), tx.rid .. '|' .. did)
    if rec then redis.call('ZADD', watch_key(), '+inf', tx.rid .. '|' .. did) end
    return false
  end
  local all, over = redis.call('HGETALL', waits_key(tx.rid, did)), math.max(tx.now, rec.d)
  for i = 1, #all, 2 do
    local waiter = cmsgpack.unpack(all[i + 1])
    if waiter.s == 'w' and waiter.d and waiter.d <= over then settle(tx, did, all[i], waiter, 't') end
  end
  wake(tx, did, rec)
  return true
end

-- The delivery has ended: so have its waiters, and what it remembered.
local function forget_waits(rid, did, rec)
  local has = rec.q
  if not has then return end
  local all = has.w and redis.call('HGETALL', waits_key(rid, did)) or {}
  for i = 1, #all, 2 do
    local waiter = cmsgpack.unpack(all[i + 1])
    if waiter.s == 'w' then stop_waiting(rid, cmsgpack.pack({ did, all[i] }), waiter) end
  end
  if has.w then drop_key(rid, waits_key(rid, did)) end
  if has.o then drop_key(rid, once_key(rid, did)) end
end
