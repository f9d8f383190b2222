--- Classes of modules and other objects: `nn.class(name [, parent])`.
--
-- A class is a table that is the metatable of its instances; it is called to make one. Invariant: after the call every
-- `init` of the chain of parents has run exactly once for the instance, whether the child's `init` called its parent's
-- or forgot to (then it runs afterwards, with the same arguments).

local core = require "moontorch.core"

local class = {}

-- The table that holds what the library keeps about an instance; see module.lua for what modules put there.
local STATE = "_module"

-- class -> the metatable of the class itself
local class_meta = setmetatable({}, { __mode = "k" })

local function is_class(v)
  return v ~= nil and class_meta[v] ~= nil
end

-- Instances are made here; see the head of the file for the order in which constructors run.
local function construct(cls, ...)
  local started = {}
  local self = setmetatable({ [STATE] = cls.__state(started) }, cls)
  local level = cls
  while level do
    local init = rawget(level, "init")
    if init and not started[level] then init(self, ...) end
    level = rawget(level, "super")
  end
  self[STATE].started = nil
  return self
end

-- A class field is set: `init` is wrapped, so that it is known to have run for the instance under construction.
local function define(cls, key, value)
  if key == "init" and type(value) == "function" then
    local init = value
    value = function(self, ...)
      local state = type(self) == "table" and rawget(self, STATE)
      if not state then
        core.raise(cls.__name .. ".init", "got no instance; call it as %s.init(self, ...)", cls.__name)
      end
      if state.started then state.started[cls] = true end
      return init(self, ...)
    end
  end
  rawset(cls, key, value)
end

-- A child's init may call its parent's, where the parent needs none, too.
local fallback = { init = function() end }

--- A class without parent; `fields` may hold methods, metamethods and `__state`, a function that gives the library's
-- table for a new instance (with the field `started` set to its argument).
function class.root(name, fields)
  local cls = fields or {}
  cls.__name = name
  cls.__index = cls.__index or cls
  cls.__state = cls.__state or function(started) return { started = started } end
  local meta = { __call = construct, __newindex = define, __name = "class", __index = fallback }
  meta.__tostring = function() return "<class '" .. name .. "'>" end
  class_meta[cls] = meta
  return setmetatable(cls, meta)
end

--- A class named `name` that inherits from the class `parent`, metamethods included. `cls.super` is the parent.
function class.extend(name, parent)
  local cls = {}
  for key, value in next, parent do
    if type(key) == "string" and key:sub(1, 2) == "__" then cls[key] = value end
  end
  cls.__name, cls.super = name, parent
  if parent.__index == parent then cls.__index = cls end
  local meta = { __index = parent, __call = construct, __newindex = define, __name = "class" }
  meta.__tostring = function() return "<class '" .. name .. "'>" end
  class_meta[cls] = meta
  return setmetatable(cls, meta)
end

--- Makes methods of a class refuse a call without an object, as `model.train()` is, at the caller's line; Lua itself
-- would say that a nil value was indexed, somewhere in here.
function class.guard(cls, names)
  for name in names:gmatch("%S+") do
    local method = assert(rawget(cls, name), name)
    rawset(cls, name, function(self, ...)
      if type(self) ~= "table" or rawget(self, STATE) == nil then
        core.raise(name, "missing 1 required positional argument: 'self'. Call methods with a colon: x:%s(...)", name)
      end
      return method(self, ...)
    end)
  end
end

class.is_class = is_class

--- Is `v` an instance of the class `cls` or of one that inherits from it?
function class.isinstance(v, cls)
  local level = type(v) == "table" and getmetatable(v) or nil
  while level do
    if level == cls then return true end
    level = type(level) == "table" and rawget(level, "super") or nil
  end
  return false
end

return class
