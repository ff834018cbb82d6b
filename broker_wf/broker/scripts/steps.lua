--! steps: the names of the steps of a run that execute now.
--! use record
--! arg rid str
--! reply list of names, each once

local names, seen = {}, {}
for _, raw in ipairs(redis.call('HVALS', live_key(rid))) do
  local rec = record_of(raw)
  if rec and rec.st == 'l' and not seen[rec.s] then
    seen[rec.s] = true
    names[#names + 1] = rec.s
  end
end
table.sort(names)
return names
