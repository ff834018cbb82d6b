--! key dead STREAM
-- Deliveries given up on, kept for a person.

local DEAD_CAP = 10000

local function dead_letter(letter)
  redis.call('XADD', dead_key(), 'MAXLEN', '~', DEAD_CAP, '*', 'letter', cmsgpack.pack(letter))
end
