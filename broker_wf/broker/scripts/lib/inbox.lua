--! key inbox LIST
-- Messages for one process: results for a driver; grants, cancellations for a worker.

local INBOX_LIFE_MS = 3600000

-- One that is read is empty again and again, and made anew by the next message.
local function push_inbox(process, message)
  local size = redis.call('RPUSH', inbox_key(process), cmsgpack.pack(message))
  if size % 64 == 1 then redis.call('PEXPIRE', inbox_key(process), INBOX_LIFE_MS) end
end
