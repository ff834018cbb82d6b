--! use record
--! key run  HASH
--! key kept LIST
-- What became of a run's deliveries, in the order in which it did, so that the run can be done again from a step that it
-- has finished (broker/kept.py reads it): one after the other what an entry is, whose it is, and its packed plan.
--   'c' delivery, its commit   'f' delivery, an attempt that failed   'e' delivery, {effects} by call
--   's' event from outside, {name, payload, routes}
-- Large plans are not kept, nor very many: then there is nothing of the run.

local KEPT_BYTES, KEPT_ITEMS = 8192, 30000

-- entries: kind, id and plan of each.
local function keep_all(run, rid, entries, large)
  if run.unkept then return end
  for i = 3, #entries, 3 do large = large or #entries[i] > KEPT_BYTES end
  if not large and redis.call('RPUSH', kept_key(rid), unpack(entries)) <= KEPT_ITEMS then return end
  redis.call('UNLINK', kept_key(rid))
  set_rare(rid, 'unkept', 1)
  run.unkept = '1'
end

local function keep(run, rid, kind, id, raw, large)
  keep_all(run, rid, { kind, id, raw }, large)
end

local function sends(effects)
  for _, effect in ipairs(effects) do
    if effect.kind == 'send' then return true end
  end
  return false
end

-- Of what a step did by call the events that it sent; what it referred to as a large part is not kept.
local function keep_sent(run, rid, kind, did, effects, raw, refs)
  if effects[1] and sends(effects) then keep(run, rid, kind, did, raw, refs and refs[1]) end
end
