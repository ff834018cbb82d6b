--! use blobs
--! key run  HASH
--! key feed STREAM
-- The ordered list of events a run publishes. Ids are '<seq>-0', seq from 1 without gaps. A stream takes 4 KiB, so where
-- the end of the run is all there is, and nobody waits for it, that stays in the run's record.

local FEED_CAP = '10000'

-- The attempt and the worker that publish something, for people.
local function publisher(rec)
  return rec.w and rec.a .. ' ' .. rec.w
end

-- by: see publisher. mark: one more field, for people: 'w' if a waiter asks it.
local function append_feed(rid, name, payload, step, now, by, mark)
  local seq = redis.call('HINCRBY', run_key(rid), 'seq', '1')
  local entry = { 't', name, 'p', payload, 's', step or '', 'at', decimal(now) }
  if by then entry[9], entry[10] = 'b', by end
  if mark then entry[#entry + 1], entry[#entry + 2] = mark, '' end
  redis.call('XADD', feed_key(rid), 'MAXLEN', '~', FEED_CAP, string.format('%d-0', seq), unpack(entry))
  publish_blobs(rid, payload)
  return seq
end

-- The last entry, as the record of a run holds it that has published nothing else: a packed list. value: its result or error.
local function end_entry(rid, outcome, value)
  publish_blobs(rid, outcome.payload)
  local payload = outcome.payload ~= value and outcome.payload
  return cmsgpack.pack({ outcome.name, payload, outcome.step or '', outcome.by or '' })
end
