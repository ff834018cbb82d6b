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

local RUN_FIELDS = { 'status', 'workflow', 'lane', 'digest', 'timeout_ms', 'window', 'keep_ms', 'keep_failed_ms',
  'inboxes', 'locks', 'buffers', 'started_ms', 'queued_check_ms', 'max_runs', 'recovered', 'exposed', 'waits',
  'parent', 'children', 'trace', 'unkept', 'begins_ms', 'rank', 'used_ms', 'backlog', 'sent' }

local DAY_MS = 86400000

-- v: the values of RUN_FIELDS, in order; false for those that it has not.
local function run_of_fields(v)
  return {
    status = v[1], workflow = v[2] or '', lane = v[3] or '', digest = v[4] or '', timeout_ms = tonumber(v[5]) or 0,
    window = tonumber(v[6]) or 1000, keep_ms = tonumber(v[7]) or DAY_MS, keep_failed_ms = tonumber(v[8]) or DAY_MS,
    inboxes = v[9] or '', locks = v[10], buffers = v[11], started = v[12], check_ms = tonumber(v[13]) or 30000,
    max_runs = tonumber(v[14]), recovered = v[15], exposed = v[16], waits = v[17],
    parent = v[18], children = v[19], trace = v[20], unkept = v[21], begins = v[22], rank = v[23], used = tonumber(v[24]),
    backlog = v[25], sent = v[26],
  }
end

local function load_run(rid)
  local v = redis.call('HMGET', run_key(rid), unpack(RUN_FIELDS))
  return v[1] and run_of_fields(v) or nil
end

local STATES = { q = true, l = true, d = true, w = true, h = true }
local KINDS = { st = 'string', s = 'string', t = 'string', p = 'string', a = 'number', c = 'number', n = 'string',
  w = 'string', i = 'string', k = 'string', h = 'string', o = 'string', m = 'string', j = 'string', g = 'string',
  d = 'number', b = 'number', f = 'number', x = 'number', z = 'table', r = 'table', q = 'table' }

-- nil if the bytes are none of ours: then it is as if there were none, until an audit fails the run.
local function record_of(raw, did)
  local whole, rec = pcall(cmsgpack.unpack, raw)
  if not whole or type(rec) ~= 'table' then return nil end
  for name, value in pairs(rec) do
    local kind = KINDS[name]
    if kind and type(value) ~= kind then return nil end
  end
  if not (rec.st and rec.s and rec.t and rec.p and rec.a and rec.c and rec.b) then return nil end
  if not STATES[rec.st] or rec.i and not string.find(rec.i, '^%d+%-%d+$') then return nil end
  if rec.st == 'l' and not (rec.n and rec.w and rec.d and rec.x) or rec.st == 'd' and not rec.d then return nil end
  if did and string.sub(did, -(#rec.s + 1)) ~= '@' .. rec.s then return nil end
  return rec
end

local function load_record(rid, did)
  local raw = redis.call('HGET', live_key(rid), did)
  return raw and record_of(raw, did) or nil
end

local function save_record(rid, did, rec)
  redis.call('HSET', live_key(rid), did, cmsgpack.pack(rec))
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
