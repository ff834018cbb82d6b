--! use record
--! key serving ZSET
-- Runs that nobody can execute: their process has gone, or no live worker has their version while some have another.

-- A run of a private lane whose process has gone, and that nobody resumed in time.
local function is_orphan(run, rid, now)
  if not string.find(run.lane, '@', 1, true) or redis.call('ZCARD', serving_key(run.lane)) > 0 then return false end
  return now - tonumber(redis.call('HGET', run_key(rid), 'created_ms')) > run.keep_failed_ms
end

-- A step that the run waits for and nobody can execute. A run that waits for an answer needs no worker yet, and a
-- workflow that nobody serves at all waits for its first worker, however long that takes.
local function unserved_step(run, live, since)
  if string.find(run.lane, '@', 1, true) then return nil end
  if redis.call('ZCOUNT', serving_key(run.lane), since, '+inf') == 0 then return nil end
  if redis.call('ZCOUNT', serving_key(run.lane .. '#' .. run.digest), since, '+inf') > 0 then return nil end
  local first
  for did, rec in pairs(live) do
    if rec.st == 'q' and (not first or did < first) then first = did end
  end
  return first and live[first].s
end

-- Notes since when that is so. The step, and whether it was so for longer than it may be; nil if all is well.
local function look_for_skew(run, rid, live, now, fresh_ms, skew_ms)
  local step, since = unserved_step(run, live, now - fresh_ms), redis.call('HGET', run_key(rid), 'unserved_ms')
  if not step then
    if since then redis.call('HDEL', run_key(rid), 'unserved_ms') end
    return nil
  end
  if not since then redis.call('HSET', run_key(rid), 'unserved_ms', decimal(now)) end
  return step, skew_ms > 0 and now - tonumber(since or now) >= skew_ms
end
