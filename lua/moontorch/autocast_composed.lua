--- Autocast for functions that are composed in Lua and listed as a whole: their tensors are cast as the list says, and
-- what they are composed of runs as it is given.

local core = require "moontorch.core"

local autocast = {}

local anywhere, listed, cast, paused = core._autocast_anywhere, core._autocast_listed, core._autocast_cast,
  core._autocast_paused

-- `v` cast for the function of that name, tensors in plain tables too; and whether the list has it as a whole.
local function cast_value(name, v)
  if core.is_tensor(v) and not core.is_freed(v) then return cast(name, v) end
  if type(v) ~= "table" or getmetatable(v) ~= nil then return v end
  local copy, whole = {}, false
  for key, item in next, v do
    local made, is = cast_value(name, item)
    copy[key], whole = made, whole or is
  end
  return copy, whole
end

local function call(name, f, ...)
  local given, whole = table.pack(...), false
  for i = 1, given.n do
    local made, is = cast_value(name, given[i])
    given[i], whole = made, whole or is
  end
  if whole then return paused(f, table.unpack(given, 1, given.n)) end
  return f(table.unpack(given, 1, given.n))
end

--- f as autocast has the function of that name.
function autocast.wrap(name, f)
  return function(...)
    if anywhere() then return call(name, f, ...) end
    return f(...)
  end
end

--- Wraps each function of `functions` that is listed under prefix .. its name, but for the core's own operators.
function autocast.wrap_all(functions, prefix)
  for name, f in pairs(functions) do
    local full = (prefix or "") .. name
    if listed(full) and core[full] == nil and core["_" .. full] == nil then functions[name] = autocast.wrap(full, f) end
  end
end

return autocast
