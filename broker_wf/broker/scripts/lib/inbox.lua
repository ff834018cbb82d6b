--! key inbox LIST
-- Messages for one process: results for a driver; grants, cancellations for a worker.

local INBOX_LIFE_MS = '3600000'

local function push_inbox(process, message)
  redis.call('RPUSH', inbox_key(process), cmsgpack.pack(message))
  redis.call('PEXPIRE', inbox_key(process), INBOX_LIFE_MS)
end
