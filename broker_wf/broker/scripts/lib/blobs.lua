--! key blob     HASH
--! key arriving HASH
-- Large parts of a run's events: hash of the content -> encoded part. Payloads refer to them in a table behind their
-- first byte, which is as wire/envelope.py writes it, with 8 more if they are signed. 'p' .. hash marks a blob that the feed or a dead letter refers to: it
-- is kept as long as the run is, the others until the run ends.

local PLAIN_REFERRING, ZLIB_REFERRING = 0x12, 0x13

local function keep_blob(rid, hash, part)
  redis.call('HSETNX', blob_key(rid), hash, part)
end

-- parts: hash, encoded part, the next hash …
local function keep_blobs(rid, parts)
  for i = 1, #parts, 2 do keep_blob(rid, parts[i], parts[i + 1]) end
end

-- What was put down for a new run becomes its blobs as it is: Lua would copy and hash each byte.
local function take_arrived(rid, token)
  redis.call('RENAME', arriving_key(token), blob_key(rid))
  redis.call('PERSIST', blob_key(rid))
end

-- Why a script must refuse payloads that refer to these blobs: nil, or {word}.
local function lack_of(rid, refs)
  for _, hash in ipairs(refs or {}) do
    if redis.call('HEXISTS', blob_key(rid), hash) == 0 then return { 'NO_BLOB' } end
  end
  return nil
end

local function publish_blobs(rid, payload)
  local head = string.byte(payload, 1)
  if head and head % 16 >= 8 then head = head - 8 end
  if head ~= PLAIN_REFERRING and head ~= ZLIB_REFERRING then return end
  local a, b, c, d = string.byte(payload, 2, 5)
  local count = d and ((a * 256 + b) * 256 + c) * 256 + d or 0
  -- A dead letter's payload may be anything.
  if #payload < 5 + 20 * count then return end
  for i = 0, count - 1 do
    redis.call('HSET', blob_key(rid), 'p' .. string.sub(payload, 6 + 20 * i, 21 + 20 * i), '')
  end
end

-- The run has ended: what nobody can ask for any more goes.
local function drop_unpublished_blobs(rid)
  local published, drop = {}, {}
  local fields = redis.call('HKEYS', blob_key(rid))
  for _, field in ipairs(fields) do
    if #field == 17 then published[string.sub(field, 2)] = true end
  end
  for _, field in ipairs(fields) do
    if #field == 16 and not published[field] then drop[#drop + 1] = field end
  end
  for i = 1, #drop, 500 do
    redis.call('HDEL', blob_key(rid), unpack(drop, i, math.min(i + 499, #drop)))
  end
end
