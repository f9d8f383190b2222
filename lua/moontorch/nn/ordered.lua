--- A table that remembers the order in which its string keys were first written: Python's OrderedDict.
--
-- Values are plain fields, so `d.weight` and `d["fc.weight"]` cost nothing; only `pairs(d)` follows the order. A key
-- that was set to nil is skipped, and keeps its place when it is written again.

local ordered = {}

-- dictionary -> array of its keys, and dictionary -> set of them
local orders = setmetatable({}, { __mode = "k" })
local known = setmetatable({}, { __mode = "k" })

local meta = { __name = "OrderedDict" }

function meta.__newindex(self, key, value)
  local set = known[self]
  if not set[key] then
    set[key] = true
    local order = orders[self]
    order[#order + 1] = key
  end
  rawset(self, key, value)
end

function meta.__pairs(self)
  local order, i = orders[self], 0
  return function()
    while true do
      i = i + 1
      local key = order[i]
      if key == nil then return nil end
      local value = rawget(self, key)
      if value ~= nil then return key, value end
    end
  end
end

function meta.__len(self)
  local n = 0
  for _ in meta.__pairs(self) do n = n + 1 end
  return n
end

function meta.__tostring(self)
  local parts = {}
  for key, value in meta.__pairs(self) do
    parts[#parts + 1] = string.format("('%s', %s)", tostring(key), tostring(value))
  end
  if #parts == 0 then return "OrderedDict()" end
  return "OrderedDict([" .. table.concat(parts, ", ") .. "])"
end

--- An empty one, or one with the array of pairs `{{"a", 1}, {"b", 2}}`.
function ordered.new(pairs_array)
  local self = {}
  orders[self], known[self] = {}, {}
  setmetatable(self, meta)
  for _, pair in ipairs(pairs_array or {}) do self[pair[1]] = pair[2] end
  return self
end

function ordered.is(v)
  return getmetatable(v) == meta
end

-- How one goes to another Lua state: what makes it there, and from what.
function meta.__transfer(self)
  local items = {}
  for key, value in pairs(self) do items[#items + 1] = { key, value } end
  return ordered.new, items
end

--- The key-value pairs of a table where order counts: an array of pairs as it is, an OrderedDict in its order, any
-- other table by sorted key. Returns an array of `{key, value}`, or nil and the reason.
function ordered.items(t)
  local items = {}
  if ordered.is(t) then
    for key, value in pairs(t) do items[#items + 1] = { key, value } end
    return items
  end
  if t[1] ~= nil then
    for i, pair in ipairs(t) do
      if type(pair) ~= "table" or type(pair[1]) ~= "string" then
        return nil, string.format("entry %d is no pair {name, value}", i)
      end
      items[i] = { pair[1], pair[2] }
    end
    return items
  end
  for key, value in pairs(t) do
    if type(key) ~= "string" then return nil, string.format("key %s is no string", tostring(key)) end
    items[#items + 1] = { key, value }
  end
  table.sort(items, function(a, b) return a[1] < b[1] end)
  return items
end

return ordered
