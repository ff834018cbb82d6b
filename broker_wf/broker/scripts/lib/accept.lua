--! use turns state
--! key live_runs ZSET
--! key workflows SET
--! key blob      HASH
-- The record of a new run, and its place among the live ones.
-- kind: see lib/record.lua. plan: start_hash, inbox, payload (of its start event) or nil, state {key = value} or nil, record
-- {further field = value} or nil, rerun_of (a run that has ended) or nil, delay_ms or nil, on_conflict (attach, restart) or
-- nil, token (of one wish to restart) or nil.

-- Why a run is not made: the reply for one that exists, or for too many; nil.
local function not_accepted(rid, kind, plan)
  local status, replaced = redis.call('HGET', run_key(rid), 'status'), 0
  if status then
    local old = redis.call('HMGET', run_key(rid), 'kind', 'start_hash', 'inboxes', 'token')
    local ours = kind_of(old[1] or '').workflow == kind.workflow
    if not ours or plan.on_conflict ~= 'restart' or old[4] == plan.token then
      local same = ours and (old[2] == plan.start_hash or plan.on_conflict ~= nil)
      if same and plan.inbox ~= '' and not string.find(old[3] or '', plan.inbox, 1, true) then
        redis.call('HSET', run_key(rid), 'inboxes', (old[3] ~= '' and old[3] .. ',' or '') .. plan.inbox)
      end
      return { 'EXISTS', status, same and 1 or 0 }
    end
    replaced = status == 'running' and 1 or 0
  end
  if kind.max_live_runs == 0 then return nil end
  local live_now = redis.call('ZCARD', live_runs_key(kind.workflow)) - replaced
  return live_now >= kind.max_live_runs and { 'FULL', live_now } or nil
end

-- Its large parts are those of the run that is done again: they are shared out here, and not sent back and forth.
local function accept_rerun(rid, of)
  redis.call('HSET', run_key(rid), 'rerun_of', of)
  if redis.call('EXISTS', run_key(of)) == 1 then redis.call('HSET', run_key(of), 'rerun_as', rid) end
  if redis.call('COPY', blob_key(of), blob_key(rid)) == 1 then redis.call('PERSIST', blob_key(rid)) end
end

-- What few have: further fields of the record, the state it begins with, another run that it does again.
local function accept_more(rid, plan)
  local written, rare = {}, {}
  for _, field in ipairs(RARE_FIELDS) do rare[field] = true end
  for field, value in pairs(plan.record or {}) do
    written[#written + 1], written[#written + 2] = field, value
    if rare[field] then rare.any = true end
  end
  if rare.any then written[#written + 1], written[#written + 2] = 'more', '1' end
  if written[1] then redis.call('HSET', run_key(rid), unpack(written)) end
  if plan.rerun_of then accept_rerun(rid, plan.rerun_of) end
  for key, value in pairs(plan.state or {}) do write_state(rid, key, value, 0) end
end

-- Returns the run.
local function accept(rid, kind, plan, now)
  local at = decimal(now)
  local written = { 'status', 'running', 'kind', kind.packed, 'inboxes', plan.inbox, 'created_ms', at, 'start_hash', plan.start_hash }
  if plan.payload then written[11], written[12] = 'start', plan.payload end
  redis.call('HSET', run_key(rid), unpack(written))
  redis.call('ZADD', live_runs_key(kind.workflow), at, rid)
  redis.call('SADD', workflows_key(), kind.workflow)
  local plain = not (plan.record or plan.state or plan.rerun_of)
  if not plain then accept_more(rid, plan) end
  if plan.delay_ms then
    put_off(rid, kind.window, now + plan.delay_ms)
  elseif kind.max_runs then
    ask_for_turn(kind.workflow, rid, kind.window, now)
  elseif plain then
    return setmetatable({ status = 'running', inboxes = plan.inbox }, kind)
  end
  return load_run(rid)
end
