--! use dispatch aux lineage notes waits
--! key collections HASH
--! key open        SET
--! key batch       LIST
--! key slot        LIST
-- Events to the steps that take them: single deliveries, slots of a join, members of a collection.
--
-- tx is what one script is changing: run, rid, now, live (how many there are, once somebody has asked), ended (how many it
-- has ended whose room is not taken), made (entries added), r
-- (recoveries along the lineage of what is handed on), keep (see lib/hand.lua), gathers (batch -> payloads that are added
-- to it at the end, if this script gathers them), gathered (likewise, see enqueue), collections (those that were read), hashes (of the fields that waiters ask for, by event id).
-- routes: packed: event name -> { to = steps, slots = {{step, index, count, name}}, into = {{step}}, limits = {step = num_workers},
-- lost = {class, qualified name} if it may be that nobody takes the event, keep = it is kept for a waiter to come, only }.
-- A collection is a map: m its parent, joins = {{step, take, name}}, fired = {step = true}, r the recoveries in it.

local function begin(run, rid, now)
  return { run = run, rid = rid, now = now, ended = 0, made = 0 }
end

local function new_record(tx, step, name, payload, m)
  return { st = 'q', s = step, t = name, p = payload, a = 1, c = 0, m = m, b = tx.now, r = tx.r }
end

