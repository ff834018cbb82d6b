--! looks: which of these runs have to be looked at one by one, for a driver that waits for many.
--! key run HASH
--! arg inbox str
--! arg rids  pack  list of run ids
--! reply positions, from 1, of runs that have ended, are missing, wait for their turn or do not tell this inbox

local found = {}
for position, rid in ipairs(rids) do
  local v = redis.call('HMGET', run_key(rid), 'status', 'inboxes', 'later_window')
  if v[1] ~= 'running' or v[3] or not string.find(v[2] or '', inbox, 1, true) then
    found[#found + 1] = position
  end
end
return found
