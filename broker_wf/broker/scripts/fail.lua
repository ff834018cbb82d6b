--! fail: end one attempt that raised: try again at a later time, hand it to its handler, or end the run.
--! use end finish dead blobs rest kept
--! arg rid  str
--! arg did  str
--! arg plan pack  nonce, busy, effects, error (bytes), delay_ms or nil, dead (a letter) or nil, ends {status, error, name, payload} or nil,
--!                recovers {event id, name, payload, routes, counts} or nil: what the catch_error handler gets,
--!                refs {hashes of the blobs its payloads need} or nil, hashes and knows as in commit
--! reply list: 'OK' | 'DONE' | 'GONE', status | 'FENCED' | 'FORGOTTEN' | 'NO_BLOB' | 'FIELDS', field…

local now, run, rec = now_ms(), load_run(rid), load_record(rid, did)

-- Guards.
local refused = refusal(run, rec, rid, did, plan.nonce)
if refused then
  if refused[1] == 'FENCED' and rec and rec.u == plan.nonce then return { 'DONE', run.status } end
  return refused
end
if has_forgotten(rid, did, plan.knows, plan.effects) then return { 'FORGOTTEN' } end
local lack = lack_of(rid, plan.refs) or unasked_fields(run, rid, nil, plan.effects, plan.hashes)
if lack then return lack end

-- Writes.
local tx = begin(run, rid, now)
tx.r = rec.r
tx.hashes = plan.hashes
apply_effects(tx, did, rec, plan.effects)
keep_sent(run, rid, 'f', did, plan.effects, ARGV[3], plan.refs)
if tx.lost then notes().lose(tx, false) end
refill(tx)
if plan.ends then
  keep_rest(run, rid, did)
  end_delivery(tx, did, rec, 'failed')
  plan.ends.step, plan.ends.by = rec.s, publisher(rec)
  if plan.dead then
    plan.dead.slots = rec.j == 'slots' or nil
    dead_letter(plan.dead)
  end
  finish(run, rid, now, plan.ends)
  return { 'OK' }
end
if plan.recovers then
  local id, name, payload, routes, counts = unpack(plan.recovers)
  end_delivery(tx, did, rec, 'failed')
  set_rare(rid, 'recovered', 1)
  tx.r = counts
  emit(tx, routes, id, name, payload, rec.m)
  leave_collection(tx, rec.m, did)
  refill(tx)
  if run.exposed then notes().publish_changes(tx, true) end
  ring_for(run.lane, tx.made, plan.busy == 1)
  return { 'OK' }
end
if rec.V then notes().stop(run, rid, rec, nil) end
free_place(run, rid, did, rec)
free_lock(run, rid, did, rec.n)
forget_effects(rid, did, rec)
retire_record(run, rid, did, rec)
rec.st, rec.a, rec.g, rec.u, rec.y = 'd', rec.a + 1, plan.error, rec.n, nil
rec.n, rec.w, rec.l, rec.i, rec.d = nil, nil, nil, nil, now + plan.delay_ms
if plan.delay_ms <= 0 then
  ring(enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now), plan.busy == 1 and 1 or 0)
  redis.call('ZREM', watch_key(), rid .. '|' .. did)
else
  save_record(rid, did, rec)
  redis.call('ZADD', watch_key(), rec.d, rid .. '|' .. did)
end
if run.exposed then notes().publish_changes(tx, false) end
ring_for(run.lane, tx.made, plan.busy == 1)
return { 'OK' }
