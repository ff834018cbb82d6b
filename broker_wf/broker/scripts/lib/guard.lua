--! use dead
-- What is not as we write it, in one run or of one delivery, must not keep a script from all the others.

-- Do something about one of many. False if that broke, which the dead letters then tell.
local function guarded(now, what, action, ...)
  local fine, first, second = pcall(action, ...)
  if fine then return true, first, second end
  local reason = type(first) == 'table' and first.err or tostring(first)
  dead_letter({ kind = 'broken', at = now, what = what, error = reason })
  return false
end
