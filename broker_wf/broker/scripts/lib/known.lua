-- What comes packed again and again, as the routes of a workflow do, is unpacked once and kept beyond the call. Nobody
-- writes into it.

local function remembering(make)
  local MOST, LONGEST = 200, 4096
  local found, count = {}, 0
  return function(raw)
    local value = found[raw]
    if value then return value end
    value = make(raw)
    if #raw > LONGEST then return value end
    if count == MOST then found, count = {}, 0 end
    found[raw], count = value, count + 1
    return value
  end
end

local known = remembering(function(raw) return cmsgpack.unpack(raw) end)
