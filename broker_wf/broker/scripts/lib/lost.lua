--! use groups
--! key queued ZSET
-- A delivery that has been queued for long: is its entry still there for its group?

-- How many deliveries were put into a stream again.
local function find_entry(member, now)
  local at = string.find(member, '|', 1, true) or #member + 1
  local rid, did = string.sub(member, 1, at - 1), string.sub(member, at + 1)
  local run = load_run(rid)
  local rec = run and run.status == 'running' and load_record(rid, did)
  if not rec or rec.st ~= 'q' then
    redis.call('ZREM', queued_key(), member)
    return 0
  end
  if rec.i and reachable(stream_of(run, rec), rec.s, rec.i) then
    local lane = lane_of(run, rec)
    redis.call('ZADD', queued_key(), now + run.check_ms, member)
    make_ready(lane, pair_of(run, rec))
    ring(lane, 1)
    return 0
  end
  ring(redispatch(run, rid, did, rec, now), 1)
  return 1
end
