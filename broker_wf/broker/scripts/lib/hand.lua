--! use lease
--! key bell LIST
-- The one delivery that follows from a commit may go on with the worker that made it, if it offers to: it is leased at once
-- and in no stream. hand is the offer: nonce, worker, lease_ms, step, lane, begun (it has begun to execute it already) or nil.

-- A full worker keeps what it made only if nobody idles: whoever does has taken every token of the bell.
local function let_keep(tx, hand, busy)
  if not hand or hand.lane ~= tx.run.lane then return end
  if busy and not hand.begun and redis.call('LLEN', bell_key(hand.lane)) == 0 then return end
  local holder = { worker = hand.worker, nonce = hand.nonce, lease_ms = hand.lease_ms, now = tx.now }
  tx.keep = function(eid, recs)
    local rec = recs[1]
    if recs[2] or rec.s ~= hand.step then return false end
    tx.keep, rec.k = nil, 'w'
    tx.kept = cmsgpack.pack(lease(holder, tx.run, tx.rid, eid .. '@' .. rec.s, rec, nil))
    return true
  end
end

-- What a commit gave whose reply was lost, if the worker has not done it meanwhile.
local function kept_before(run, rid, hand, emits)
  local did = emits[1][1] .. '@' .. hand.step
  local rec = load_record(rid, did)
  local is_theirs = run.status == 'running' and rec and rec.st == 'l' and rec.n == hand.nonce
  return is_theirs and cmsgpack.pack(handed(run, rid, did, rec, cmsgpack.pack(rec))) or nil
end
