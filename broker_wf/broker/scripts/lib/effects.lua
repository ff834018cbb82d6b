--! use emit lock feed state
--! key effects SET
-- Effects made by call inside a step. Each has an id made of delivery, attempt and content; one already applied is
-- skipped. The reply to each is 'ok', 'seen', 'conflict' (another version), 'locked' (an edit is going on) or 'lost'.

local function hindrance(run, rid, effect)
  if effect.kind == 'edit' then
    if redis.call('HGET', lock_key(rid), 'token') ~= effect.token then return 'lost' end
  elseif effect.kind == 'set' then
    if run.locks and redis.call('EXISTS', lock_key(rid)) == 1 then return 'locked' end
    if effect.version and version_of(rid, effect.key) ~= effect.version then return 'conflict' end
  end
  return nil
end

local APPLY = {
  send = function(tx, effect, rec)
    emit(tx, effect.routes, effect.id, effect.name, effect.payload, nil)
  end,
  write = function(tx, effect, rec)
    append_feed(tx.rid, effect.name, effect.payload, rec.s, tx.now, publisher(rec))
  end,
  set = function(tx, effect, rec)
    write_state(tx.rid, effect.key, effect.value)
  end,
  edit = function(tx, effect, rec)
    for _, pair in ipairs(effect.sets) do write_state(tx.rid, pair[1], pair[2]) end
    for _, key in ipairs(effect.dels) do redis.call('HDEL', state_key(tx.rid), key) end
    grant_next(tx.rid)
  end,
}

local function apply_effects(tx, did, rec, effects)
  local replies, key = {}, effects_key(tx.rid, did)
  for i, effect in ipairs(effects) do
    local reply = 'seen'
    if redis.call('SISMEMBER', key, effect.id) == 0 then
      reply = hindrance(tx.run, tx.rid, effect)
      if not reply then
        APPLY[effect.kind](tx, effect, rec)
        redis.call('SADD', key, effect.id)
        reply = 'ok'
      end
    end
    replies[i] = reply
  end
  if #effects > 0 and not rec.y then
    rec.y = 1
    note_key(tx.rid, key)
    save_record(tx.rid, did, rec)
  end
  return replies
end

local function forget_effects(rid, did, rec)
  if rec.y then drop_key(rid, effects_key(rid, did)) end
end
