--! use effects changes places waits
--! key watch ZSET
-- The end of one delivery, shared by what ends it: commit, fail, poison.

-- Whether the server lacks what was acknowledged to this execution, by it or by one whose place it took. A log that lost
-- its end lost the last of it first: effects and changes are the ids of the last ones of each connection. A held edit was
-- made under the run's lock, which it has still.
local function has_forgotten(rid, did, knows, effects)
  for _, effect in ipairs(effects) do
    if effect.kind == 'edit' and redis.call('HGET', lock_key(rid), 'token') ~= effect.token then return true end
  end
  if not knows then return false end
  for _, id in ipairs(knows.effects) do
    if redis.call('SISMEMBER', effects_key(rid, did), id) == 0 then return true end
  end
  for _, id in ipairs(knows.changes) do
    if redis.call('HEXISTS', changed_key(rid, did), id) == 0 then return true end
  end
  return false
end

-- The mark of a done delivery: step, worker, start, end, attempt, outcome, nonce.
local function mark_of(rec, now, outcome)
  return cmsgpack.pack({ rec.s, rec.w or '', rec.x or rec.b, now, rec.a, outcome, rec.n or '' })
end

local end_deliveries
do
  -- What each of them has beside, and only it.
  local function forget_all_of(run, rid, did, rec)
    free_lock(run, rid, did, rec.n)
    forget_effects(rid, did, rec)
    forget_changes(rid, did, rec)
    forget_waits(rid, did, rec)
    if rec.j and rec.j ~= 'slots' then drop_key(rid, batch_key(rid, rec.j, rec.s)) end
  end

  -- Those of several deliveries that end, of each step together. ending: see end_deliveries.
  local function free_places_of(run, rid, ending)
    local gone, keys = {}, {}
    for _, one in ipairs(ending) do
      local did, rec = one[1], one[2]
      if rec.l and not rec.H and not rec.K then
        local base = base_lane(lane_of(run, rec))
        local key = running_key(base, rec.s)
        if not gone[key] then gone[key], keys[key] = {}, { base, rec.s } end
        table.insert(gone[key], place_member(rid, did, rec))
      else
        free_place(run, rid, did, rec)
      end
    end
    for key, members in pairs(gone) do
      redis.call('ZREM', key, unpack(members))
      unpark(keys[key][1], keys[key][2])
    end
  end

  -- ending: {delivery, record, what its step returned or nil} of each. Their marks are written here, or put into tx.marks.
  end_deliveries = function(tx, ending, outcome)
    local rid, marks, dids, members = tx.rid, tx.marks or {}, {}, {}
    for i, one in ipairs(ending) do
      local did, rec = one[1], one[2]
      if rec.V then notes().stop(tx.run, rid, rec, one[3]) end
      marks[2 * i - 1], marks[2 * i] = did, mark_of(rec, tx.now, outcome)
      dids[i], members[i] = did, rid .. '|' .. did
    end
    if not tx.marks then redis.call('HSET', done_key(rid), unpack(marks)) end
    redis.call('HDEL', live_key(rid), unpack(dids))
    -- The run ends with it, and is not to be timed out any more.
    if tx.ends then members[#members + 1], tx.run.is_unwatched = rid .. '|!deadline', true end
    redis.call('ZREM', watch_key(), unpack(members))
    count_live(tx, -#ending)
    retire_records(tx.run, rid, ending)
    free_places_of(tx.run, rid, ending)
    for _, one in ipairs(ending) do forget_all_of(tx.run, rid, one[1], one[2]) end
  end
end

local function end_delivery(tx, did, rec, outcome)
  end_deliveries(tx, { { did, rec, tx.output } }, outcome)
end

-- Takes over the children that were staged under this lease: the list into the backlog, their ids into the collection.
local function take_staged(tx, did, token, cid)
  local rid, list = tx.rid, staged_key(tx.rid, token)
  if redis.call('EXISTS', list) == 0 then return end
  redis.call('RPUSH', backlog_key(rid), '>' .. token)
  has_backlog(tx.run, rid)
  local ids = staged_key(rid, token .. ':ids')
  if not cid or redis.call('EXISTS', ids) == 0 then return end
  local members = open_key(rid, cid)
  if redis.call('EXISTS', members) == 0 then
    redis.call('RENAME', ids, members)
    redis.call('SREM', aux_key(rid), ids)
  else
    redis.call('SUNIONSTORE', members, members, ids)
    drop_key(rid, ids)
  end
end
