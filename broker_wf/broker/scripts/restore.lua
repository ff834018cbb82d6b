--! restore: accept a run that goes on where another one was when it was exported; once.
--! flags none
--! use accept emit time
--! key watch   ZSET
--! key waiting HASH
--! arg rid  str
--! arg packed str  what it has in common with others, see lib/record.lua
--! arg plan pack  as lib/accept.lua says, besides: used_ms (of its time, before), flags {field of the record = value},
--!                parts {{key, type, content}}, aux {key}, dues {{delivery id, packed record, due or ''}} of the delayed,
--!                waits likewise of the waiting, work {{delivery id, packed record}} to be queued, in order
--! reply {'OK'} | {'EXISTS', status, same snapshot?} | {'FULL', live runs}

local now, kind = now_ms(), kind_of(packed)

local WRITE = {
  hash = function(key, content)
    for i = 1, #content, 2 do redis.call('HSET', key, content[i], content[i + 1]) end
  end,
  list = function(key, content)
    for _, item in ipairs(content) do redis.call('RPUSH', key, item) end
  end,
  set = function(key, content)
    for _, item in ipairs(content) do redis.call('SADD', key, item) end
  end,
}

-- Guards.
local refused = not_accepted(rid, kind, plan)
if refused then return refused end

-- Writes.
accept(rid, kind, plan, now)
set_rare(rid, 'used_ms', plan.used_ms)
set_rare(rid, 'backlog', 1)
for field, value in pairs(plan.flags) do set_rare(rid, field, value) end
for _, key in ipairs(plan.aux) do note_key(rid, key) end
for _, one in ipairs(plan.work) do
  redis.call('RPUSH', backlog_key(rid), 'd' .. cmsgpack.pack({ one[1], cmsgpack.unpack(one[2]) }))
end
for _, part in ipairs(plan.parts) do WRITE[part[2]](part[1], part[3]) end
for _, one in ipairs(plan.dues) do
  redis.call('HSET', live_key(rid), one[1], one[2])
  redis.call('ZADD', watch_key(), one[3], rid .. '|' .. one[1])
end
for _, one in ipairs(plan.waits) do
  redis.call('HSET', waiting_key(rid), one[1], one[2])
  redis.call('ZADD', watch_key(), one[3], rid .. '|' .. one[1])
end
local tx = begin(load_run(rid), rid, now)
refill(tx)
-- Where nothing is to be claimed, its time goes on now: somebody is waited for.
if tx.made == 0 and tx.run.window > 0 then begin_run(tx.run, rid, now) end
ring(kind.lane, math.max(tx.made, 1))
return { 'OK' }