local leave_collection, open_collection, close_collection, emit, emit_all, push_gathered
-- What is inside is nobody else's: as one text a script may have 200 locals at a time.
do
  -- Of many the members are written together.
  local function join_collection(tx, cid, did)
    local members = tx.gathered and tx.gathered.members
    if not members then return redis.call('SADD', open_key(tx.rid, cid), did) end
    members[cid] = members[cid] or {}
    table.insert(members[cid], did)
  end

  -- Deliveries of one event, new: into streams if they fit the window, else into the backlog.
  local function add(tx, eid, recs, kind)
    local roomy = has_room(tx, #recs)
    for _, rec in ipairs(recs) do
      local did = eid .. '@' .. rec.s
      if rec.m then join_collection(tx, rec.m, did) end
      if not roomy then to_backlog(tx.run, tx.rid, did, rec, kind) end
    end
    if not roomy then return end
    if tx.keep and tx.keep(eid, recs) then return count_live(tx, 1) end
    enqueue(tx.run, tx.rid, eid, recs, kind, tx.now, tx.gathered)
    count_live(tx, #recs)
    tx.made = tx.made + #recs
  end

  -- Read once by each script.
  local function load_collection(tx, cid)
    tx.collections = tx.collections or {}
    if not tx.collections[cid] then
      local raw = redis.call('HGET', collections_key(tx.rid), cid)
      tx.collections[cid] = raw and cmsgpack.unpack(raw) or nil
    end
    return tx.collections[cid]
  end

  local function save_collection(tx, cid, col)
    tx.collections = tx.collections or {}
    tx.collections[cid] = col
    redis.call('HSET', collections_key(tx.rid), cid, cmsgpack.pack(col))
  end

  local function fire_join(tx, cid, col, join)
    local rec = new_record(tx, join[1], join[3], '', col.m)
    rec.j, rec.r = cid, col.r
    col.fired[join[1]] = true
    add(tx, cid, { rec }, 'a')
  end

  -- Nothing descends from the collection any more: its joins fire, in the place of the collection in its parent.
  close_collection = function(tx, cid)
    while cid do
      local col = load_collection(tx, cid)
      if not col then return end
      for _, join in ipairs(col.joins) do
        if not col.fired[join[1]] then fire_join(tx, cid, col, join) end
      end
      redis.call('HDEL', collections_key(tx.rid), cid)
      tx.collections[cid] = nil
      redis.call('SREM', aux_key(tx.rid), open_key(tx.rid, cid))
      local parent = col.m
      if parent then
        redis.call('SREM', open_key(tx.rid, parent), cid)
        if redis.call('SCARD', open_key(tx.rid, parent)) > 0 then parent = nil end
      end
      cid = parent
    end
  end

  leave_collection = function(tx, cid, ...)
    if not cid then return end
    redis.call('SREM', open_key(tx.rid, cid), ...)
    if redis.call('SCARD', open_key(tx.rid, cid)) == 0 then close_collection(tx, cid) end
  end

  open_collection = function(tx, cid, parent, joins)
    save_collection(tx, cid, { m = parent, joins = joins, fired = {}, r = tx.r })
    note_key(tx.rid, open_key(tx.rid, cid))
    if parent then redis.call('SADD', open_key(tx.rid, parent), cid) end
  end

  local function push_to_batch(tx, key, ...)
    local size = redis.call('RPUSH', key, ...)
    if size == select('#', ...) then note_key(tx.rid, key) end
    return size
  end

  -- A join that takes all there will be is asked at the end of its collection: until then its events may be gathered.
  local function gathered(tx, key, join, payload)
    if not tx.gathers or join[2] then return false end
    tx.gathers[key] = tx.gathers[key] or {}
    table.insert(tx.gathers[key], payload)
    return true
  end

  push_gathered = function(tx)
    for key, payloads in pairs(tx.gathers) do push_to_batch(tx, key, unpack(payloads)) end
    tx.gathers = nil
  end

  local function add_to_batch(tx, cid, step, payload)
    local col = load_collection(tx, cid)
    if not col or col.fired[step] then return end
    for _, join in ipairs(col.joins) do
      if join[1] == step then
        local key = batch_key(tx.rid, cid, step)
        local size = not gathered(tx, key, join, payload) and push_to_batch(tx, key, payload)
        col.r = larger(col.r, tx.r)
        if size and size == join[2] then fire_join(tx, cid, col, join) end
        if size and size == join[2] or tx.r then save_collection(tx, cid, col) end
      end
    end
  end

  local function fill_slot(tx, eid, slot, payload, m)
    local step, count, keys = slot[1], slot[3], {}
    for i = 1, count do keys[i] = slot_key(tx.rid, step, m or '', i) end
    redis.call('RPUSH', keys[slot[2]], with_counts(payload, tx.r))
    note_key(tx.rid, keys[slot[2]])
    for i = 1, count do
      if redis.call('LLEN', keys[i]) == 0 then return end
    end
    local payloads, all, counts = {}, nil, nil
    for i = 1, count do
      payloads[i], counts = without_counts(redis.call('LPOP', keys[i]))
      all = larger(all, counts)
    end
    local rec = new_record(tx, step, slot[4], cmsgpack.pack(payloads), m)
    rec.j, rec.v, rec.r = 'slots', slot[2], all
    add(tx, eid, { rec }, 'a')
  end

  -- Hands an event to everyone who takes it. False if nobody does.
  emit = function(tx, routes, eid, name, payload, m)
    local route = known(routes)[name]
    if not route then return false end
    local took, offered
    if tx.run.waits then took, offered = answer(tx, route, eid, name, payload) end
    if took then route = route_without(route, took) end
    if route.keep and not offered then keep_early(tx, eid, name, payload) end
    local recs = {}
    for i, step in ipairs(route.to) do recs[i] = new_record(tx, step, name, payload, m) end
    if recs[1] then
      if route.limits and tx.run.exposed then notes().wait(tx, route.limits, recs) end
      add(tx, eid, recs, 'w')
    end
    for _, slot in ipairs(route.slots) do fill_slot(tx, eid, slot, payload, m) end
    if m then
      for _, step in ipairs(route.into) do add_to_batch(tx, m, step, payload) end
    end
    if route.lost and tx.run.exposed and not offered and not (m and route.into[1]) then
      tx.lost = tx.lost or {}
      tx.lost[#tx.lost + 1] = route.lost
    end
    return true
  end

  -- Hands on several events; what they write is written together.
  emit_all = function(tx, routes, emits, m)
    if emits[2] then
      tx.live = tx.live or redis.call('HLEN', live_key(tx.rid))
      tx.gathered = gathering()
    end
    for _, one in ipairs(emits) do emit(tx, routes, one[1], one[2], one[3], m) end
    if tx.gathered then
      write_queued(tx.rid, tx.gathered)
      for cid, dids in pairs(tx.gathered.members) do
        for i = 1, #dids, 1000 do redis.call('SADD', open_key(tx.rid, cid), unpack(dids, i, math.min(i + 999, #dids))) end
      end
    end
    tx.gathered = nil
  end
end
