--! use time places buffers notes waits
--! key watch ZSET
--! key batch LIST
-- A delivery into a worker's hands: its lease, its place, and what the worker is told of it.
-- holder is the claim that takes it: worker, nonce, lease_ms, now.

local INLINE_BATCH = 1000

local function handed(run, rid, did, rec)
  local given = { r = rid, d = did, s = rec.s, t = rec.t, p = rec.p, a = rec.a, c = rec.c, m = rec.m, f = rec.f,
    g = rec.g, w = run.workflow, q = run.lane, j = rec.j, l = rec.l, x = rec.x, dl = run.begun, rc = rec.r, v = rec.v,
    tr = run.trace }
  if rec.j and rec.j ~= 'slots' then
    local key = batch_key(rid, rec.j, rec.s)
    given.size = redis.call('LLEN', key)
    if given.size <= INLINE_BATCH then given.batch = redis.call('LRANGE', key, 0, -1) end
  end
  if rec.q then
    given.waits = rec.q.w and redis.call('HGETALL', waits_key(rid, did)) or nil
    given.once = rec.q.o
  end
  if run.buffers then given.buffers = snapshot(rid, rec.s, rec.t) end
  return given
end

local function lease(holder, run, rid, did, rec, place)
  rec.st, rec.n, rec.w, rec.l = 'l', holder.nonce, holder.worker, place
  rec.d, rec.x, rec.f = holder.now + holder.lease_ms, holder.now, rec.f or holder.now
  if run.exposed then notes().begin(run, rid, rec) end
  save_record(rid, did, rec)
  redis.call('ZADD', watch_key(), rec.d, rid .. '|' .. did)
  -- What has no entry was never queued.
  if rec.i then redis.call('ZREM', queued_key(), rid .. '|' .. did) end
  if place then hold_place(run, rid, did, rec, rec.d) end
  begin_run(run, rid, holder.now)
  return handed(run, rid, did, rec)
end
