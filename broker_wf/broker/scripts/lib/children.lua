--! use record
--! key children SET
-- Runs that steps of a run have begun: they end with it.

local CANCELLED_AT_ONCE = 1000

-- The live children a run leaves behind. Of very many the audit ends the rest, which have a parent that has ended.
local function left_behind(run, rid)
  if not run.children then return {} end
  return redis.call('SRANDMEMBER', children_key(rid), CANCELLED_AT_ONCE)
end

local function add_child(parent, rid)
  set_rare(parent, 'children', 1)
  set_rare(rid, 'parent', parent)
  redis.call('SADD', children_key(parent), rid)
end

local function lost_parent(run)
  return run.parent and redis.call('HGET', run_key(run.parent), 'status') ~= 'running'
end
