--! attach: follow a run that exists; its end comes to this inbox too.
--! use turns
--! arg rid   str
--! arg inbox str
--! reply list: status or 'missing', workflow, result or '', error or '', start event's hash

local v = redis.call('HMGET', run_key(rid), 'status', 'kind', 'result', 'error', 'start_hash', 'inboxes')
if not v[1] then return { 'missing', '', '', '', '' } end
if v[1] == 'running' and inbox ~= '' and not string.find(v[6] or '', inbox, 1, true) then
  local list = v[6] and v[6] ~= '' and (v[6] .. ',') or ''
  redis.call('HSET', run_key(rid), 'inboxes', list .. inbox)
end
local workflow = kind_of(v[2] or '').workflow
-- Whoever follows a run that waits for its turn sees to it that nobody gone holds the place it waits for.
if v[1] == 'running' and redis.call('HEXISTS', run_key(rid), 'later_window') == 1 then
  take_back_turns(workflow, now_ms())
  promote(workflow, now_ms())
end
return { v[1], workflow, v[3] or '', v[4] or '', v[5] or '' }
