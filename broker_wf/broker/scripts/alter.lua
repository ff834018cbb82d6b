--! alter: change a number, list or set of the state from outside a step; once.
--! use changes
--! key run HASH
--! arg rid    str
--! arg change pack id and the rest, see lib/changes.lua; forget: ids whose results have been seen
--! reply list: 'ok' or 'seen', result | 'locked' | 'conflict' | 'hard' | 'missing': no such run

local run, keep = load_run(rid), redis.call('PTTL', run_key(rid))

-- Guards.
if not run then return { 'missing' } end

-- Writes.
change.did = '!outside'
for _, id in ipairs(change.forget) do redis.call('HDEL', changed_key(rid, change.did), id) end
local reply = change_state(run, rid, change)
if keep > 0 then redis.call('PEXPIRE', state_key(rid), keep) end
redis.call('PEXPIRE', changed_key(rid, change.did), 3600000)
return reply
