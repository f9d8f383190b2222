--- Moving and casting a module: to, cuda, cpu, double, float, half, bfloat16, type, all through `_apply`.
--
-- Invariant: all or nothing. Every new tensor is made before the first old one is replaced, so an error (no CUDA
-- device, no memory) leaves the module as it was. Tensors keep their identity: an optimiser that holds a parameter
-- goes on working.

local core = require "moontorch.core"
local Module = require "moontorch.nn.module"
local walk = require "moontorch.nn.walk"
local arguments = require "moontorch.arguments"

--- Replaces every parameter, buffer and gradient by `fn(tensor)`, each shared one once; `recurse = false` leaves the
-- children's alone. Returns self.
function Module:_apply(fn, recurse)
  local changes = {}
  local function plan(tensor)
    local new = fn(tensor)
    if not core.is_tensor(new) then
      core.raise("_apply", "the function returned %s instead of a Tensor", arguments.type_name(new))
    end
    if new ~= tensor then changes[#changes + 1] = { tensor, new } end
  end
  core.no_grad(function()
    for _, kind in ipairs { "parameters", "buffers" } do
      for _, entry in ipairs(walk.tensors(self, kind, { recurse = recurse })) do
        local grad = entry.value.grad
        plan(entry.value)
        if grad ~= nil then plan(grad) end
      end
    end
    for _, change in ipairs(changes) do change[1]:set_data(change[2]) end
  end)
  return self
end

local function cast(dtype_name)
  return function(self)
    local dtype = core[dtype_name]
    if dtype == nil then core.raise(dtype_name, "this build has no dtype torch.%s", dtype_name) end
    return self:_apply(function(t) return t:is_floating_point() and t:to(dtype) or t end)
  end
end

--- Casts floating-point parameters and buffers to float64. Returns self; so do the four below.
Module.double = cast "float64"
--- To float32.
Module.float = cast "float32"
--- To float16.
Module.half = cast "float16"
--- To bfloat16.
Module.bfloat16 = cast "bfloat16"

--- Casts every parameter and buffer to `dst_type` ("torch.DoubleTensor" or a dtype).
function Module:type(dst_type)
  if arguments.is_keywords(dst_type) then dst_type = dst_type.dst_type end
  if dst_type == nil then core.raise("type", "missing required argument 'dst_type'") end
  return self:_apply(function(t) return t:type(dst_type) end)
end

local empty_arguments = arguments.signature("to_empty", { { "device", "any?" }, { "recurse", "boolean", true } })

--- Gives parameters and buffers new memory on `device` without writing to it: the next forward refuses parameters that
-- nobody has written to by then. Keywords: device, recurse. Returns self.
function Module:to_empty(...)
  local device, recurse = empty_arguments(...)
  self:_apply(function(t)
    return core.empty_like(t, { device = device or t.device, requires_grad = false })
  end, recurse)
  for _, entry in ipairs(walk.modules(self)) do rawget(entry.value, "_module").ready = false end
  return self
end

--- Moves to main memory.
function Module:cpu()
  return self:_apply(function(t) return t:cpu() end)
end

--- Moves to a GPU (the current one, or number `device`, from 0).
function Module:cuda(device)
  if arguments.is_keywords(device) then device = device.device end
  return self:_apply(function(t) return t:cuda(device) end)
end

local dtype_names = {
  float16 = true, float32 = true, float64 = true, bfloat16 = true, half = true, float = true, double = true,
  int8 = true, uint8 = true, int16 = true, int32 = true, int64 = true, int = true, long = true, short = true,
  bool = true, complex64 = true, complex128 = true,
}

-- Sorts what was given to `to` into a device and a dtype.
local function sort_target(v, target)
  if core.is_tensor(v) then
    target.device, target.dtype = v.device, v.dtype
  elseif type(v) == "string" then
    if dtype_names[v] then target.dtype = core[v] else target.device = v end
  elseif type(v) == "number" then
    target.device = v
  elseif v ~= nil then
    local name = tostring(v)
    if name:find("^torch%.") then target.dtype = v else target.device = v end
  end
end

--- `to(device)`, `to(dtype)`, `to(device, dtype)`, `to(tensor)`; keywords device, dtype, non_blocking. A dtype must be
-- floating point or complex and is given to floating-point tensors only. Returns self.
function Module:to(...)
  local values, n, keywords = arguments.split(...)
  local target = {}
  for i = 1, n do
    if type(values[i]) ~= "boolean" then sort_target(values[i], target) end
  end
  for key, value in pairs(keywords) do
    if key == "device" or key == "dtype" or key == "tensor" then
      sort_target(value, target)
    elseif key ~= "non_blocking" and key ~= "memory_format" then
      core.raise("to", "got an unexpected keyword argument '%s'; accepted are device, dtype, tensor, non_blocking, "
        .. "memory_format", key)
    end
  end
  local device, dtype = target.device, target.dtype
  if dtype ~= nil and not core.empty(0, { dtype = dtype }):is_floating_point() and
    not tostring(dtype):find("complex") then
    core.raise("to", "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=%s",
      tostring(dtype))
  end
  if device == nil and dtype == nil then
    -- A memory format alone changes no value.
    if keywords.memory_format ~= nil then return self end
    core.raise("to", "expected a device, a dtype or a Tensor to follow")
  end
  return self:_apply(function(t)
    local moved = t
    if dtype ~= nil and t:is_floating_point() and t.dtype ~= dtype then moved = moved:to(dtype) end
    if device ~= nil then moved = moved:to(device) end
    return moved
  end)
end

return Module
