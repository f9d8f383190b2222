--- How Python spells values, for texts that must read as PyTorch's do (repr of modules and optimisers).

local core = require "moontorch.core"

local text = {}

--- The shortest decimal that reads back as the float `v`, laid out as Python does.
local function float(v)
  if v ~= v then return "nan" end
  if v == math.huge then return "inf" elseif v == -math.huge then return "-inf" end
  local s
  for digits = 15, 17 do
    s = string.format("%." .. digits .. "g", v)
    if tonumber(s) == v then break end
  end
  local exponent = tonumber(s:match("e([+-]%d+)$"))
  if exponent and exponent >= 0 and exponent < 16 then s = string.format("%.1f", v) end
  if not s:find("[.e]") then s = s .. ".0" end
  return s
end

--- Python's spelling of a number, boolean, string, nil, Tensor, or array (as a tuple) of these.
function text.repr(v)
  local kind = type(v)
  if v == nil or (core.none ~= nil and v == core.none) then return "None" end
  if kind == "boolean" then return v and "True" or "False" end
  if kind == "string" then return "'" .. v .. "'" end
  if math.type(v) == "float" then return float(v) end
  if kind == "table" and getmetatable(v) == nil then
    local parts = {}
    for i, item in ipairs(v) do parts[i] = text.repr(item) end
    return "(" .. table.concat(parts, ", ") .. (#parts == 1 and ",)" or ")")
  end
  return tostring(v)
end

--- `x.shape` as "[2, 3]".
function text.sizes(x)
  return "[" .. table.concat(x.shape, ", ") .. "]"
end

--- `x.shape` as "torch.Size([2, 3])".
function text.size(x)
  return "torch.Size(" .. text.sizes(x) .. ")"
end

--- All lines of `s` but the first moved right by two spaces.
function text.indent(s)
  return (s:gsub("\n", "\n  "))
end

-- Number of single-character edits between `a` and `b` (Levenshtein).
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local above = row[j]
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(above + 1, row[j - 1] + 1, diagonal + cost)
      diagonal = above
    end
  end
  return row[#b]
end

--- The name in the array `names` that is nearest to `name`, or nil when none is near (more than a third differs).
function text.nearest(name, names)
  local best, best_distance = nil, math.max(2, #name // 3) + 1
  for _, candidate in ipairs(names) do
    if math.abs(#candidate - #name) < best_distance then
      local d = distance(name, candidate)
      if d < best_distance then best, best_distance = candidate, d end
    end
  end
  return best
end

return text
