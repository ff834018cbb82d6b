--! snapshot: what collect_events of one delivery may decide on, afresh.
--! use buffers
--! arg rid  str
--! arg step str
--! arg name str
--! arg asked pack  {buffer, want} of a call that needs the events themselves, or empty
--! reply pack list of {buffer, counts, items or nil}

local out = snapshot(rid, step, name)
if asked.buffer then
  local field, items = step .. ':' .. asked.buffer, {}
  for event, n in pairs(asked.want) do items[event] = redis.call('LRANGE', buffer_key(rid, field, event), 0, n - 1) end
  out[#out + 1] = { buffer = asked.buffer, counts = counts_of(rid, field, asked.want), items = items }
end
return cmsgpack.pack(out)
