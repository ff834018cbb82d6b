--! use overdue
--! key watch ZSET
-- A lease whose time is over: its delivery goes back into a stream, with one crash more.

-- Nobody could renew while nobody could reach the server. Who is alive does so within the half lease that is given
-- here; whoever has not by then is taken for dead. No second time without a renewal in between.
local function spare(member, rid, did, rec, last, now)
  local length, due = rec.d - rec.x, tonumber(redis.call('ZSCORE', watch_key(), member))
  if (now - last) * 3 <= length * 2 or due <= last or due == rec.S then return false end
  rec.S = now + math.floor(length / 2)
  save_record(rid, did, rec)
  redis.call('ZADD', watch_key(), rec.S, member)
  if rec.l then hold_place(load_run(rid), rid, did, rec, rec.S) end
  return true
end

-- last: when a sweep last ran. How many deliveries went back to a stream, how many runs ended: it may be poison.
local function lease_over(run, rid, did, rec, max_crashes, last, now)
  local member = rid .. '|' .. did
  if spare(member, rid, did, rec, last, now) then return 0, 0 end
  rec.c, rec.S = rec.c + 1, nil
  rec.z = rec.z or {}
  rec.z[#rec.z + 1] = rec.w
  if rec.c >= max_crashes then
    poison(run, rid, did, rec, now)
    return 0, 1
  end
  if rec.V then notes().publish_stop(run, rid, rec, now) end
  free_place(run, rid, did, rec)
  free_lock(run, rid, did, rec.n)
  ring(redispatch(run, rid, did, rec, now), 1)
  redis.call('ZREM', watch_key(), member)
  return 1, 0
end
