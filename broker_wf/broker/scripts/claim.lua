--! claim: lease what waits in the lanes a worker serves; drop what belongs to ended runs.
--! use take emit
--! key claimed STRING
--! arg worker   str
--! arg nonce    str   fence of every lease made here
--! arg free     int   deliveries the worker can start now
--! arg held     int   deliveries it executes now
--! arg waited   int   how often this worker has left work to others; each time it takes more than its fair share
--! arg again    int   1: the reply to this very claim was lost
--! arg lease_ms int
--! arg frail_at int  crashes after which a delivery is frail: one more makes it poison
--! arg frail_free int  1: the worker holds no frail delivery
--! arg order     str  which priorities come first, where work has one: of '+-', '.' stands for what has none
--! arg along    int   ms that the blocked read may take that it goes along with, or in whose claim's place it is; 0: by itself
--! arg serves   pack  list of {lane, digest, {step = num_workers}, {step = num_workers_per_run}}
--! reply pack {list of deliveries, 1 if work was left behind though there were places}

local claim = { worker = worker, nonce = nonce, lease_ms = lease_ms, now = now_ms(), free = free, held = held,
  waited = waited, frail_at = frail_at, frail_free = frail_free == 1, runs = {}, out = {}, refs = {}, capped = 0 }

-- What goes along with a blocked read may be executed long after another was in its place: it is one claim, done once.
local kept_key = claimed_key(worker .. (along > 0 and '+read' or ''))

-- What was taken under this nonce before, for a reply that was lost or is not known.
local function taken_before()
  local kept = redis.call('GET', kept_key)
  local whole, found = pcall(cmsgpack.unpack, kept or '')
  kept = whole and type(found) == 'table' and found or { '', {} }
  if kept[1] ~= nonce then return false end
  for _, ref in ipairs(kept[2]) do
    local rec, run = load_record(ref[1], ref[2]), run_of(claim, ref[1])
    if run and rec and rec.st == 'l' and rec.n == nonce then
      claim.out[#claim.out + 1] = handed(run, ref[1], ref[2], rec)
      claim.refs[#claim.refs + 1] = ref
      claim.frail_free = claim.frail_free and rec.c < frail_at
    end
  end
  return true
end

-- In which order what is ready is looked at. Where nothing has a priority there are two kinds of it.
local function kinds_of(ready)
  local plain, ranked = { 'a:', 'w:' }, false
  for _, pair in ipairs(ready) do
    local byte = string.byte(pair)
    ranked = ranked or byte == 43 or byte == 45
  end
  if not ranked then return plain end
  local kinds = {}
  for mark in string.gmatch(order, '.') do
    if mark == '.' then mark = '' end
    for _, kind in ipairs(plain) do kinds[#kinds + 1] = mark .. kind end
  end
  return kinds
end

local in_place = again == 1 and along > 0
if (again == 1 or along > 0) and taken_before() and not in_place then return cmsgpack.pack({ claim.out, 0 }) end
-- Who asks in the place of another wants what has come since, too.
claim.free = claim.free - #claim.out
claim.leased = { records = {}, watched = {}, queued = {} }
for _, one in ipairs(serves) do
  claim.per_run = one[4]
  if base_lane(one[1]) == one[1] then free_overdue_places(one[1], one[3], claim.now) end
  local pairs_here = redis.call('ZRANGE', ready_key(one[1]), '0', '127')
  for _, kind in ipairs(kinds_of(pairs_here)) do
    for _, pair in ipairs(pairs_here) do
      if claim.free <= 0 then break end
      local head = string.match(pair, '^[+-]?[aw]:')
      local fine = head
      if head == kind then fine = guarded(claim.now, pair, serve, claim, one[1], one[2], one[3], pair) end
      if not fine then redis.call('ZREM', ready_key(one[1]), pair) end
    end
  end
  if #pairs_here == 128 and claim.free > 0 then claim.capped = 1 end
end
write_leases(claim.leased)
for rid, run in pairs(claim.runs) do
  if run and run.notes then notes().publish(run, rid, claim.now) end
end
if #claim.refs > 0 or in_place then
  redis.call('SET', kept_key, cmsgpack.pack({ nonce, claim.refs }), 'PX', decimal(math.max(lease_ms, along)))
end
return cmsgpack.pack({ claim.out, claim.capped })
