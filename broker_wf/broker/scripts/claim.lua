--! claim: lease what waits in the lanes a worker serves; drop what belongs to ended runs.
--! use take emit ready
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
--! arg serves   str   packed: list of {lane, digest, {step = num_workers}, {step = num_workers_per_run}}
--! reply pack {list of deliveries, 1 if work was left behind though there were places}

local claim = { worker = worker, nonce = nonce, lease_ms = lease_ms, now = now_ms(), free = free, held = held,
  waited = waited, frail_at = frail_at, frail_free = frail_free == 1, runs = {}, out = {}, refs = {}, capped = 0 }

-- What goes along with a blocked read may be executed long after another was in its place: it is one claim, done once.
local kept_key = claimed_key(worker .. (along > 0 and '+read' or ''))

-- Of what is live no more.
local function free_place_of(lane, step, member)
  if redis.call('ZREM', running_key(lane, step), member) == 1 then unpark(lane, step) end
end

-- What was taken under this nonce before, for a reply that was lost or is not known.
local function taken_before()
  local kept = redis.call('GET', kept_key)
  local whole, found = pcall(cmsgpack.unpack, kept or '')
  kept = whole and type(found) == 'table' and found or { '', {} }
  if kept[1] ~= nonce then return false end
  for _, ref in ipairs(kept[2]) do
    local rec, run = load_record(ref[1], ref[2]), run_of(claim, ref[1])
    if run and rec and rec.st == 'l' and rec.n == nonce then
      claim.out[#claim.out + 1] = handed(run, ref[1], ref[2], rec, cmsgpack.pack(rec))
      claim.refs[#claim.refs + 1] = ref
      claim.frail_free = claim.frail_free and rec.c < frail_at
    elseif ref[3] then
      -- Its run may have ended before this worker has heard that it was to execute it: nobody else gives the place back.
      free_place_of(ref[3], ref[4], ref[5] .. '|' .. ref[1] .. '|' .. ref[2] .. '|' .. nonce)
    end
  end
  return true
end

local in_place = again == 1 and along > 0
if (again == 1 or along > 0) and taken_before() and not in_place then return cmsgpack.pack({ claim.out, 0 }) end
-- Who asks in the place of another wants what has come since, too.
claim.free = claim.free - #claim.out
claim.leased = { records = {}, watched = {}, queued = {}, held = {} }
local lanes, ready = known(serves), {}
for i, one in ipairs(lanes) do
  ready[i] = ready_key(one[1])
  if next(one[3]) and base_lane(one[1]) == one[1] then free_overdue_places(one[1], one[3], claim.now) end
end
local at = claim.free > 0 and first_present(ready, 1)
while at do
  local lane, digest, limits, per_run = unpack(lanes[at])
  claim.per_run = per_run
  local pairs_here = redis.call('ZRANGE', ready[at], '0', '127')
  for _, wanted in ipairs(heads_of(pairs_here, order)) do
    for _, pair in ipairs(pairs_here) do
      if claim.free <= 0 then break end
      local head = string.match(pair, '^[+-]?[aw]:')
      local fine = head
      if head == wanted then fine = guarded(claim.now, pair, serve, claim, lane, digest, limits, pair) end
      if not fine then redis.call('ZREM', ready[at], pair) end
    end
  end
  if #pairs_here == 128 and claim.free > 0 then claim.capped = 1 end
  at = claim.free > 0 and first_present(ready, at + 1)
end
write_leases(claim.leased)
for rid, run in pairs(claim.runs) do
  if run then look_after(claim, rid, run) end
end
if #claim.refs > 0 or in_place then
  redis.call('SET', kept_key, cmsgpack.pack({ nonce, claim.refs }), 'PX', decimal(math.max(lease_ms, along)))
end
return cmsgpack.pack({ claim.out, claim.capped })
