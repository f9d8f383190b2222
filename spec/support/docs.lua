--- Writes the reference of all operators, from the op table alone: `lua spec/support/docs.lua FOLDER`.
--
-- One page, reference.md: every name with its schema in Lua's spelling, what it does, its other names and forms.

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
local torch = require "moontorch"

local folder = arg[1] or "."

-- The forms in which Lua reaches an operator.
local function forms(op)
  local list = {}
  if op.func then list[#list + 1] = "`torch." .. op.name .. "`" end
  if op.method then list[#list + 1] = "`x:" .. op.name .. "`" end
  if op.inplace or op.inplace_only then list[#list + 1] = "`x:" .. op.name .. "_`" end
  if op.inplace_only then table.remove(list, op.func and 2 or 1) end
  return table.concat(list, ", ")
end

local function gradient(op)
  if op.gradient or op.composed then return "" end
  return " No gradient."
end

local shown = {}
for _, op in ipairs(torch._ops()) do
  if not op.hidden then shown[#shown + 1] = op end
end
table.sort(shown, function(a, b) return a.name < b.name or (a.name == b.name and a.schema < b.schema) end)

local out = { "# Operators of moontorch", "",
  "Types: `Dim` and `Position` count from 1, -1 is the last; `Index` is an int64 or int32 tensor of positions; "
  .. "`Operand` is a tensor or a number; a name followed by `=` may be left out or given in a trailing table, "
  .. "`{dim = 2}`; after `*` only so.", "" }
local last
for _, op in ipairs(shown) do
  if op.name ~= last then
    out[#out + 1] = ("## %s"):format(op.name)
    out[#out + 1] = ""
  end
  last = op.name
  out[#out + 1] = "```"
  out[#out + 1] = op.schema
  out[#out + 1] = "```"
  out[#out + 1] = (op.doc or "") .. gradient(op)
  out[#out + 1] = ""
  local also = op.alias and (". Also called `" .. op.alias:gsub(" ", "`, `") .. "`") or ""
  out[#out + 1] = "As " .. forms(op) .. also .. "."
  out[#out + 1] = ""
end

local path = folder .. "/reference.md"
local file = assert(io.open(path, "w"))
assert(file:write(table.concat(out, "\n")))
file:close()
print(("%s: %d operators"):format(path, #shown))
