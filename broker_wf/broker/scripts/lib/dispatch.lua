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
  if redis.call('ZADD', ready_key(lane), 'NX', '0', pair) == 1 then expire_private(lane, ready_key(lane)) end
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

-- What many entries write beside themselves: records {delivery, packed, …}, queued {score, member, …}, pairs {pair = lane},
-- members {collection = deliveries};
-- and where the last one went (see place_for).
local function gathering()
  return { records = {}, queued = {}, pairs = {}, members = {} }
end

local function write_queued(rid, gathered)
  if not gathered.records[1] then return end
  for i = 1, #gathered.records, 1000 do
    local last = math.min(i + 999, #gathered.records)
    redis.call('HSET', live_key(rid), unpack(gathered.records, i, last))
    redis.call('ZADD', queued_key(), unpack(gathered.queued, i, last))
  end
  for pair, lane in pairs(gathered.pairs) do make_ready(lane, pair) end
end

local enqueue
do
  -- Where an entry of these deliveries goes: most of many go where the one before went.
  local function place_for(run, recs, now, into)
    local rec, last = recs[1], into.last
    if last and last.s == rec.s and last.t == rec.t and last.k == rec.k and last.h == rec.h and not recs[2] then return last end
    local place = { s = rec.s, t = rec.t, k = rec.k, h = rec.h, named = rec.s }
    place.key, place.lane, place.due = stream_of(run, rec), lane_of(run, rec), decimal(now + run.check_ms)
    if recs[2] then
      local steps = {}
      for i, one in ipairs(recs) do steps[i] = one.s end
      place.named = table.concat(steps, ',')
    end
    for _, one in ipairs(recs) do into.pairs[pair_of(run, one)] = place.lane end
    into.last = not recs[2] and place or nil
    return place
  end

  -- Adds one entry for deliveries of one event to the steps named, and leaves their records queued.
  enqueue = function(run, rid, eid, recs, kind, now, gathered)
    local into = gathered or gathering()
    for _, rec in ipairs(recs) do rec.k = kind end
    local place = place_for(run, recs, now, into)
    local entry = redis.call('XADD', place.key, '*', 'd', rid .. '|' .. eid .. '@' .. place.named)
    local records, queued = into.records, into.queued
    for _, rec in ipairs(recs) do
      rec.st, rec.i, rec.n, rec.w, rec.l, rec.d = 'q', entry, nil, nil, nil, nil
      rec.o = recs[2] and place.named or nil
      local did = eid .. '@' .. rec.s
      records[#records + 1], records[#records + 2] = did, cmsgpack.pack(rec)
      queued[#queued + 1], queued[#queued + 2] = place.due, rid .. '|' .. did
    end
    if not gathered then write_queued(rid, into) end
    expire_private(place.lane, place.key)
    return place.lane
  end
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

-- As retire_record, of several: {delivery, record} of each. None of them is live any more.
local function retire_records(run, rid, ended)
  local groups, last, group = {}, {}, nil
  for _, one in ipairs(ended) do
    local did, rec = one[1], one[2]
    if rec.o then
      retire_record(run, rid, did, rec)
    elseif rec.i then
      -- Most of several are of the same step and stream.
      if not (last.s == rec.s and last.t == rec.t and last.k == rec.k and last.h == rec.h) then
        local key = stream_of(run, rec)
        local name = key .. '|' .. rec.s
        groups[name] = groups[name] or { key, rec.s, {} }
        last, group = rec, groups[name][3]
      end
      group[#group + 1] = rec.i
    end
  end
  for _, group in pairs(groups) do
    redis.call('XACK', group[1], group[2], unpack(group[3]))
    redis.call('XDEL', group[1], unpack(group[3]))
  end
end

-- Puts a delivery into the second stream, which is read first: after a crash, a delay, a release.
local function redispatch(run, rid, did, rec, now)
  retire_record(run, rid, did, rec)
  return enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now)
end

-- The run has a backlog, or had one: most have none, and nobody looks for theirs.
local function has_backlog(run, rid)
  if run.backlog then return end
  set_rare(rid, 'backlog', 1)
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

local refill
do
  -- The next deliveries of the backlog, so many at most, out of a staged list where its head names one.
  local function pop_backlog(rid, count)
    local items = {}
    while #items < count do
      local head = redis.call('LINDEX', backlog_key(rid), 0)
      if not head then return items end
      local staged = string.sub(head, 1, 1) ~= 'd' and redis.call('LPOP', staged_key(rid, string.sub(head, 2)), count - #items)
      for _, item in ipairs(staged or {}) do items[#items + 1] = cmsgpack.unpack(item) end
      if not staged then
        redis.call('LPOP', backlog_key(rid))
        if string.sub(head, 1, 1) == 'd' then items[#items + 1] = cmsgpack.unpack(string.sub(head, 2)) end
      end
    end
    return items
  end

  local AT_ONCE = 200

  -- Moves in what fits the window, a part at a time: workers begin with that while the next one is moved. Every script that
  -- adds deliveries, ends one or hands one out calls it, for what is in a backlog beside a window with room has nobody
  -- else to move it.
  refill = function(tx)
    if not tx.run.backlog or redis.call('EXISTS', backlog_key(tx.rid)) == 0 then return end
    tx.ended = 0
    tx.live = tx.live or redis.call('HLEN', live_key(tx.rid))
    local gathered = gathering()
    for _, item in ipairs(pop_backlog(tx.rid, math.min(tx.run.window - tx.live, AT_ONCE))) do
      local did, rec = item[1], item[2]
      enqueue(tx.run, tx.rid, event_of(did, rec.s), { rec }, rec.k or 'w', tx.now, gathered)
      count_live(tx, 1)
      tx.made = tx.made + 1
    end
    write_queued(tx.rid, gathered)
  end
end
