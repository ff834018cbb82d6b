--! use end kept
--! key done HASH
-- Links of a commit: deliveries that a worker has executed in one go with the one it holds, each what followed alone from the
-- one before. None of them was ever live: it has a mark, and what it handed on is told by the next.

-- What a step returned, for people; of a list the class of its last event.
local function output_of(plan)
  if plan.ends then return plan.ends.name end
  return plan.output or (plan.emits[1] and plan.emits[#plan.emits][2] or 'NoneType')
end

-- links: delivery, nonce, packed plan, of each; their marks are written with those in tx.marks. Returns a record of the last
-- one, or that of the delivery they follow from.
local function end_links(tx, rec, plan, links, last)
  if not links[1] then return rec end
  local marks, worker = tx.marks, rec.w
  for i = 1, #links, 3 do
    local did = links[i]
    rec = { s = string.match(did, '@([^@]+)$'), w = worker, b = tx.now, a = 1, n = links[i + 1], t = plan.emits[1][2] }
    if tx.run.exposed then
      notes().begin(tx.run, tx.rid, rec)
      plan = cmsgpack.unpack(links[i + 2])
      notes().stop(tx.run, tx.rid, rec, output_of(plan))
    end
    local ends = last.ends and i + 3 > #links
    marks[#marks + 1], marks[#marks + 2] = did, mark_of(rec, tx.now, ends and 'ended' or 'ok')
  end
  redis.call('HSET', done_key(tx.rid), unpack(marks))
  return rec
end

-- What ends the run is not kept: nobody goes on behind it.
local function keep_commits(run, rid, did, raw, links, last, large)
  local entries = {}
  if links[1] or not last.ends then entries = { 'c', did, raw } end
  for i = 1, #links - (last.ends and 3 or 0), 3 do
    entries[i + 3], entries[i + 4], entries[i + 5] = 'c', links[i], links[i + 2]
  end
  if entries[1] then keep_all(run, rid, entries, large) end
end
