--! stage: put down a part of a large fan-out under the lease that makes it; the commit takes all over.
--! use end
--! arg rid    str
--! arg did    str
--! arg plan   pack  nonce, token, part (number from 1), m (collection of the children) or nil, items {{event id, name, payload, {steps}}}
--! reply list: 'OK' | 'DONE' | 'GONE', status | 'FENCED' | 'WAITED_FOR': one of them may be an answer, so the commit hands all on

local now, run, rec = now_ms(), load_run(rid), load_record(rid, did)

-- Guards.
local refused = refusal(run, rec, rid, did, plan.nonce)
if refused then return refused end

if run.waits then
  for _, item in ipairs(plan.items) do
    if redis.call('EXISTS', waiters_key(rid, item[2])) == 1 then return { 'WAITED_FOR' } end
  end
end

-- Writes. A part that came twice is put down once.
local list, ids = staged_key(rid, plan.token), staged_key(rid, plan.token .. ':ids')
local key = effects_key(rid, did)
if redis.call('SADD', key, plan.token .. ':' .. plan.part) == 0 then return { 'OK' } end
local tx = begin(run, rid, now)
tx.r = rec.r
local records, children = {}, {}
for _, item in ipairs(plan.items) do
  for _, step in ipairs(item[4]) do
    local child = item[1] .. '@' .. step
    children[#children + 1] = child
    records[#records + 1] = cmsgpack.pack({ child, new_record(tx, step, item[2], item[3], plan.m) })
  end
end
for i = 1, #children, 1000 do
  local till = math.min(i + 999, #children)
  redis.call('RPUSH', list, unpack(records, i, till))
  if plan.m then redis.call('SADD', ids, unpack(children, i, till)) end
end
note_key(rid, list)
note_key(rid, ids)
if not rec.y then
  rec.y = 1
  note_key(rid, key)
  save_record(rid, did, rec)
end
return { 'OK' }
