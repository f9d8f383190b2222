--- The part of JSON that safetensors headers are made of: objects, arrays, strings, non-negative integers.
--
-- A strict reader (RFC 8259): no duplicate keys, no comments, no trailing commas, UTF-8 only, nesting at most 4 deep,
-- integers below 2^53. Objects are read as `{keys = {…in order}, values = {[key] = value}}`, so that nothing is lost.

local json = {}

local DEPTH = 4

local escapes = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

-- Readers take the text and a position and return a value and the position after it; errors are raised as tables, so
-- that json.read can tell them from faults of its own.
local read_value

local function refuse(at, format, ...)
  error({ json = string.format(format, ...) .. string.format(" at byte %d of the header", at) }, 0)
end

local function skip(s, at)
  return s:find("[^ \t\r\n]", at) or #s + 1
end

-- \uXXXX, with its second half when it is a surrogate.
local function read_unicode(s, at)
  local hex = s:match("^%x%x%x%x", at)
  if not hex then refuse(at, "bad \\u escape") end
  local code = tonumber(hex, 16)
  at = at + 4
  if code >= 0xD800 and code <= 0xDBFF then
    local low = s:match("^\\u(%x%x%x%x)", at)
    low = low and tonumber(low, 16)
    if not low or low < 0xDC00 or low > 0xDFFF then refuse(at, "lone surrogate") end
    return utf8.char(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), at + 6
  end
  if code >= 0xDC00 and code <= 0xDFFF then refuse(at, "lone surrogate") end
  return utf8.char(code), at
end

local function read_string(s, at)
  local parts = {}
  at = at + 1
  while true do
    local stop = s:find('["\\%c]', at)
    if not stop then refuse(at, "unfinished string") end
    parts[#parts + 1] = s:sub(at, stop - 1)
    local c = s:sub(stop, stop)
    if c == '"' then return table.concat(parts), stop + 1 end
    if c ~= "\\" then
      -- %c holds DEL too, which JSON allows.
      if c ~= "\127" then refuse(stop, "control character in a string") end
      parts[#parts + 1], at = c, stop + 1
    else
      local e = s:sub(stop + 1, stop + 1)
      if e == "u" then
        parts[#parts + 1], at = read_unicode(s, stop + 2)
      elseif escapes[e] then
        parts[#parts + 1], at = escapes[e], stop + 2
      else
        refuse(stop, "unknown escape")
      end
    end
  end
end

local function read_object(s, at, depth)
  local object = { keys = {}, values = {} }
  at = skip(s, at + 1)
  if s:sub(at, at) == "}" then return object, at + 1 end
  while true do
    if s:sub(at, at) ~= '"' then refuse(at, "expected a name in quotes") end
    local start = at
    local key, value
    key, at = read_string(s, at)
    if object.values[key] ~= nil then refuse(start, "duplicate key '%s'", key) end
    at = skip(s, at)
    if s:sub(at, at) ~= ":" then refuse(at, "expected ':'") end
    value, at = read_value(s, skip(s, at + 1), depth + 1)
    object.keys[#object.keys + 1], object.values[key] = key, value
    at = skip(s, at)
    local c = s:sub(at, at)
    if c == "}" then return object, at + 1 end
    if c ~= "," then refuse(at, "expected ',' or '}'") end
    at = skip(s, at + 1)
  end
end

local function read_array(s, at, depth)
  local array = {}
  at = skip(s, at + 1)
  if s:sub(at, at) == "]" then return array, at + 1 end
  while true do
    array[#array + 1], at = read_value(s, at, depth + 1)
    at = skip(s, at)
    local c = s:sub(at, at)
    if c == "]" then return array, at + 1 end
    if c ~= "," then refuse(at, "expected ',' or ']'") end
    at = skip(s, at + 1)
  end
end

function read_value(s, at, depth)
  if depth > DEPTH then refuse(at, "nested too deep") end
  local c = s:sub(at, at)
  if c == "{" then return read_object(s, at, depth) end
  if c == "[" then return read_array(s, at, depth) end
  if c == '"' then return read_string(s, at) end
  local digits = s:match("^%d+", at)
  if not digits then refuse(at, at > #s and "unexpected end" or "expected an object, a list, a string or a size") end
  if #digits > 1 and digits:sub(1, 1) == "0" then refuse(at, "a number with leading zeros") end
  if #digits > 16 or math.tointeger(tonumber(digits)) > 1 << 53 then refuse(at, "a number that is too large") end
  if s:find("^[.eE]", at + #digits) then refuse(at, "a number that is no integer") end
  return math.tointeger(tonumber(digits)), at + #digits
end

--- The value that the whole of `s` spells, or nil and what is wrong with it. Spaces may follow.
function json.read(s)
  if not utf8.len(s) then return nil, "the header is not valid UTF-8" end
  local ok, value, at = pcall(read_value, s, 1, 1)
  if not ok then
    if type(value) == "table" and value.json then return nil, value.json end
    error(value, 0)
  end
  at = skip(s, at)
  if at <= #s then return nil, string.format("something follows the header's object at byte %d of the header", at) end
  return value
end

--- `s` in quotes, as JSON spells it. `s` must be UTF-8.
function json.quote(s)
  return '"' .. s:gsub('[%c"\\]', function(c)
    if c == '"' or c == "\\" then return "\\" .. c end
    return string.format("\\u%04x", c:byte())
  end) .. '"'
end

return json
