--- torch.amp: autocast, GradScaler, and what functions with a gradient of their own need for autocast.
-- Source: https://docs.pytorch.org/docs/stable/amp.html

local core = require "moontorch.core"
local autocast = require "moontorch.autocast"

local amp = { autocast = autocast.autocast, is_autocast_available = autocast.is_autocast_available }

local kind_of, dtype_of = autocast.kind_of, autocast.dtype_of

-- Functions with a gradient written in Lua ----------------------------------------------------------------------------

local function cast(value, kind, dtype)
  if core.is_tensor(value) then
    local fits = value:is_floating_point() and value.device.type == kind and value.dtype ~= core.float64
    return fits and value:to(dtype) or value
  elseif type(value) == "table" and getmetatable(value) == nil then
    local copy = {}
    for key, v in pairs(value) do copy[key] = cast(v, kind, dtype) end
    return copy
  end
  return value
end

local function decorator(name, parameter)
  return function(f, options)
    if type(f) == "table" and options == nil then f, options = nil, f end
    options = options or {}
    for key in pairs(options) do
      if key ~= "device_type" and not (parameter and key == parameter) then
        core.raise(name, "got an unexpected keyword argument '%s'; it takes: device_type%s", tostring(key),
          parameter and ", " .. parameter or "")
      end
    end
    return f, kind_of(name, options.device_type), options[parameter or ""]
  end
end

local forward_options, backward_options = decorator("custom_fwd", "cast_inputs"), decorator "custom_bwd"

--- custom_fwd(forward, {device_type =, cast_inputs =}): the forward of a torch.autograd.Function for use with
-- autocast. With cast_inputs, its floating-point tensors arrive in that dtype and autocast is off inside, where it was
-- on; without, forward runs as autocast has it. custom_fwd{...} returns a function of forward.
function amp.custom_fwd(f, options)
  local forward, kind, to = forward_options(f, options)
  if to ~= nil then to = dtype_of("custom_fwd", to) end
  local function wrap(inner)
    return function(ctx, ...)
      local on, dtype = core._autocast_state(kind)
      ctx._autocast_dtype = dtype
      ctx._forward_used_autocast = to == nil and on
      if to == nil or not on then return inner(ctx, ...) end
      local given = table.pack(...)
      for i = 1, given.n do given[i] = cast(given[i], kind, to) end
      return core._with_autocast(kind, false, dtype, nil, function()
        return inner(ctx, table.unpack(given, 1, given.n))
      end)
    end
  end
  return forward and wrap(forward) or wrap
end

--- custom_bwd(backward, {device_type =}): backward runs with autocast as it was in the forward that custom_fwd made.
function amp.custom_bwd(f, options)
  local backward, kind = backward_options(f, options)
  local function wrap(inner)
    return function(ctx, ...)
      if ctx._autocast_dtype == nil then
        core.raise("custom_bwd", "the forward of this function was not made with torch.amp.custom_fwd")
      end
      local given = table.pack(...)
      return core._with_autocast(kind, ctx._forward_used_autocast, ctx._autocast_dtype, nil, function()
        return inner(ctx, table.unpack(given, 1, given.n))
      end)
    end
  end
  return backward and wrap(backward) or wrap
end

--- What torch.cuda.amp has: the same for "cuda".
amp.cuda = {
  autocast = autocast.for_cuda,
  custom_fwd = function(f, options)
    if type(f) == "table" then f, options = nil, f end
    return amp.custom_fwd(f, { device_type = "cuda", cast_inputs = options and options.cast_inputs })
  end,
  custom_bwd = function(f) return amp.custom_bwd(f, { device_type = "cuda" }) end,
}

-- Parts that are loaded when they are first used.
local PARTS = { GradScaler = "moontorch.optim.grad_scaler" }
setmetatable(amp, {
  __index = function(self, name)
    local part = PARTS[name] and require(PARTS[name])
    self[name] = part
    return part
  end,
})
setmetatable(amp.cuda, {
  __index = function(_, name) return name == "GradScaler" and amp.GradScaler.for_cuda or nil end,
})

return amp
