--! use known
--! key run   HASH
--! key live  HASH
--! key done  HASH
-- The run's record, the records of its live deliveries, the marks of the done ones.
--
-- A live record is a map: st state (q queued, l leased, d delayed, w waiting, h held), s step, t event name, p payload,
-- a attempt, c crashes, n nonce, w worker, i entry id, k stream ('w' work, 'a' again), h lane suffix when it was
-- moved to the stream of its digest, o the acceptors named in its entry when there are several, d the moment it is
-- due, m innermost collection, j what it joins ('slots', or a collection's id), b born, f first start, x this
-- start, l place, g last error, u nonce of the attempt that failed last, y it has effects, z workers whose leases ran
-- out, r recoveries along its lineage, v the slot that was filled last, K the limit of its step in one run (while
-- it is inside or held or paused), H it is paused, V the number of an execution that has been published, q what it has
-- beside (w waiters, o remembered results, c changes of the state), e nonce of the lease that was parked last, S until when an outage spared
-- its lease.

local DAY_MS = 86400000

-- What all runs of a version of a workflow have in common: a packed list, in this order; lib/accept.lua puts it down.
-- max_runs and unkept are 0 for none.
local kind_of
do
  local FIELDS = { 'workflow', 'lane', 'digest', 'start_name', 'timeout_ms', 'keep_ms', 'keep_failed_ms', 'window', 'check_ms',
    'max_runs', 'max_live_runs', 'unkept', 'routes' }
  local ANY = { '', '', '', '', 0, DAY_MS, DAY_MS, 1000, 30000, 0, 0, 0, '' }

  -- Of what is none of ours there is nothing to be known.
  kind_of = remembering(function(raw)
    local whole, list = pcall(cmsgpack.unpack, raw)
    if not whole or type(list) ~= 'table' then list = ANY end
    for i, any in ipairs(ANY) do
      if type(list[i]) ~= type(any) then list = ANY end
    end
    local kind = { is_broken = list == ANY }
    for i, name in ipairs(FIELDS) do kind[name] = list[i] end
    kind.max_runs = kind.max_runs > 0 and kind.max_runs or nil
    kind.unkept = kind.unkept > 0 or nil
    kind.packed, kind.list, kind.__index = raw, list, kind
    return kind
  end)
end

-- What most runs have not; `more` of the record says that there is any of it.
local RARE_FIELDS = { 'locks', 'buffers', 'recovered', 'exposed', 'waits', 'parent', 'children', 'trace', 'unkept', 'begins_ms',
  'rank', 'used_ms', 'backlog', 'streamed' }

local function set_rare(rid, field, value)
  redis.call('HSET', run_key(rid), field, value, 'more', '1')
end

local load_run
do
  local NAMES = { begins_ms = 'begins', used_ms = 'used' }

  local function read_rare(rid, run)
    local values = redis.call('HMGET', run_key(rid), unpack(RARE_FIELDS))
    for i, field in ipairs(RARE_FIELDS) do
      if values[i] then run[NAMES[field] or field] = values[i] end
    end
    run.used = tonumber(run.used)
  end

  -- A run: what its kind has, and what it has besides.
  load_run = function(rid)
    local v = redis.call('HMGET', run_key(rid), 'status', 'kind', 'inboxes', 'started_ms', 'window', 'more')
    if not v[1] then return nil end
    local run = setmetatable({ status = v[1], inboxes = v[3] or '', started = v[4] or nil }, kind_of(v[2] or ''))
    if v[5] then run.window = tonumber(v[5]) end
    if v[6] then read_rare(rid, run) end
    return run
  end
end

local record_of
do
  local STATES = { q = true, l = true, d = true, w = true, h = true }

  -- Whether what a record has is of the kind that it should be; what has to be there comes first.
  local function is_whole(rec)
    local type, text, number, map = type, 'string', 'number', 'table'
    if not (STATES[rec.st] and type(rec.s) == text and type(rec.t) == text and type(rec.p) == text and type(rec.a) == number
      and type(rec.c) == number and type(rec.b) == number) then return false end
    local n, w, i, k, d, f, x = rec.n, rec.w, rec.i, rec.k, rec.d, rec.f, rec.x
    if n and type(n) ~= text or w and type(w) ~= text or k and type(k) ~= text or d and type(d) ~= number
      or f and type(f) ~= number or x and type(x) ~= number then return false end
    if i and (type(i) ~= text or not string.find(i, '^%d+%-%d+$')) then return false end
    if rec.st == 'l' and not (n and w and d and x) or rec.st == 'd' and not d then return false end
    local h, o, m, j, g, z, r, q = rec.h, rec.o, rec.m, rec.j, rec.g, rec.z, rec.r, rec.q
    return not (h and type(h) ~= text or o and type(o) ~= text or m and type(m) ~= text or j and type(j) ~= text
      or g and type(g) ~= text or z and type(z) ~= map or r and type(r) ~= map or q and type(q) ~= map)
  end

  -- nil if the bytes are none of ours: then it is as if there were none, until an audit fails the run.
  record_of = function(raw, did)
    local whole, rec = pcall(cmsgpack.unpack, raw)
    if not whole or type(rec) ~= 'table' or not is_whole(rec) then return nil end
    if did and string.sub(did, -(#rec.s + 1)) ~= '@' .. rec.s then return nil end
    return rec
  end
end

local function load_record(rid, did)
  local raw = redis.call('HGET', live_key(rid), did)
  return raw and record_of(raw, did) or nil
end

-- Returns it packed.
local function save_record(rid, did, rec)
  local packed = cmsgpack.pack(rec)
  redis.call('HSET', live_key(rid), did, packed)
  return packed
end

-- The event id in front of '@<step>'.
local function event_of(did, step)
  return string.sub(did, 1, -(#step + 2))
end

-- Why a script must refuse a delivery its caller claims to hold: nil, or {word, status}.
local function refusal(run, rec, rid, did, nonce)
  if not run then return { 'GONE', 'missing' } end
  if rec and rec.st == 'l' and rec.n == nonce then
    if run.status ~= 'running' then return { 'GONE', run.status } end
    return nil
  end
  local mark = redis.call('HGET', done_key(rid), did)
  if mark and cmsgpack.unpack(mark)[7] == nonce then return { 'DONE', run.status } end
  if run.status ~= 'running' then return { 'GONE', run.status } end
  return { 'FENCED', run.status }
end
