--! commit: end one attempt that succeeded; all of its consequences, or none.
--! use end buffers finish blobs hand kept
--! key watch ZSET
--! arg rid  str
--! arg did  str
--! arg plan pack  nonce, worker, busy, effects, decisions, routes, emits {{event id, name, payload}},
--!                asked {{name, payload}} (questions, published) or nil,
--!                opens {id, joins} or nil, staged token or nil, output (name) where the emits do not tell it, ends {status, result, name, payload} or nil,
--!                refs {hashes of the blobs its payloads need} or nil,
--!                hand {nonce, worker, lease_ms, step, lane} or nil: the worker offers to go on with what it hands on,
--!                hashes {event id = {field = hash}} of what waiters ask for, or nil
--!                knows {effect, change} or nil: the last that this execution has done by call
--! reply list: 'OK', what the worker keeps or nil | 'DONE', status, likewise (by this very lease, before) | 'GONE', status | 'FENCED' | 'STALE_BUFFER' | 'FORGOTTEN' | 'NO_BLOB' | 'FIELDS', field…

-- What the step returned, for people; of a list the class of its last event.
local function output_of(plan)
  if plan.ends then return plan.ends.name end
  return plan.output or (plan.emits[1] and plan.emits[#plan.emits][2] or 'NoneType')
end

local now, run, rec = now_ms(), load_run(rid), load_record(rid, did)

-- Guards.
local refused = refusal(run, rec, rid, did, plan.nonce)
if refused then
  if refused[1] == 'DONE' and plan.hand then refused[3] = kept_before(run, rid, plan.hand, plan.emits) end
  return refused
end
for _, decision in ipairs(plan.decisions) do
  if not decision_stands(rid, rec.s, decision) then return { 'STALE_BUFFER' } end
end
if has_forgotten(rid, did, plan.knows) then return { 'FORGOTTEN' } end
local lack = lack_of(rid, plan.refs)
  or unasked_fields(run, rid, plan.emits, plan.effects, plan.hashes)
if lack then return lack end

-- Writes.
local tx = begin(run, rid, now)
tx.r = rec.r
for _, decision in ipairs(plan.decisions) do apply_decision(tx, did, rec.s, decision) end
tx.hashes = plan.hashes
apply_effects(tx, did, rec, plan.effects)
if tx.lost then notes().lose(tx, false) end
if rec.V then tx.output = output_of(plan) end
end_delivery(tx, did, rec, plan.ends and 'ended' or 'ok')
if plan.ends then
  plan.ends.step, plan.ends.by = rec.s, publisher(rec)
  finish(run, rid, now, plan.ends)
  return { 'OK' }
end
if plan.asked then
  if run.notes then notes().publish(run, rid, now) end
  for _, one in ipairs(plan.asked) do append_feed(rid, one[1], one[2], rec.s, now, publisher(rec)) end
end
keep(run, rid, 'c', did, ARGV[3], plan.staged or plan.refs and plan.refs[1])
local inner = rec.m
if plan.opens then
  inner = plan.opens.id
  open_collection(tx, inner, rec.m, plan.opens.joins)
end
if plan.staged then take_staged(tx, did, plan.staged, inner) end
let_keep(tx, plan.hand, plan.busy == 1)
for _, one in ipairs(plan.emits) do emit(tx, plan.routes, one[1], one[2], one[3], inner) end
tx.keep = nil
leave_collection(tx, rec.m, did)
if plan.opens and redis.call('SCARD', open_key(rid, inner)) == 0 then close_collection(tx, inner) end
refill(tx)
if run.exposed then notes().publish_changes(tx, true) end
-- A worker that goes on with what it made does not claim the rest.
ring_for(run.lane, tx.made, plan.busy == 1 or tx.kept)
return { 'OK', tx.kept }
