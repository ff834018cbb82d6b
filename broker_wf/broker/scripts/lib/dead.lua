--! use blobs
--! key dead STREAM
-- Deliveries given up on, kept for a person; the large parts of their events as long as the run.

local DEAD_CAP = 10000

local function dead_letter(letter)
  local payloads = { letter.payload }
  if letter.slots then
    local whole, parts = pcall(cmsgpack.unpack, letter.payload)
    payloads = whole and type(parts) == 'table' and parts or {}
  end
  for _, payload in ipairs(payloads) do
    if letter.run and type(payload) == 'string' then publish_blobs(letter.run, payload) end
  end
  redis.call('XADD', dead_key(), 'MAXLEN', '~', DEAD_CAP, '*', 'letter', cmsgpack.pack(letter))
end
