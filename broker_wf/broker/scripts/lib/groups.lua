--! use dispatch dead
-- Consumer groups: reading one, what it can still be given, and the entries that are no work of its step.

local function read_group(key, step, consumer, count)
  local got = redis.pcall('XREADGROUP', 'GROUP', step, consumer, 'COUNT', count, 'STREAMS', key, '>')
  if got and got.err then
    redis.call('XGROUP', 'CREATE', key, step, '0', 'MKSTREAM')
    got = redis.call('XREADGROUP', 'GROUP', step, consumer, 'COUNT', count, 'STREAMS', key, '>')
  end
  return got and got[1][2] or {}
end

-- Run, event and steps of an entry: '<run>|<event>@<step>,…'; nil if it is none of ours.
local function parsed(entry)
  local f = entry[2]
  if #f ~= 2 or f[1] ~= 'd' then return nil end
  return string.match(f[2], '^([^|]*)|(.*)@([^@]*)$')
end

-- One that is none of ours goes to the dead letters.
local function drop_malformed(key, step, entry, now)
  redis.call('XACK', key, step, entry[1])
  redis.call('XDEL', key, entry[1])
  dead_letter({ kind = 'malformed', entry = entry[1], stream = key, fields = entry[2], at = now })
end

-- A run of another graph goes to the stream that only workers with its digest read.
local function set_aside(run, rid, did, rec, now)
  retire_record(run, rid, did, rec)
  rec.h = '#' .. run.digest
  ring(enqueue(run, rid, event_of(did, rec.s), { rec }, 'a', now), 1)
end

-- Where the group of a step stands in a stream; nil if there is no such group. Asked once per script.
local function last_given(key, step)
  CALL.given = CALL.given or {}
  local last_delivered = CALL.given
  if not last_delivered[key] then
    last_delivered[key] = {}
    local info = redis.pcall('XINFO', 'GROUPS', key)
    for _, one in ipairs(info.err and {} or info) do
      local group = {}
      for i = 1, #one, 2 do group[one[i]] = one[i + 1] end
      last_delivered[key][group['name']] = group['last-delivered-id']
    end
  end
  return last_delivered[key][step]
end

local function is_behind(entry, last)
  local ms, seq = string.match(entry, '(%d+)-(%d+)')
  local last_ms, last_seq = string.match(last, '(%d+)-(%d+)')
  ms, seq, last_ms, last_seq = tonumber(ms), tonumber(seq), tonumber(last_ms), tonumber(last_seq)
  return ms > last_ms or (ms == last_ms and seq > last_seq)
end

-- Whether the group can still be given an entry: it is there, and behind what the group has delivered.
local function reachable(key, step, entry)
  if #redis.call('XRANGE', key, entry, entry) == 0 then return false end
  local last = last_given(key, step)
  if last then return is_behind(entry, last) end
  redis.call('XGROUP', 'CREATE', key, step, '0', 'MKSTREAM')
  CALL.given[key][step] = '0-0'
  return true
end
