--! change: change the state where it stands, or under the lock, for deliveries of one run; each change once.
--! use changes
--! arg rid     str
--! arg changes pack list of {did, nonce, id, …}, see lib/changes.lua
--! reply list: per change {'ok' | 'yours' | 'queued' | 'seen', result} | {'locked' | 'lost' | 'conflict' | 'hard'}, or why it
--!                is refused: {'DONE' | 'GONE' | 'FENCED', status}

local run, records, replies = load_run(rid), {}, {}
for i, change in ipairs(changes) do
  local did = change.did
  if records[did] == nil then records[did] = load_record(rid, did) or false end
  local rec = records[did] or nil
  local refused = refusal(run, rec, rid, did, change.nonce)
  replies[i] = refused or change_state(run, rid, change)
  if not refused and replies[i][2] then note_change(rid, did, rec) end
end
return replies
