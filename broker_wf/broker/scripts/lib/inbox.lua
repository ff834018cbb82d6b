--! key inbox LIST
-- Messages for one process: results for a driver; grants, cancellations for a worker.

local INBOX_LIFE_MS = '3600000'

local function push_inbox(process, message)
  local length = redis.call('RPUSH', inbox_key(process), cmsgpack.pack(message))
  -- Whoever reads it empties it: it expires so long after its first messages, some of which the process itself may have put.
  if length < 4 then redis.call('PEXPIRE', inbox_key(process), INBOX_LIFE_MS) end
end
