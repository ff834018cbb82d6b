--! use dispatch aux notes returning
--! key inside SET
--! key held   LIST
-- `num_workers_per_run`: so many deliveries of a step execute at one time in one run. `inside` names them; further ones
-- that a claim meets go from their stream to `held` and leave `live`, so that they neither fill the run's window nor are
-- read again and again. Whatever ends the lease of one that is inside releases the next.
-- While one is held, `inside` and what was released and not yet claimed are as many as the limit.
-- Of a record: K the limit, while the delivery is inside or held.

local function is_full(run, rid, step, limit, now)
  return limit and redis.call('SCARD', inside_key(rid, step)) + owed(run.lane, step, now, rid) >= limit
end

local function enter(rid, did, rec, limit)
  if not limit then return end
  local key = inside_key(rid, rec.s)
  rec.K = limit
  redis.call('SADD', key, did)
  note_key(rid, key)
end

local function hold(run, rid, did, rec, limit)
  local key = held_key(rid, rec.s)
  retire_record(run, rid, did, rec)
  if run.exposed then notes().add(run, { 'p', rec.s, rec.t }) end
  rec.st, rec.i, rec.o, rec.K = 'h', nil, nil, limit
  redis.call('RPUSH', key, cmsgpack.pack({ did, rec }))
  redis.call('HDEL', live_key(rid), did)
  redis.call('ZREM', queued_key(), rid .. '|' .. did)
  note_key(rid, key)
end

-- The next one that was held goes back to a stream. False if none was.
local function release_held(run, rid, step, now)
  local item = redis.call('LPOP', held_key(rid, step))
  if not item then return false end
  local did, rec = unpack(cmsgpack.unpack(item))
  rec.K = nil
  ring(enqueue(run, rid, event_of(did, step), { rec }, 'a', now), 1)
  return true
end

local function leave(run, rid, did, rec)
  if not rec.K then return end
  local limit, now = rec.K, now_ms()
  rec.K = nil
  redis.call('SREM', inside_key(rid, rec.s), did)
  if not is_full(run, rid, rec.s, limit, now) then release_held(run, rid, rec.s, now) end
end

-- For the audit: `inside` as the records say it, and nothing held for which there is room. Returns the repairs.
local function repair_inside(run, rid, step, live, now)
  local key, there, queued, repairs = inside_key(rid, step), {}, 0, 0
  for did, rec in pairs(live) do
    if rec.s == step and rec.st == 'l' and rec.K and not rec.H then there[did] = true end
    if rec.s == step and (rec.st == 'q' or rec.st == 'd') then queued = queued + 1 end
  end
  for did in pairs(there) do repairs = repairs + redis.call('SADD', key, did) end
  for _, did in ipairs(redis.call('SMEMBERS', key)) do
    if not there[did] then repairs = repairs + redis.call('SREM', key, did) end
  end
  local first = redis.call('LINDEX', held_key(rid, step), 0)
  local limit = first and cmsgpack.unpack(first)[2].K or 0
  for _ = redis.call('SCARD', key) + queued + 1, limit do
    if release_held(run, rid, step, now) then repairs = repairs + 1 end
  end
  return repairs
end

local function repair_insides(run, rid, live, now)
  local prefix, repairs = held_key(rid, ''), 0
  for _, key in ipairs(redis.call('SMEMBERS', aux_key(rid))) do
    if string.sub(key, 1, #prefix) == prefix then
      repairs = repairs + repair_inside(run, rid, string.sub(key, #prefix + 1), live, now)
    end
  end
  return repairs
end
