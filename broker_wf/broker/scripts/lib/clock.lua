-- Time is the server's, in milliseconds since the epoch.

-- A whole number as it is written. Redis needs three times as long for a number of Lua's, of which it writes all digits.
local decimal
do
  local last, text = nil, nil

  -- The same one is written several times in a call: this moment.
  decimal = function(number)
    if number ~= last then last, text = number, string.format('%d', number) end
    return text
  end
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
