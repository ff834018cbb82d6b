--! use dead
-- What is not as we write it, in one run or of one delivery, must not keep a script from all the others.

local function tell_broken(now, what, error)
  dead_letter({ kind = 'broken', at = now, what = what, error = type(error) == 'table' and error.err or tostring(error) })
end

-- Do something about one of many. False if that broke, which the dead letters then tell.
local function guarded(now, what, action, ...)
  local fine, first, second = pcall(action, ...)
  if fine then return true, first, second end
  tell_broken(now, what, first)
  return false
end
