--! use emit feed
--! key waits   HASH
--! key waiting HASH
--! key early   LIST
--! key queued  ZSET
--! key watch   ZSET
-- Registering waiters, and parking the delivery they belong to.

local function set_of(wait)
  local names = {}
  for _, name in ipairs(wait.names) do names[name] = true end
  return names
end

-- Goes through the early events that a wait may take: visit(item, packed item, the waiter) until it says true.
local function each_early(rid, did, wait, visit)
  local ref, names = cmsgpack.pack({ did, wait.id }), set_of(wait)
  for _, raw in ipairs(redis.call('LRANGE', early_key(rid), '0', '-1')) do
    local item = cmsgpack.unpack(raw)
    if names[item[2]] and (not item[4] or item[4][ref]) and visit(item, raw, ref) then return end
  end
end

-- Early events that only the step can compare with what it requires.
local function candidates(rid, did, waits)
  local found = {}
  for number, wait in ipairs(waits) do
    local waiter = stored(waits_key(rid, did), wait.id)
    if next(wait.fields) and not wait.takes and not (waiter and waiter.s ~= 'w') then
      each_early(rid, did, wait, function(item)
        if not wait.seen[item[1]] then found[#found + 1] = { number, item[1], item[3] } end
      end)
    end
  end
  return found
end

-- What stays in the list of an early event that a waiter has looked at: nil if nobody is to see it any more.
local function look_away(item, ref, takes)
  if not item[4] then return not takes and cmsgpack.pack(item) or nil end
  item[4][ref], item[5] = nil, item[5] or takes
  if next(item[4]) then return cmsgpack.pack(item) end
  return not item[5] and cmsgpack.pack({ item[1], item[2], item[3] }) or nil
end

-- An early event leaves the list with the waiter that takes it; one that was offered, with the last that has looked at it.
local function take_early(rid, did, wait)
  local answer_payload
  each_early(rid, did, wait, function(item, raw, ref)
    local takes = not next(wait.fields) or wait.takes == item[1]
    if not takes and not item[4] then return false end
    local left = look_away(item, ref, takes)
    if left then redis.call('LINSERT', early_key(rid), 'BEFORE', raw, left) end
    redis.call('LREM', early_key(rid), 1, raw)
    if takes then answer_payload = item[3] end
    return takes
  end)
  return answer_payload
end

local function new_waiter(tx, did, rec, wait)
  local waiter = { s = 'w', n = wait.names, f = wait.fields, d = wait.timeout_ms and tx.now + wait.timeout_ms or nil }
  if wait.asks then waiter.k = append_feed(tx.rid, wait.asks[1], wait.asks[2], rec.s, tx.now, publisher(rec), 'w') end
  redis.call('HSET', waits_key(tx.rid, did), wait.id, cmsgpack.pack(waiter))
  start_waiting(tx.rid, cmsgpack.pack({ did, wait.id }), rec.s, waiter)
  return waiter
end

-- Registers what is new. Says when the first of them times out, and whether one has its answer already.
local function register(tx, did, rec, waits)
  local due, settled = nil, false
  for _, wait in ipairs(waits) do
    local waiter = stored(waits_key(tx.rid, did), wait.id) or new_waiter(tx, did, rec, wait)
    local payload = waiter.s == 'w' and take_early(tx.rid, did, wait)
    if payload then settle(tx, did, wait.id, waiter, 'a', payload) end
    if waiter.s ~= 'w' then settled = true end
    if waiter.d and (not due or waiter.d < due) then due = waiter.d end
  end
  return due, settled
end

-- Out of `live`, so that it takes no room in the window. It is watched for its time-out, or for ever.
local function park_delivery(tx, did, rec, due)
  local rid = tx.rid
  retire_record(tx.run, rid, did, rec)
  redis.call('HDEL', live_key(rid), did)
  count_live(tx, -1)
  rec.st, rec.n, rec.w, rec.l, rec.i, rec.o, rec.d = 'w', nil, nil, nil, nil, nil, due
  redis.call('HSET', waiting_key(rid), did, cmsgpack.pack(rec))
  redis.call('ZADD', watch_key(), due or '+inf', rid .. '|' .. did)
end
