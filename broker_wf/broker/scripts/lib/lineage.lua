-- How often each catch_error handler was called on the way to an event: {handler = times}, or nil. What joins several
-- events takes the larger count of each handler.

local function larger(a, b)
  if not a or not b then return a or b end
  local counts = {}
  for handler, n in pairs(a) do counts[handler] = n end
  for handler, n in pairs(b) do counts[handler] = math.max(counts[handler] or 0, n) end
  return counts
end

local PACKED_PAIR = 0x92

-- A payload that waits in a slot, with its counts if there are any. No payload begins as a packed pair does.
local function with_counts(payload, counts)
  return counts and cmsgpack.pack({ payload, counts }) or payload
end

local function without_counts(item)
  if string.byte(item, 1) ~= PACKED_PAIR then return item, nil end
  local pair = cmsgpack.unpack(item)
  return pair[1], pair[2]
end
