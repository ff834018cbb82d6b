-- A change inside an encoded value of the state, byte by byte: what stands beside it is neither read nor written anew.
-- Values are msgpack behind one byte that says they are plain. Whatever is not as simple as it looks (a class, a large
-- number, a compressed value, a mistake) is HARD: Python reads the value, says what it is to be, or what is wrong.
-- The functions are fields of what splicing() gives: they need one local together.

local HARD = {}
local splicing_made

local function splicing()
  if splicing_made then return splicing_made end
  local byte, sub, FORMS, EXACT, PLAIN = string.byte, string.sub, {}, 2 ^ 53, '\16'
  local SET_MARK, CLASS, FLOAT = '\199\0\66', 64, 203

  local function forms(first, kind, sizes, more)
    for n, size in ipairs(sizes) do FORMS[first + n - 1] = { kind, size, more or 0 } end
  end
  -- First byte -> kind, bytes that hold the length, further bytes of content.
  FORMS[192], FORMS[194], FORMS[195] = { 'nil', 0, 0 }, { 'bool', 0, 0 }, { 'bool', 0, 0 }
  FORMS[202], FORMS[FLOAT] = { 'short', 0, 4 }, { 'float', 0, 8 }
  for n, size in ipairs({ 1, 2, 4, 8, 1, 2, 4, 8 }) do FORMS[203 + n] = { 'int', 0, size } end
  for n, size in ipairs({ 1, 2, 4, 8, 16 }) do FORMS[211 + n] = { 'ext', 0, size + 1 } end
  forms(196, 'bin', { 1, 2, 4 })
  forms(199, 'ext', { 1, 2, 4 }, 1)
  forms(217, 'str', { 1, 2, 4 })
  forms(220, 'array', { 2, 4 })
  forms(222, 'map', { 2, 4 })

  -- Kind, how many items (of an array or map) or bytes of content, where that begins. An ext's begins with its code.
  local function head(s, i)
    local b = byte(s, i)
    if not b then error(HARD) end
    if b < 128 or b > 223 then return 'int', 0, i + 1 end
    if b < 144 then return 'map', b - 128, i + 1 end
    if b < 160 then return 'array', b - 144, i + 1 end
    if b < 192 then return 'str', b - 160, i + 1 end
    local form = FORMS[b]
    if not form then error(HARD) end
    local n = 0
    for k = i + 1, i + form[2] do n = n * 256 + byte(s, k) end
    return form[1], n + form[3], i + 1 + form[2]
  end

  local function skip(s, i)
    local left = 1
    while left > 0 do
      local kind, n, at = head(s, i)
      left = left - 1
      if kind == 'array' then left = left + n elseif kind == 'map' then left = left + 2 * n else at = at + n end
      i = at
    end
    return i
  end

  local function big_endian(n, size)
    local out = {}
    for k = size, 1, -1 do
      out[k] = string.char(n % 256)
      n = math.floor(n / 256)
    end
    return table.concat(out)
  end

  local function array_head(n)
    if n < 16 then return string.char(144 + n) end
    return n < 65536 and '\220' .. big_endian(n, 2) or '\221' .. big_endian(n, 4)
  end

  local function map_head(n)
    if n < 16 then return string.char(128 + n) end
    return n < 65536 and '\222' .. big_endian(n, 2) or '\223' .. big_endian(n, 4)
  end

  local function code_of_first(s, at, n)
    if n == 0 then return nil end
    local kind, _, content = head(s, at)
    return kind == 'ext' and byte(s, content) or nil
  end

  local function value_of_key(s, at, n, name)
    for _ = 1, n do
      local kind, length, content = head(s, at)
      local value = skip(s, at)
      if kind == 'str' and sub(s, content, content + length - 1) == name then return value end
      at = skip(s, value)
    end
    return nil
  end

  local function item_at(s, at, n, segment)
    local index = string.find(segment, '^%d+$') and tonumber(segment)
    local code = code_of_first(s, at, n)
    if not index or index >= n or code and code >= CLASS then error(HARD) end
    for _ = 1, index do at = skip(s, at) end
    return at
  end

  -- Where the value at the end of a path stands. Else nil, where the last map on the way stands, and which segment of
  -- the path it lacks.
  local function find(s, path)
    local i = 2
    for depth, segment in ipairs(path) do
      local kind, n, at = head(s, i)
      if kind == 'map' then
        local value = value_of_key(s, at, n, segment)
        if not value then return nil, i, depth end
        i = value
      elseif kind == 'array' then
        i = item_at(s, at, n, segment)
      else
        error(HARD)
      end
    end
    return i
  end

  -- The maps for the rest of a path, with a value at its end.
  local function nested(path, from, leaf)
    for k = #path, from, -1 do
      local name = path[k]
      local kind = #name < 32 and string.char(160 + #name) or #name < 256 and '\217' .. string.char(#name)
        or '\219' .. big_endian(#name, 4)
      leaf = (k > from and '\129' or '') .. kind .. name .. leaf
    end
    return leaf
  end

  -- A number, exactly; and whether it is a float.
  local function number_at(s, i)
    local kind, n, at = head(s, i)
    if kind == 'float' then return struct.unpack('>d', sub(s, at, at + 7)), true end
    local number = kind == 'int' and cmsgpack.unpack(sub(s, i, at + n - 1))
    if not number or math.abs(number) >= EXACT then error(HARD) end
    return number, false
  end

  local function is_member(s, from, to, n, item)
    local item_kind, at = head(item, 1), from
    if item_kind ~= 'int' and not string.find(sub(s, from, to - 1), item, 1, true) then return false end
    for _ = 1, n do
      local kind, after = head(s, at), skip(s, at)
      if kind ~= 'int' and kind ~= 'str' and kind ~= 'bin' and kind ~= 'nil' then error(HARD) end
      if sub(s, at, after - 1) == item then return true end
      at = after
    end
    return false
  end

  -- By kind of change: what takes the place of the value at i, where that ends, and the change's result.
  local CHANGED = {}

  function CHANGED.increment(s, i, values)
    local before, is_float = number_at(s, i)
    local by, by_float = number_at(values[1], 1)
    local sum, after = before + by, skip(s, i)
    if is_float or by_float then
      local packed = '\203' .. struct.pack('>d', sum)
      return packed, after, packed
    end
    if math.abs(sum) >= EXACT then error(HARD) end
    local packed = cmsgpack.pack(sum)
    return packed, after, packed
  end

  function CHANGED.append(s, i, values, is_last)
    local kind, n, at = head(s, i)
    local code = kind == 'array' and code_of_first(s, at, n)
    if kind ~= 'array' or code and code >= CLASS then error(HARD) end
    local after = is_last and #s + 1 or skip(s, i)
    local count = n + #values
    return array_head(count) .. sub(s, at, after - 1) .. table.concat(values), after, cmsgpack.pack(count)
  end

  function CHANGED.add(s, i, values)
    local kind, n, at = head(s, i)
    if kind ~= 'array' or sub(s, at, at + 2) ~= SET_MARK then error(HARD) end
    local after, first, new = skip(s, i), at + 3, {}
    for _, item in ipairs(values) do
      local item_kind = head(item, 1)
      if item_kind ~= 'int' and item_kind ~= 'str' and item_kind ~= 'bin' then error(HARD) end
      if not is_member(s, first, after, n - 1, item) then new[#new + 1] = item end
    end
    return array_head(n + #new) .. sub(s, at, after - 1) .. table.concat(new), after, cmsgpack.pack(#new)
  end

  -- By kind of change: what it makes where there is nothing, and its result.
  local MADE = {
    increment = function(values) return values[1], values[1] end,
    append = function(values) return array_head(#values) .. table.concat(values), cmsgpack.pack(#values) end,
    add = function(values)
      return array_head(#values + 1) .. SET_MARK .. table.concat(values), cmsgpack.pack(#values)
    end,
  }

  -- The value with its change, and the change's result. Value nil: there is none yet.
  local function changed(s, kind, path, values, max_keys)
    if not s then
      local leaf, result = MADE[kind](values)
      if path[1] then leaf = '\129' .. nested(path, 1, leaf) end
      return PLAIN .. leaf, result
    end
    if sub(s, 1, 1) ~= PLAIN then error(HARD) end
    local i, map, depth = find(s, path)
    if i then
      local part, after, result = CHANGED[kind](s, i, values, not path[1])
      return sub(s, 1, i - 1) .. part .. sub(s, after), result
    end
    local _, n, at = head(s, map)
    if n >= max_keys then error(HARD) end
    local leaf, result = MADE[kind](values)
    local after = skip(s, map)
    return table.concat({ sub(s, 1, map - 1), map_head(n + 1), sub(s, at, after - 1), nested(path, depth, leaf),
      sub(s, after) }), result
  end

  splicing_made = { changed = changed }
  return splicing_made
end
