--- The reference of all operators as text, from the op table alone: one page for each name, and an index.
--
-- Schemas count dims from 0, as the core does; everything here is in Lua's spelling, from 1.

local reference = {}

-- What a schema's type is called: in words, and for an editor.
local TYPES = {
  Tensor = { "a tensor", "torch.Tensor" },
  Operand = { "a tensor or a number", "torch.Tensor|number|boolean" },
  Index = { "a tensor of positions from 1, int64 or int32", "torch.Tensor" },
  ["Tensor[]"] = { "a list of tensors", "torch.Tensor[]" },
  Number = { "a number or a boolean", "number|boolean" },
  Numbers = { "a list of numbers", "number[]" },
  int = { "an integer", "integer" },
  float = { "a number", "number" },
  bool = { "true or false", "boolean" },
  str = { "a string", "string" },
  dtype = { "a dtype or its name", "torch.dtype|string" },
  device = { "a device or its name", "torch.device|string" },
  Dim = { "a dim: 1 is the first, -1 the last", "integer" },
  Dims = { "a dim or a list of them: 1 is the first, -1 the last", "integer|integer[]" },
  Position = { "a position: 1 is the first, -1 the last", "integer" },
  Size = { "a list of sizes", "integer[]" },
  ints = { "an integer or a list of them", "integer|integer[]" },
  Generator = { "a torch.Generator", "torch.Generator" },
}

local function type_of(name)
  return assert(TYPES[name], "spec/support/reference.lua knows no schema type " .. name)
end

-- A schema's default as Lua writes it.
local function lua_default(kind, text)
  if text == "None" then return "nil" end
  if text == "True" then return "true" end
  if text == "False" then return "false" end
  if text:find("^'") then return '"' .. text:sub(2, -2) .. '"' end
  if kind == "Dim" or kind == "Dims" or kind == "Position" then
    return (text:gsub("%-?%d+", function(n)
      return n:find("^%-") and n or ("%d"):format(math.tointeger(tonumber(n)) + 1)
    end))
  end
  return (text:gsub("^%[", "{"):gsub("%]$", "}"))
end

