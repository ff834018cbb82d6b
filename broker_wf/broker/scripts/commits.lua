--! commits: end several attempts of one run that succeeded and only hand on events; each as a whole, or not at all.
--! use end buffers finish blobs kept links
--! arg rid   str
--! arg busy  int   1: the worker is full
--! arg ended rest  delivery, plan (as that of commit: nonce, routes, emits; nothing else of it is looked at), the next delivery …
--! reply list: what commit replies, of each; 'SINGLY' where somebody waits for an event: commit it by itself

local now, run, dids = now_ms(), load_run(rid), {}
for i = 1, #ended, 2 do dids[#dids + 1] = ended[i] end
local records = redis.call('HMGET', live_key(rid), unpack(dids))

-- Guards, for each.
local replies, going, plans, entries = {}, {}, {}, {}
for i, did in ipairs(dids) do
  local plan, rec = cmsgpack.unpack(ended[2 * i]), records[i] and record_of(records[i], did) or nil
  local refused = refusal(run, rec, rid, did, plan.nonce) or (run.waits and { 'SINGLY' })
  replies[i] = refused or { 'OK' }
  if not refused then
    going[#going + 1], plans[#plans + 1] = { did, rec, output_of(plan) }, plan
    entries[#entries + 1], entries[#entries + 2], entries[#entries + 3] = 'c', did, ended[2 * i]
  end
end
if not going[1] then return replies end

-- Writes.
local tx, left = begin(run, rid, now), {}
tx.gathers = {}
end_deliveries(tx, going, 'ok')
keep_all(run, rid, entries, false)
for i, plan in ipairs(plans) do
  local did, rec = going[i][1], going[i][2]
  tx.r = rec.r
  emit_all(tx, plan.routes, plan.emits, rec.m)
  if rec.m then
    left[rec.m] = left[rec.m] or {}
    table.insert(left[rec.m], did)
  end
end
tx.r = nil
push_gathered(tx)
for cid, members in pairs(left) do leave_collection(tx, cid, unpack(members)) end
refill(tx)
if run.exposed then notes().publish_changes(tx, true) end
ring_for(run.lane, tx.made, busy == 1)
return replies
