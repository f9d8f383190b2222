--- Positional and keyword arguments of functions that are written in Lua.
--
-- A signature is declared once, as a list of parameters; the function it gives back turns whatever the caller wrote
-- into plain values in the declared order. Invariant: a value that comes out has the declared type or is nil, and a
-- nil comes out only where the parameter may be None.

local core = require "moontorch.core"

local arguments = {}

local none = core.none

--- Is `v` the table of keyword arguments: plain, and keyed by strings?
local function is_keywords(v)
  if type(v) ~= "table" or getmetatable(v) ~= nil then return false end
  local key = next(v)
  return key == nil or type(key) == "string"
end
arguments.is_keywords = is_keywords

--- What a message calls `v`, in the words of the core's own messages.
local function type_name(v)
  if core.is_tensor(v) then return core.is_freed(v) and "a freed Tensor" or "Tensor" end
  if v == none then return "none" end
  if math.type(v) == "integer" then return "integer" end
  if type(v) == "number" then return v ~= v and "nan" or string.format("%.14g", v) end
  if type(v) == "table" then
    local meta = getmetatable(v)
    if type(meta) == "table" and type(meta.__name) == "string" then return meta.__name end
  end
  return type(v)
end
arguments.type_name = type_name

local function callable(v)
  if type(v) == "function" then return true end
  local meta = getmetatable(v)
  return type(meta) == "table" and meta.__call ~= nil
end

-- Each check returns the value to use, or nil when the value does not fit.
local checks = {
  any = function(v) return v end,
  value = function(v) return not (type(v) == "table" and getmetatable(v) == nil) and v or nil end,
  tensor = function(v) return core.is_tensor(v) and not core.is_freed(v) and v or nil end,
  integer = function(v) return type(v) == "number" and math.tointeger(v) or nil end,
  number = function(v) return type(v) == "number" and v or nil end,
  scalar = function(v) return (type(v) == "number" or core.is_tensor(v)) and v or nil end,
  string = function(v) return type(v) == "string" and v or nil end,
  list = function(v) return type(v) == "table" and v or nil end,
  dict = function(v) return type(v) == "table" and v or nil end,
  callable = function(v) return callable(v) and v or nil end,
}

local spelled = {
  value = "a value",
  tensor = "Tensor", integer = "an integer", number = "a number", scalar = "a number", string = "a string",
  boolean = "true or false", list = "a list", dict = "a table", callable = "a function",
}

-- A letter for each kind, for the core, which takes arguments that are all in their places.
local letters = {
  any = "a", value = "v", tensor = "t", integer = "i", number = "n", scalar = "x", string = "s", boolean = "b",
  list = "l", dict = "d", callable = "c",
}

local function convert(owner, parameter, position, value)
  local kind = parameter.kind
  if kind == "boolean" or value == false and kind == "value" then
    if type(value) == "boolean" then return value end
  else
    local result = checks[kind](value)
    if result ~= nil then return result end
  end
  core.raise(owner, "argument '%s' (position %d) must be %s, not %s", parameter.name, position, spelled[kind] or kind,
    type_name(value))
end

local function unknown_keyword(owner, key, parameters)
  local names = {}
  for i, parameter in ipairs(parameters) do names[i] = parameter.name end
  core.raise(owner, "got an unexpected keyword argument '%s'; it takes: %s", tostring(key),
    #names > 0 and table.concat(names, ", ") or "none")
end

--- Declares the parameters of the function `owner` (the name used in messages).
-- `list`: one entry a parameter, `{name, kind, default}`. Kinds: any, value (anything but a plain table), tensor,
-- integer, number, scalar (a number or a tensor), string, boolean, list, dict, callable; with "?" at the end the
-- parameter may be None. A parameter without default and without "?" is required. Floats with an integral value are
-- integers. A last argument that is a plain table with string keys, or empty, holds keyword arguments, unless the
-- parameter there is a dict.
-- Returns a function of the caller's arguments that returns one value for each parameter.
function arguments.signature(owner, list)
  local parameters, index, count = {}, {}, #list
  local kinds, required, defaults = "", "", {}
  for i, entry in ipairs(list) do
    local kind, optional = entry[2]:match("^(%a+)(%??)$")
    parameters[i] = { name = entry[1], kind = kind, optional = optional ~= "", default = entry[3] }
    index[entry[1]] = i
    kinds, defaults[i] = kinds .. letters[kind], entry[3]
    required = required .. (entry[3] == nil and optional == "" and "r" or "o")
  end

  local function keywords_at(n, value)
    local parameter = parameters[n]
    if not is_keywords(value) then return false end
    if parameter == nil then return true end
    if parameter.kind == "dict" then return false end
    -- An empty table is a list where one must stand; what may be left out is never meant by an empty list.
    local must_stand = parameter.default == nil and not parameter.optional
    return next(value) ~= nil or not (must_stand and (parameter.kind == "list" or parameter.kind == "any"))
  end

  return core._in_order(kinds, required, defaults, function(...)
    local n, values = select("#", ...), { ... }
    local keywords
    while n > 0 and values[n] == nil do n = n - 1 end
    if n > 0 and keywords_at(n, values[n]) then
      keywords, values[n] = values[n], nil
      n = n - 1
    end
    if n > count then
      core.raise(owner, "takes %d positional argument%s but %d were given", count, count == 1 and "" or "s", n)
    end
    if keywords then
      for key, value in next, keywords do
        local at = index[key]
        if at == nil then unknown_keyword(owner, key, parameters) end
        if at <= n and values[at] ~= nil then
          core.raise(owner, "got multiple values for argument '%s'", key)
        end
        values[at] = value
      end
    end
    for i = 1, count do
      local value, parameter = values[i], parameters[i]
      if value == nil then
        value = parameter.default
        if value == nil and not parameter.optional then
          core.raise(owner, "missing 1 required positional arguments: \"%s\", which must be %s", parameter.name,
            spelled[parameter.kind] or "given")
        end
        values[i] = value
      elseif value == none then
        -- None is false where Python asks whether an option is on (`bias = None`).
        if not parameter.optional and parameter.kind ~= "boolean" then convert(owner, parameter, i, value) end
        values[i] = nil
        if not parameter.optional then values[i] = false end
      else
        values[i] = convert(owner, parameter, i, value)
      end
    end
    return table.unpack(values, 1, count)
  end)
end

--- Refuses what is no tensor, in the words of a signature: for functions that look at one before any operator does.
function arguments.check_tensor(owner, name, position, value)
  if not core.is_tensor(value) then
    core.raise(owner, "argument '%s' (position %d) must be Tensor, not %s", name, position, arguments.type_name(value))
  end
end

--- Splits the arguments of a function with varargs: returns the array of positional ones, their count, and the
-- trailing table of keywords (or an empty one).
function arguments.split(...)
  local n, values = select("#", ...), { ... }
  if n > 0 and is_keywords(values[n]) and next(values[n]) ~= nil then
    local keywords = values[n]
    values[n] = nil
    return values, n - 1, keywords
  end
  return values, n, {}
end

-- Warnings that were given, by site: a warning is worth saying once.
local warned = setmetatable({}, { __mode = "k" })

--- Warns once for each `site` (a string, or the object that it is about), unless `torch.set_checks(false)`.
function arguments.warn_once(site, format, ...)
  if warned[site] or (core.checks_enabled and not core.checks_enabled()) then return end
  warned[site] = true
  core.warn(string.format(format, ...))
end

return arguments
