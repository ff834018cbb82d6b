--! use end finish dead rest
--! key watch ZSET
-- What a run ends with when its time is over, or when a delivery was the death of too many workers.

local function time_out(run, rid, now)
  local active, seen = {}, {}
  for _, raw in ipairs(redis.call('HVALS', live_key(rid))) do
    local rec = record_of(raw)
    if rec and rec.st == 'l' and not seen[rec.s] then
      seen[rec.s] = true
      active[#active + 1] = rec.s
    end
  end
  table.sort(active)
  keep_rest(run, rid)
  local why = cmsgpack.pack({ kind = 'timeout', timeout_ms = run.timeout_ms, steps = active })
  finish(run, rid, now, { status = 'timed_out', error = '!' .. why, name = '!timed_out', payload = why })
end

local function poison(run, rid, did, rec, now)
  local why = { kind = 'poison', run = rid, delivery = did, step = rec.s, event = rec.t, crashes = rec.c,
    workers = rec.z, workflow = run.workflow }
  local packed = cmsgpack.pack(why)
  why.payload, why.at, why.slots = rec.p, now, rec.j == 'slots' or nil
  keep_rest(run, rid, did)
  end_delivery(begin(run, rid, now), did, rec, 'poison')
  dead_letter(why)
  finish(run, rid, now, { status = 'failed', error = '!' .. packed, name = '!poison', payload = packed, step = rec.s })
end