-- The parts of s between commas that lie in no brackets.
local function split(s)
  local parts, depth, part = {}, 0, ""
  for c in s:gmatch(".") do
    if c == "," and depth == 0 then
      parts[#parts + 1], part = part, ""
    else
      depth = depth + ((c == "[" or c == "(") and 1 or (c == "]" or c == ")") and -1 or 0)
      part = part .. c
    end
  end
  parts[#parts + 1] = part
  return parts
end

--- {name, params = {{name, words, type, optional, default, keyword_only, varargs}}, returns = {{words, type, name}}}
function reference.schema(text)
  local name, inside, returns = text:match("^([%w_]+)%((.*)%)%s*%->%s*(.+)$")
  local schema = { name = assert(name, text), params = {}, returns = {} }
  local only = false
  for _, part in ipairs(inside:find("%S") and split(inside) or {}) do
    part = part:match("^%s*(.-)%s*$")
    if part == "*" then
      only = true
    else
      local kind, optional, dots, rest = part:match("^(%a+%[?%]?)(%??)(%.*)%s+(.+)$")
      assert(kind, part)
      local param, default = rest:match("^([%w_]+)%s*=%s*(.+)$")
      local info = type_of(kind)
      schema.params[#schema.params + 1] = {
        name = param or rest, words = info[1], type = info[2], keyword_only = only, varargs = dots ~= "",
        optional = optional == "?" or default ~= nil, none = optional == "?" or default == "None",
        default = default and lua_default(kind, default),
      }
    end
  end
  local list = returns:match("^%((.+)%)$") or returns
  for _, part in ipairs(list == "()" and {} or split(list)) do
    local kind, label = part:match("^%s*(%a+%[?%]?)%s*([%w_]*)%s*$")
    if kind and kind ~= "None" then
      local info = type_of(kind)
      schema.returns[#schema.returns + 1] = { words = info[1], type = info[2], name = label ~= "" and label or nil }
    end
  end
  return schema
end

--- The operators that scripts see, grouped by name and sorted: {name, overloads = {{op, schema}}}.
function reference.groups(ops)
  local by_name, groups = {}, {}
  for _, op in ipairs(ops) do
    if not op.hidden then
      local group = by_name[op.name]
      if not group then
        group = { name = op.name, overloads = {} }
        by_name[op.name] = group
        groups[#groups + 1] = group
      end
      group.overloads[#group.overloads + 1] = { op = op, schema = reference.schema(op.schema) }
    end
  end
  table.sort(groups, function(a, b) return a.name < b.name end)
  return groups
end

--- Names that an operator goes by besides its own.
function reference.aliases(op)
  local list = {}
  for word in (op.alias or ""):gmatch("%S+") do list[#list + 1] = word end
  return list
end

-- The forms in which Lua reaches an operator.
local function forms(op)
  local list = {}
  if op.func and not op.inplace_only then list[#list + 1] = "`torch." .. op.name .. "`" end
  if op.method and not op.inplace_only then list[#list + 1] = "`x:" .. op.name .. "`" end
  if op.inplace or op.inplace_only then list[#list + 1] = "`x:" .. op.name .. "_`" end
  return table.concat(list, ", ")
end

-- name(a, b, c = 1, {d = 2})
local function call_text(op, schema)
  local plain, named = {}, {}
  for _, p in ipairs(schema.params) do
    local text = p.name .. (p.varargs and ", ..." or "") .. (p.default and " = " .. p.default or "")
    local to = p.keyword_only and named or plain
    to[#to + 1] = text
  end
  if #named > 0 then plain[#plain + 1] = "{" .. table.concat(named, ", ") .. "}" end
  return schema.name .. (op.inplace_only and "_" or "") .. "(" .. table.concat(plain, ", ") .. ")"
end

local function returns_text(schema)
  local list = {}
  for i, r in ipairs(schema.returns) do list[i] = (r.name and "`" .. r.name .. "`: " or "") .. r.words end
  return #list == 0 and "nothing" or table.concat(list, "; ")
end

--- The page of a group, as Markdown.
function reference.page(group)
  local out = { "# " .. group.name, "" }
  for _, overload in ipairs(group.overloads) do
    local op, schema = overload.op, overload.schema
    out[#out + 1] = "```lua"
    out[#out + 1] = call_text(op, schema)
    out[#out + 1] = "```"
    out[#out + 1] = ""
    out[#out + 1] = (op.doc or "") .. ((op.gradient or op.composed) and "" or " It has no gradient.")
    out[#out + 1] = ""
    if #schema.params > 0 then
      out[#out + 1] = "| argument | what | default |"
      out[#out + 1] = "|---|---|---|"
      for _, p in ipairs(schema.params) do
        out[#out + 1] = ("| `%s` | %s%s%s | %s |"):format(p.name, p.words,
          p.varargs and ", or each as an argument of its own" or "",
          p.keyword_only and "; by name only" or "", p.default and "`" .. p.default .. "`" or p.none and "`nil`" or "")
      end
      out[#out + 1] = ""
    end
    out[#out + 1] = "Returns " .. returns_text(schema) .. "."
    out[#out + 1] = ""
    local also = reference.aliases(op)
    out[#out + 1] = "Forms: " .. forms(op) .. "."
      .. (#also > 0 and " Also called `" .. table.concat(also, "`, `") .. "`." or "")
    out[#out + 1] = ""
  end
  return table.concat(out, "\n")
end

-- The first sentence of a doc text.
local function first_sentence(doc)
  return ((doc or ""):match("^(.-[.:])%s") or doc or ""):gsub("|", "\\|")
end

--- The index: every name and alias with its page and what it does in a sentence.
function reference.index(groups)
  local rows = {}
  for _, group in ipairs(groups) do
    local doc = first_sentence(group.overloads[1].op.doc)
    rows[#rows + 1] = { group.name, ("| [%s](%s.md) | %s |"):format(group.name, group.name, doc) }
    local seen = {}
    for _, overload in ipairs(group.overloads) do
      for _, alias in ipairs(reference.aliases(overload.op)) do
        if not seen[alias] then
          seen[alias] = true
          rows[#rows + 1] = { alias, ("| [%s](%s.md) | another name of %s |"):format(alias, group.name, group.name) }
        end
      end
    end
  end
  table.sort(rows, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  local out = { "# Operators of moontorch", "",
    "Any argument can be given by its name in a trailing table, `x:sum{dim = 2}`; those marked \"by name only\" must "
    .. "be. Dims and positions count from 1, -1 is the last.", "", "| name | what it does |", "|---|---|" }
  for _, row in ipairs(rows) do out[#out + 1] = row[2] end
  out[#out + 1] = ""
  return table.concat(out, "\n")
end

return reference
