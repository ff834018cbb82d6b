--! use export blobs
-- What a run that fails, times out or is cancelled had not finished, so that another one can go on from there. It is packed before
-- anything of it is dropped: the delivery that has failed is still live in it.

local REST_CAP = 10000
local SIZE = { hash = 'HLEN', list = 'LLEN', set = 'SCARD' }

-- A packed map or list, behind the 'd' of a backlog's item; no payload begins as these do.
local function unpacked(value)
  local from = string.byte(value, 1) == 0x64 and 2 or 1
  local head = string.byte(value, from) or 0
  if not (head >= 0x80 and head <= 0x9f or head >= 0xdc and head <= 0xdf) then return nil end
  local whole, inner = pcall(cmsgpack.unpack, string.sub(value, from))
  return whole and inner or nil
end

-- Keeps the blobs that payloads refer to, however deep these are packed.
local function publish_within(rid, value)
  if type(value) == 'string' then
    publish_blobs(rid, value)
    value = unpacked(value)
  end
  if type(value) ~= 'table' then return end
  for _, inner in pairs(value) do publish_within(rid, inner) end
end

-- did: the delivery that has failed, if one has. Nothing is kept of a run whose work has more items than REST_CAP.
local function keep_rest(run, rid, did)
  local keys, size = work_keys(rid), 0
  for _, key in ipairs(keys) do
    local count = SIZE[redis.call('TYPE', key).ok]
    size = size + (count and redis.call(count, key) or 0)
    if size > REST_CAP then return end
  end
  local parts = parts_of(keys)
  redis.call('SET', rest_key(rid), cmsgpack.pack({ did or '', parts }), 'PX', run.keep_failed_ms)
  if redis.call('EXISTS', blob_key(rid)) == 1 then publish_within(rid, parts) end
end
