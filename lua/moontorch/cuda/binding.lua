--- Where torch.cuda finds moontorch/cuda.so, and how its functions are called.
--
-- The object is looked for once, when something first needs it. Invariant: what it raises reaches the script with the
-- name of the function that was called and the script's line.

local core = require "moontorch.core"

local binding = {}

-- The functions of moontorch/cuda.so, false where there is none or no device; nil until it was looked for.
local found, missing

-- Looks for the object on package.cpath, as require would; torch.cuda has its name.
local function find()
  local path = package.searchpath("moontorch.cuda", package.cpath)
  if not path then return false end
  local open, why = package.loadlib(path, "luaopen_moontorch_cuda")
  if not open then return false, ("moontorch/cuda.so cannot be loaded: %s. Keep the tensor on the cpu"):format(why) end
  local functions, reason = open(core._device_api())
  return functions or false, reason
end

--- The functions, or false.
function binding.get()
  if found == nil then
    found, missing = find()
    if missing then core._device_missing(missing) end
  end
  return found
end

--- Was it looked for, and found?
function binding.is_loaded()
  return found ~= nil and found ~= false
end

--- Raises, as `name`, what is missing.
function binding.refuse(name)
  core.raise(name, "%s", missing or "Torch not compiled with CUDA enabled: moontorch/cuda.so is not installed. Install "
    .. "the moontorch-cuda rock, or keep to the cpu: torch.cuda.is_available() is false")
end

local function results(name, good, ...)
  if not good then core.raise(name, "%s", (...)) end
  return ...
end

--- Calls the object's function `what` for torch.cuda's function `name`.
function binding.call(name, what, ...)
  local functions = binding.get()
  if not functions then binding.refuse(name) end
  return results(name, pcall(functions[what], ...))
end

--- A device's number: of a number, a string or a torch.device; nil (the current one) when left out.
function binding.index(name, device)
  if device == nil or device == core.none then return nil end
  local number = type(device) == "number" and math.tointeger(device)
  if number then return number end
  local good, d = pcall(core.device, device)
  if not good then
    core.raise(name, "argument 'device' must be a number, a string or a torch.device, not %s", type(device))
  end
  if d.type ~= "cuda" then core.raise(name, "Expected a cuda device, but got: %s", tostring(d)) end
  return d.index
end

-- Objects -------------------------------------------------------------------------------------------------------------

--- A class whose instances are made by calling it; `init` gets the arguments.
function binding.class(name)
  local cls = { __name = name }
  cls.__index = cls
  local function make(_, ...)
    local self = setmetatable({}, cls)
    cls.init(self, ...)
    return self
  end
  return setmetatable(cls, { __call = make, __tostring = function() return "<class 'torch.cuda." .. name .. "'>" end })
end

--- Is `v` an instance of the class?
function binding.is(v, cls) return getmetatable(v) == cls end

-- Blocks --------------------------------------------------------------------------------------------------------------

local function left(leave, good, ...)
  leave(good)
  if not good then error((...), 0) end
  return ...
end

--- What `with` is in Python: enter() before f and leave(did f end well) after it, whose results are returned; or a
-- value to be closed.
function binding.block(name, f, enter, leave)
  if f == nil then
    local block = setmetatable({}, { __close = function(_, problem) leave(problem == nil) end })
    enter()
    return block
  end
  local meta = getmetatable(f)
  if type(f) ~= "function" and not (type(meta) == "table" and meta.__call) then
    core.raise(name, "takes a function, or nothing: local _ <close> = torch.cuda.%s(...); got %s", name, type(f))
  end
  enter()
  return left(leave, pcall(f))
end

return binding
