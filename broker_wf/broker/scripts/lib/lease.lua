--! use time places buffers notes waits
--! key watch ZSET
--! key batch LIST
-- A delivery into a worker's hands: its lease, its place, and what the worker is told of it.
-- holder is the claim that takes it: worker, nonce, lease_ms, now; leased: what many leases write, gathered, or nil.

local INLINE_BATCH = 1000

-- packed: the record.
local function handed(run, rid, did, rec, packed)
  local given = { r = rid, d = did, w = run.workflow, q = run.lane, c = packed, dl = run.begun, tr = run.trace }
  if rec.j and rec.j ~= 'slots' then
    local key = batch_key(rid, rec.j, rec.s)
    given.size = redis.call('LLEN', key)
    if given.size <= INLINE_BATCH then given.batch = redis.call('LRANGE', key, '0', '-1') end
  end
  if rec.q then
    given.waits = rec.q.w and redis.call('HGETALL', waits_key(rid, did)) or nil
    given.once = rec.q.o
  end
  if run.buffers then given.buffers = snapshot(rid, rec.s, rec.t) end
  return given
end

-- Writes what leases have gathered. Nobody has looked at it meanwhile: an entry is taken once.
local function write_leases(leased)
  for rid, records in pairs(leased.records) do redis.call('HSET', live_key(rid), unpack(records)) end
  if leased.watched[1] then redis.call('ZADD', watch_key(), unpack(leased.watched)) end
  if leased.queued[1] then redis.call('ZREM', queued_key(), unpack(leased.queued)) end
end

local lease
do
  local function gather_lease(leased, rid, did, rec)
    local member, records, packed = rid .. '|' .. did, leased.records[rid] or {}, cmsgpack.pack(rec)
    leased.records[rid] = records
    records[#records + 1], records[#records + 2] = did, packed
    local watched, queued = leased.watched, leased.queued
    watched[#watched + 1], watched[#watched + 2] = decimal(rec.d), member
    queued[#queued + 1] = member
    return packed
  end

  lease = function(holder, run, rid, did, rec, place)
    rec.st, rec.n, rec.w, rec.l = 'l', holder.nonce, holder.worker, place
    rec.d, rec.x, rec.f = holder.now + holder.lease_ms, holder.now, rec.f or holder.now
    if run.exposed then notes().begin(run, rid, rec) end
    local packed
    if holder.leased then
      packed = gather_lease(holder.leased, rid, did, rec)
    else
      -- What one commit leaves to its worker has no entry, and was never queued.
      packed = save_record(rid, did, rec)
      redis.call('ZADD', watch_key(), decimal(rec.d), rid .. '|' .. did)
    end
    if place and holder.leased then
      local held = holder.leased.held
      held[#held + 1], held[#held + 2] = decimal(rec.d), place_member(rid, did, rec)
    elseif place then
      hold_place(run, rid, did, rec, rec.d)
    end
    begin_run(run, rid, holder.now, holder.leased)
    return handed(run, rid, did, rec, packed)
  end
end
