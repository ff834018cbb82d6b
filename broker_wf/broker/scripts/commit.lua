--! commit: end one attempt that succeeded; all of its consequences, or none.
--! use end buffers finish blobs hand kept links
--! key watch ZSET
--! arg rid  str
--! arg did  str
--! arg plan pack  nonce, worker, busy, effects, decisions, routes, emits {{event id, name, payload}},
--!                asked {{name, payload}} (questions, published) or nil,
--!                opens {id, joins} or nil, staged token or nil, output (name) where the emits do not tell it, ends {status, result, name, payload} or nil,
--!                refs {hashes of the blobs its payloads need} or nil,
--!                hand {nonce, worker, lease_ms, step, lane, begun} or nil: the worker offers to go on with what is handed on at last,
--!                hashes {event id = {field = hash}} of what waiters ask for, or nil
--!                knows {effects, changes} or nil: the last that this execution has done by call, over each connection
--! arg links rest  what the worker has executed in one go with it, each the one delivery that followed from the one before: delivery,
--!                nonce, plan (packed, as above: emits, routes, opens, ends, asked), the next delivery …
--! reply list: 'OK', what the worker keeps or nil | 'DONE', status, likewise (by this very lease, before) | 'GONE', status | 'FENCED' | 'STALE_BUFFER' | 'FORGOTTEN' | 'NO_BLOB' | 'FIELDS', field… | 'SINGLY' (somebody waits: commit it without links)

local now, run, rec = now_ms(), load_run(rid), load_record(rid, did)
-- The last link's, whose consequences are those of all.
local last = links[1] and cmsgpack.unpack(links[#links]) or plan

-- Guards.
local refused = refusal(run, rec, rid, did, plan.nonce)
if refused then
  if refused[1] == 'DONE' and plan.hand then refused[3] = kept_before(run, rid, plan.hand, last.emits) end
  return refused
end
if links[1] and run.waits then return { 'SINGLY' } end
for _, decision in ipairs(plan.decisions) do
  if not decision_stands(rid, rec.s, decision) then return { 'STALE_BUFFER' } end
end
if has_forgotten(rid, did, plan.knows, plan.effects) then return { 'FORGOTTEN' } end
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
tx.ends, tx.marks = last.ends, links[1] and {}
end_delivery(tx, did, rec, plan.ends and 'ended' or 'ok')
local done = end_links(tx, rec, plan, links, last)
keep_commits(run, rid, did, ARGV[3], links, last, plan.staged or plan.refs and plan.refs[1])
if last.ends then
  last.ends.step, last.ends.by = done.s, publisher(done)
  finish(run, rid, now, last.ends)
  return { 'OK' }
end
if last.asked then
  if run.notes then notes().publish(run, rid, now) end
  for _, one in ipairs(last.asked) do append_feed(rid, one[1], one[2], done.s, now, publisher(done)) end
end
local inner = rec.m
if last.opens then
  inner = last.opens.id
  open_collection(tx, inner, rec.m, last.opens.joins)
end
if plan.staged then take_staged(tx, did, plan.staged, inner) end
let_keep(tx, plan.hand, plan.busy == 1)
emit_all(tx, last.routes, last.emits, inner)
tx.keep = nil
leave_collection(tx, rec.m, did)
if last.opens and redis.call('SCARD', open_key(rid, inner)) == 0 then close_collection(tx, inner) end
refill(tx)
if run.exposed then notes().publish_changes(tx, true) end
-- A worker that goes on with what it made does not claim the rest.
ring_for(run.lane, tx.made, plan.busy == 1 or tx.kept)
return { 'OK', tx.kept }
