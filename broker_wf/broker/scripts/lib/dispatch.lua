--! use record
--! key work    STREAM
--! key again   STREAM
--! key ready   ZSET
--! key bell    LIST
--! key serving ZSET
--! key queued  ZSET
--! key backlog LIST
--! key staged  LIST
-- Deliveries into streams, within the run's dispatch window; the rest waits in its backlog.

local BELL_CAP = 8
local PRIVATE_LIFE_MS = 86400000

-- The process of a private lane keeps the lane's keys alive; one made since it last did, or after its death, must not
-- stay for ever.
local function expire_private(lane, key)
  if string.find(lane, '@', 1, true) then redis.call('PEXPIRE', key, PRIVATE_LIFE_MS, 'NX') end
end

local function ring(lane, count)
  local room = math.min(count, BELL_CAP - redis.call('LLEN', bell_key(lane)))
  if room <= 0 then return end
  for _ = 1, room do redis.call('RPUSH', bell_key(lane), '1') end
  expire_private(lane, bell_key(lane))
end

local function make_ready(lane, pair)
  if redis.call('ZADD', ready_key(lane), 'NX', 0, pair) == 1 then expire_private(lane, ready_key(lane)) end
end

-- Wake others for what one worker should not keep to itself.
local function ring_for(lane, made, busy)
  if made == 0 then return end
  local others = made - 1
  if others > 0 then others = math.max(0, math.min(others, redis.call('ZCARD', serving_key(lane)) - 1)) end
  if busy then others = others + 1 end
  if others > 0 then ring(lane, others) end
end

local function lane_of(run, rec)
  return run.lane .. (rec.h or '')
end

-- A run with a priority has streams of its own beside those of the others, unless it was set aside.
local RANKS = { ['+'] = '#high', ['-'] = '#low' }
local MARKS = { ['#high'] = '+', ['#low'] = '-' }

local function stream_of(run, rec)
  local lane = run.lane .. (rec.h or run.rank or '')
  if rec.k == 'a' then return again_key(lane, rec.t) end
  return work_key(lane, rec.t)
end

local function pair_of(run, rec)
  return (run.rank and not rec.h and MARKS[run.rank] or '') .. rec.k .. ':' .. rec.t .. '|' .. rec.s
end

-- Adds one entry for deliveries of one event to the steps named, and leaves their records queued.
local function enqueue(run, rid, eid, recs, kind, now)
  local steps = {}
  for i, rec in ipairs(recs) do steps[i] = rec.s end
  local first = recs[1]
  first.k = kind
  local key, lane = stream_of(run, first), lane_of(run, first)
  local named = table.concat(steps, ',')
  local entry = redis.call('XADD', key, '*', 'r', rid, 'e', eid, 's', named)
  for _, rec in ipairs(recs) do
    rec.st, rec.k, rec.i, rec.n, rec.w, rec.l, rec.d = 'q', kind, entry, nil, nil, nil, nil
    rec.o = recs[2] and named or nil
    local did = eid .. '@' .. rec.s
    save_record(rid, did, rec)
    redis.call('ZADD', queued_key(), now + run.check_ms, rid .. '|' .. did)
    make_ready(lane, pair_of(run, rec))
  end
  expire_private(lane, key)
  return lane
end

-- Acknowledges an entry for one step; deletes it unless another step's live delivery still points at it. The step may
-- be one that the entry does not name: every group of a stream is given every entry.
local function retire(key, rid, eid, named, step, entry)
  redis.call('XACK', key, step, entry)
  if named ~= step then
    for other in string.gmatch(named, '[^,]+') do
      if other ~= step then
        local rec = load_record(rid, eid .. '@' .. other)
        if rec and rec.i == entry then return end
      end
    end
  end
  redis.call('XDEL', key, entry)
end

local function retire_record(run, rid, did, rec)
  if rec.i then retire(stream_of(run, rec), rid, event_of(did, rec.s), rec.o or rec.s, rec.s, rec.i) end
end

-- Puts a delivery into the second stream, which is read first: after a crash, a delay, a release.
local function redispatch(run, rid, did, rec, now)
  retire_record(run, rid, did, rec)
  return enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now)
end

-- The run has a backlog, or had one: most have none, and nobody looks for theirs.
local function has_backlog(run, rid)
  if run.backlog then return end
  redis.call('HSET', run_key(rid), 'backlog', 1)
  run.backlog = '1'
end

local function to_backlog(run, rid, did, rec, kind)
  rec.k = kind
  redis.call('RPUSH', backlog_key(rid), 'd' .. cmsgpack.pack({ did, rec }))
  has_backlog(run, rid)
end

-- Whether so many more fit the window. What takes the place of what this script has ended does, whoever else is there.
local function has_room(tx, count)
  if tx.ended >= count then return true end
  tx.live = tx.live or redis.call('HLEN', live_key(tx.rid))
  return tx.live + count <= tx.run.window
end

-- So many deliveries have become live, or have ceased to be (below zero).
local function count_live(tx, count)
  tx.ended = math.max(0, tx.ended - count)
  if tx.live then tx.live = tx.live + count end
end

-- The next delivery of the backlog, out of a staged list where its head names one.
local function pop_backlog(rid)
  while true do
    local head = redis.call('LINDEX', backlog_key(rid), 0)
    if not head then return nil end
    if string.sub(head, 1, 1) == 'd' then
      redis.call('LPOP', backlog_key(rid))
      return cmsgpack.unpack(string.sub(head, 2))
    end
    local item = redis.call('LPOP', staged_key(rid, string.sub(head, 2)))
    if item then return cmsgpack.unpack(item) end
    redis.call('LPOP', backlog_key(rid))
  end
end

-- Moves in what fits the window. Every script that adds deliveries or ends one calls it, for what is in a backlog beside
-- a window with room has nobody else to move it.
local function refill(tx)
  if not tx.run.backlog or redis.call('EXISTS', backlog_key(tx.rid)) == 0 then return end
  tx.ended = 0
  while has_room(tx, 1) do
    local item = pop_backlog(tx.rid)
    if not item then return end
    enqueue(tx.run, tx.rid, event_of(item[1], item[2].s), { item[2] }, item[2].k or 'w', tx.now)
    count_live(tx, 1)
    tx.made = tx.made + 1
  end
end
