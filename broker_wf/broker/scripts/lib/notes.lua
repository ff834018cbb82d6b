--! use feed aux
--! key run     HASH
--! key live    HASH
--! key backlog LIST
--! key running ZSET
--! key numbers HASH
-- What the engine itself publishes of a run, once somebody has asked for it (`exposed` in the run's record). What one
-- script has to say is one entry of the feed, '!internal', a packed list of notes:
--   {'b', step, number, event} began   {'e', step, number, event, output or nil} ended   {'p', step, event} no place free
--   {'u', class, qualified name, 1 if idle} nobody takes an event                        {'i'} idle
-- The functions are fields of what notes() gives: they need one local together and not twelve.

local EXPOSED_CAP = 5000
local made

local function notes()
  if made then return made end
  local function note(run, what)
    run.notes = run.notes or {}
    run.notes[#run.notes + 1] = what
  end

  -- Beyond the cap they are counted only.
  local function publish_notes(run, rid, now)
    local notes = run.notes
    if not notes then return end
    run.notes = nil
    if redis.call('HINCRBY', run_key(rid), 'exposed', #notes) - 1 > EXPOSED_CAP then return end
    append_feed(rid, '!internal', cmsgpack.pack(notes), '', now)
  end

  -- A number that no other execution of the step has meanwhile: of a limited step that of its place, from 0.
  local function new_number(rid, rec)
    if rec.l then return rec.l - 1 end
    CALL.numbers = CALL.numbers or {}
    local looked_at, step = CALL.numbers, rid .. '|' .. rec.s
    local number = looked_at[step] or 0
    while redis.call('HSETNX', numbers_key(rid), rec.s .. '|' .. number, 1) == 0 do number = number + 1 end
    looked_at[step] = number + 1
    note_key(rid, numbers_key(rid))
    return number
  end

  -- What the execution is given: of a list join the event that stands for its batch, as for its handler.
  local function given(rec)
    return rec.j and rec.j ~= 'slots' and 'CollectionReleaseEvent' or rec.t
  end

  local function note_begin(run, rid, rec)
    rec.V = new_number(rid, rec)
    note(run, { 'b', rec.s, rec.V, given(rec) })
  end

  local function note_end(run, rid, rec, output)
    if not rec.V then return end
    note(run, { 'e', rec.s, rec.V, given(rec), output })
    redis.call('HDEL', numbers_key(rid), rec.s .. '|' .. rec.V)
    rec.V = nil
  end

  local function publish_end(run, rid, rec, now)
    note_end(run, rid, rec, nil)
    publish_notes(run, rid, now)
  end

  -- A delivery of a limited step that finds no place free. `limits` of a route: {step = num_workers}.
  local function note_waiting(tx, limits, recs)
    local lane = string.match(tx.run.lane, '^[^#]+')
    tx.lined = tx.lined or {}
    for _, rec in ipairs(recs) do
      local limit = limits[rec.s]
      if limit then
        tx.lined[rec.s] = (tx.lined[rec.s] or redis.call('ZCARD', running_key(lane, rec.s))) + 1
        if tx.lined[rec.s] > limit then note(tx.run, { 'p', rec.s, rec.t }) end
      end
    end
  end

  local function is_idle(rid)
    return redis.call('EXISTS', live_key(rid), backlog_key(rid)) == 0
  end

  local function note_lost(tx, idle)
    for _, name in ipairs(tx.lost or {}) do note(tx.run, { 'u', name[1], name[2], idle and 1 or 0 }) end
    tx.lost = nil
  end

  -- The end of a script that ended a delivery or handed on events: what nobody took, and whether the run is idle now.
  local function publish_changes(tx, ended)
    local idle = (ended or tx.lost) and is_idle(tx.rid)
    note_lost(tx, idle)
    if idle then note(tx.run, { 'i' }) end
    publish_notes(tx.run, tx.rid, tx.now)
  end

  made = { add = note, publish = publish_notes, begin = note_begin, stop = note_end, publish_stop = publish_end,
    wait = note_waiting, lose = note_lost, publish_changes = publish_changes, is_idle = is_idle }
  return made
end
