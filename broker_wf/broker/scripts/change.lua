--! change: change numbers, lists and sets of the state where they stand, for deliveries of one run; each once.
--! use changes
--! arg rid     str
--! arg changes pack list of {did, nonce, id, …}, see lib/changes.lua
--! reply list: per change {'ok' or 'seen', result} | {'locked' | 'lost' | 'conflict' | 'hard'}, or why it is refused:
--!                {'DONE' | 'GONE' | 'FENCED', status}

local run, records, replies = load_run(rid), {}, {}
for i, change in ipairs(changes) do
  local did = change.did
  if records[did] == nil then records[did] = load_record(rid, did) or false end
  local rec = records[did] or nil
  replies[i] = refusal(run, rec, rid, did, change.nonce) or change_state(run, rid, change)
  if replies[i][1] == 'ok' then note_change(rid, did, rec) end
end
return replies
