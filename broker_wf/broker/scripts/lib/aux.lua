--! key aux SET
-- Further keys of a run (buffers, batches, effect ids …). They go when the run ends.

local function note_key(rid, key)
  redis.call('SADD', aux_key(rid), key)
end

local function drop_key(rid, key)
  redis.call('UNLINK', key)
  redis.call('SREM', aux_key(rid), key)
end
