--- Moving and casting a module: to, cuda, cpu, double, float, half, bfloat16, type, all through `_apply`.
--
-- Invariant: all or nothing. Every new tensor is made before the first old one is replaced, so an error (no CUDA
-- device, no memory) leaves the module as it was. Tensors keep their identity: an optimiser that holds a parameter
-- goes on working. Tensors that share memory share it afterwards.

local core = require "moontorch.core"
local Module = require "moontorch.nn.module"
local walk = require "moontorch.nn.walk"
local modes = require "moontorch.nn.modes"
local arguments = require "moontorch.arguments"

-- The tensors of `list` that share memory with another one, and their groups: {elements = how many the memory has, and
-- an array of {tensor =, offset =}}.
local function shared_memory(list)
  local groups, shared = {}, {}
  for _, tensor in ipairs(list) do
    local storage, _, elements, offset = core._storage_of(tensor)
    local key = tostring(storage) .. tensor.dtype.name
    local group = groups[key]
    if group == nil then
      group = { elements = elements }
      groups[key] = group
    end
    group[#group + 1] = { tensor = tensor, offset = offset }
  end
  for _, group in pairs(groups) do
    if #group > 1 then
      for _, item in ipairs(group) do shared[item.tensor] = group end
    end
  end
  return shared
end

-- What the tensors of a group become: parts of fn's result for the memory as a whole, as they were parts of it.
local function convert_group(group, fn)
  local first = group[1].tensor
  local memory = core._over_storage(first, first.dtype, 0, { group.elements }, { 1 })
  local made = fn(memory)
  group.made = {}
  for _, item in ipairs(group) do
    local tensor = item.tensor
    group.made[tensor] = made == memory and tensor
      or core._over_storage(made, made.dtype, item.offset, tensor.shape, tensor:stride())
  end
end

-- All parameters and buffers of `self` with their gradients, each once.
local function tensors_of(self, recurse)
  local list, seen = {}, {}
  local function add(tensor)
    if tensor == nil or seen[tensor] then return end
    seen[tensor] = true
    list[#list + 1] = tensor
  end
  for _, kind in ipairs { "parameters", "buffers" } do
    for _, entry in ipairs(walk.tensors(self, kind, { recurse = recurse })) do
      add(entry.value)
      add(entry.value.grad)
    end
  end
  return list
end

--- Replaces every parameter, buffer and gradient by `fn(tensor)`, each shared one once, when all are made;
-- `recurse = false` leaves the children's alone. `ties` says that fn does the same to each element: memory that several
-- tensors share goes through it as a whole and stays shared. Returns self.
function Module:_apply(fn, recurse, ties)
  local changes, devices = {}, false
  core.no_grad(function()
    local list = tensors_of(self, recurse)
    local shared = ties and shared_memory(list) or {}
    for _, tensor in ipairs(list) do
      local group, new = shared[tensor]
      if group and not group.made then convert_group(group, fn) end
      if group then new = group.made[tensor] else new = fn(tensor) end
      if not core.is_tensor(new) then
        core.raise("_apply", "the function returned %s instead of a Tensor", arguments.type_name(new))
      end
      if tensor.requires_grad and not new:is_floating_point() then
        core.raise("_apply", "data set to a tensor that requires gradients must be floating point dtype, not %s",
          new.dtype.name)
      end
      if new ~= tensor then
        changes[#changes + 1] = { tensor, new }
        devices = devices or new.device ~= tensor.device
      end
    end
    for _, change in ipairs(changes) do change[1]:set_data(change[2]) end
  end)
  if devices then modes.moves = modes.moves + 1 end
  return self
end

local function cast(dtype_name)
  return function(self)
    local dtype = core[dtype_name]
    if dtype == nil then core.raise(dtype_name, "this build has no dtype torch.%s", dtype_name) end
    return self:_apply(function(t) return t:is_floating_point() and t:to(dtype) or t end, nil, true)
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
  return self:_apply(function(t) return t:type(dst_type) end, nil, true)
end

local empty_arguments = arguments.signature("to_empty", { { "device", "any?" }, { "recurse", "boolean", true } })

--- Gives parameters and buffers new memory on `device` without writing to it: the next forward refuses parameters that
-- nobody has written to by then. Keywords: device, recurse. Returns self.
function Module:to_empty(...)
  local device, recurse = empty_arguments(...)
  self:_apply(function(t)
    return core.empty_like(t, { device = device or t.device, requires_grad = false })
  end, recurse, true)
  for _, entry in ipairs(walk.modules(self)) do rawget(entry.value, "_module").ready = false end
  return self
end

--- Moves to main memory.
function Module:cpu()
  return self:_apply(function(t) return t:cpu() end, nil, true)
end

--- Moves to a GPU (the current one, or number `device`, from 0).
function Module:cuda(device)
  if arguments.is_keywords(device) then device = device.device end
  return self:_apply(function(t) return t:cuda(device) end, nil, true)
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
    target.device = core.device(v)
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
  end, nil, true)
end

return Module
