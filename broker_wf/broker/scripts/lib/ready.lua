-- In which order a claim looks at what is ready.

-- The first of the keys that is there, from a place in the list on; nil if none is. Of what a worker serves most has nothing
-- ready, and one command looks at many.
local function first_present(keys, from)
  local MOST, to = 1000, #keys
  while from <= to do
    local last = math.min(to, from + MOST - 1)
    if redis.call('EXISTS', unpack(keys, from, last)) > 0 then
      while from < last do
        local middle = math.floor((from + last) / 2)
        if redis.call('EXISTS', unpack(keys, from, middle)) > 0 then last = middle else from = middle + 1 end
      end
      return from
    end
    from = last + 1
  end
  return nil
end

-- Of one lane the heads of its pairs, in their order. Where nothing has a priority there are two.
-- order: see claim.lua.
local function heads_of(ready, order)
  local plain, ranked = { 'a:', 'w:' }, false
  for _, pair in ipairs(ready) do
    local byte = string.byte(pair)
    ranked = ranked or byte == 43 or byte == 45
  end
  if not ranked then return plain end
  local heads = {}
  for mark in string.gmatch(order, '.') do
    if mark == '.' then mark = '' end
    for _, head in ipairs(plain) do heads[#heads + 1] = mark .. head end
  end
  return heads
end
