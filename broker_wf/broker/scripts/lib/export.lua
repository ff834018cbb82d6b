--! use record aux waits
--! key state       HASH
--! key backlog     LIST
--! key collections HASH
--! key buffers     HASH
--! key blob        HASH
--! key rest        STRING
-- All that a live run is made of: {key, type, content} of each of its keys but the feed, the lock and the children. Of
-- one that was cancelled what `cancel` has kept of it.

local READ = {
  hash = function(key) return redis.call('HGETALL', key) end,
  list = function(key) return redis.call('LRANGE', key, '0', '-1') end,
  set = function(key) return redis.call('SMEMBERS', key) end,
}

-- What it has to do, and what that needs.
local function work_keys(rid)
  local keys = redis.call('SMEMBERS', aux_key(rid))
  for _, key in ipairs({ live_key(rid), waiting_key(rid), backlog_key(rid), collections_key(rid), buffers_key(rid),
    early_key(rid) }) do keys[#keys + 1] = key end
  return keys
end

local function parts_of(keys)
  local parts = {}
  for _, key in ipairs(keys) do
    local kind = redis.call('TYPE', key).ok
    if READ[kind] then parts[#parts + 1] = { key, kind, READ[kind](key) } end
  end
  return parts
end

local function parts_kept(rid)
  local kept = redis.call('GET', rest_key(rid))
  return kept and cmsgpack.unpack(kept)[2]
end

-- {status, now, the run's record, its state, parts}; parts of what is live or was cancelled. nil: there is no such run.
local function exported(rid, now)
  local record = redis.call('HGETALL', run_key(rid))
  if not record[1] then return nil end
  local status = redis.call('HGET', run_key(rid), 'status')
  local parts = status == 'running' and parts_of(work_keys(rid)) or status == 'cancelled' and parts_kept(rid)
  if parts then
    for _, part in ipairs(parts_of({ done_key(rid), blob_key(rid) })) do parts[#parts + 1] = part end
  end
  return { status, decimal(now), record, redis.call('HGETALL', state_key(rid)), parts or {} }
end
