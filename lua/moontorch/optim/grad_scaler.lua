--- torch.amp.GradScaler: multiplies losses so that gradients of 16-bit floats do not vanish, and divides the gradients
-- again before the optimiser sees them. A step whose gradients overflowed is left out, and the scale shrinks.
--
-- An optimiser is "ready", then "unscaled", then "stepped" until update() begins the next round. Scale and count lie on
-- the device of the first loss, so nothing waits for a device but step(), which must know whether to go on.
-- Source: https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local arguments = require "moontorch.arguments"

local GradScaler = class.root("GradScaler")

local new_arguments = arguments.signature("GradScaler", {
  { "device", "any", "cuda" }, { "init_scale", "number", 65536.0 }, { "growth_factor", "number", 2.0 },
  { "backoff_factor", "number", 0.5 }, { "growth_interval", "integer", 2000 }, { "enabled", "boolean", true },
})

local function fresh_states() return setmetatable({}, { __mode = "k" }) end

--- GradScaler(device = "cuda", {init_scale = 65536, growth_factor = 2, backoff_factor = 0.5, growth_interval = 2000,
-- enabled = true}): the scale grows by growth_factor after growth_interval steps without overflow, and shrinks by
-- backoff_factor after one with.
function GradScaler:init(...)
  local device, init_scale, growth, backoff, interval, enabled = new_arguments(...)
  self._device = type(device) == "string" and device or tostring(device)
  self._enabled = enabled
  if enabled and self._device:find "^cuda" and not core.cuda.is_available() then
    core.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.")
    self._enabled = false
  end
  if not self._enabled then return end
  if growth <= 1 then core.raise("GradScaler", "The growth factor must be > 1.0. It is %g", growth) end
  if backoff >= 1 then core.raise("GradScaler", "The backoff factor must be < 1.0. It is %g", backoff) end
  self._init_scale, self._init_growth_tracker = init_scale + 0.0, 0
  self._growth_factor, self._backoff_factor, self._growth_interval = growth, backoff, interval
  self._states = fresh_states()
end

--- torch.cuda.amp.GradScaler(init_scale, ...): the same for "cuda".
function GradScaler.for_cuda(...)
  if select("#", ...) == 0 then return GradScaler "cuda" end
  return GradScaler("cuda", ...)
end

local function check_started(self, name)
  if self._scale == nil then
    core.raise(name, "Attempted %s but _scale is None.  This may indicate your script did not use scaler:scale(loss or "
      .. "outputs) earlier in the iteration.", name)
  end
end

local function state_of(self, optimizer, name)
  if type(optimizer) ~= "table" or type(optimizer.param_groups) ~= "table" then
    core.raise(name, "argument 'optimizer' (position 1) must be an optimizer, not %s", arguments.type_name(optimizer))
  end
  local state = self._states[optimizer]
  if state == nil then
    state = { stage = "ready", found = {} }
    self._states[optimizer] = state
  end
  return state
end

-- `t` on `device`, each device once.
local function replica(copies, t, device)
  local key = tostring(device)
  copies[key] = copies[key] or t:to(device)
  return copies[key]
end

local function start(self, device)
  self._scale = core.full({}, self._init_scale, { dtype = core.float32, device = device })
  self._growth_tracker = core.full({}, self._init_growth_tracker, { dtype = core.int32, device = device })
end

--- scale(outputs): a tensor times the scale, or each of a (nested) table of them.
function GradScaler:scale(outputs)
  if not self._enabled then return outputs end
  local copies = {}
  local function apply(v)
    if core.is_tensor(v) then
      if self._scale == nil then start(self, v.device) end
      return v * replica(copies, self._scale, v.device)
    elseif type(v) == "table" and getmetatable(v) == nil then
      local list = {}
      for key, item in pairs(v) do list[key] = apply(item) end
      return list
    end
    core.raise("scale", "outputs must be a Tensor or an iterable of Tensors, not %s", arguments.type_name(v))
  end
  return apply(outputs)
end

-- Divides all gradients of the optimiser; the flags, by device.
local function unscale(self, optimizer)
  local inverse = self._scale:double():reciprocal():float()
  local none_found = core.zeros({}, { dtype = core.float32, device = self._scale.device })
  local grads, inverses, found = {}, {}, {}
  for _, group in ipairs(optimizer.param_groups) do
    for _, param in ipairs(group.params) do
      local grad = param.grad
      if grad ~= nil then
        if grad.dtype == core.float16 then
          core.raise("unscale_", "Attempting to unscale FP16 gradients. Keep the parameters in float32 (model:float()) "
            .. "and let torch.autocast choose float16")
        end
        grads[#grads + 1] = grad
      end
    end
  end
  core.no_grad(function()
    for _, grad in ipairs(grads) do
      local key = tostring(grad.device)
      found[key] = found[key] or none_found:to(grad.device):clone()
      core._unscale_(grad, found[key], replica(inverses, inverse, grad.device))
    end
  end)
  return found
end

--- unscale_(optimizer): divides its parameters' gradients by the scale, for who wants to look at or clip them; step()
-- does it else. Once for each optimiser between two updates.
function GradScaler:unscale_(optimizer)
  if not self._enabled then return end
  check_started(self, "unscale_")
  local state = state_of(self, optimizer, "unscale_")
  if state.stage == "unscaled" then
    core.raise("unscale_", "unscale_() has already been called on this optimizer since the last update().")
  elseif state.stage == "stepped" then
    core.raise("unscale_", "unscale_() is being called after step().")
  end
  state.found = unscale(self, optimizer)
  state.stage = "unscaled"
end

--- step(optimizer, ...): unscales unless that was done, then optimizer:step(...) unless a gradient is infinite or NaN.
-- Returns what step returns, nil when it was left out. Closures are not supported.
function GradScaler:step(optimizer, ...)
  if not self._enabled then return optimizer:step(...) end
  local first = ...
  if type(first) == "function" or type(first) == "table" and first.closure ~= nil then
    core.raise("step", "Closure use is not currently supported if GradScaler is enabled.")
  end
  check_started(self, "step")
  local state = state_of(self, optimizer, "step")
  if state.stage == "stepped" then
    core.raise("step", "step() has already been called since the last update().")
  end
  if state.stage == "ready" then self:unscale_(optimizer) end
  if next(state.found) == nil then
    core.raise("step", "No inf checks were recorded for this optimizer. None of its parameters has a gradient: was "
      .. "backward() called on the scaled loss?")
  end
  local total = 0
  for _, found in pairs(state.found) do total = total + found:item() end
  local result
  if total == 0 then result = optimizer:step(...) end
  state.stage = "stepped"
  return result
end

local function set_scale(self, new_scale)
  if type(new_scale) == "number" then
    self._scale:fill_(new_scale)
    return
  end
  if not core.is_tensor(new_scale) or new_scale:numel() ~= 1 or new_scale.requires_grad
    or new_scale.device.type ~= self._scale.device.type then
    core.raise("update", "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
      .. "requires_grad=False. It is %s", core.is_tensor(new_scale) and new_scale:type() or
      arguments.type_name(new_scale))
  end
  self._scale:copy_(new_scale:reshape({}))
end

-- The scale after a round, on its device: smaller when something was found, larger when enough rounds went well and it
-- stays finite.
local function grow_or_shrink(self, found)
  local scale, count = self._scale, self._growth_tracker
  local wild = found:gt(0)
  local rounds = count + 1
  local full = rounds:eq(self._growth_interval) & ~wild
  local grown = scale * self._growth_factor
  grown = core.where(grown:isfinite(), grown, scale)
  local calm = core.where(full, grown, scale)
  local next_scale = core.where(wild, scale * self._backoff_factor, calm)
  local next_count = core.where(wild | full, core.zeros_like(count), rounds)
  scale:copy_(next_scale)
  count:copy_(next_count)
end

--- update(new_scale): ends the round: the scale follows from what the steps found, or becomes new_scale.
function GradScaler:update(new_scale)
  if not self._enabled then return end
  if arguments.is_keywords(new_scale) then new_scale = new_scale.new_scale end
  check_started(self, "update")
  core.no_grad(function()
    if new_scale ~= nil then
      set_scale(self, new_scale)
    else
      local total
      for _, state in pairs(self._states) do
        for _, found in pairs(state.found) do
          found = found:to(self._scale.device)
          total = total and total + found or found
        end
      end
      if total == nil then core.raise("update", "No inf checks were recorded prior to update.") end
      grow_or_shrink(self, total)
    end
  end)
  self._states = fresh_states()
end

--- The scale as a number, 1 where scaling is off. Waits for the device.
function GradScaler:get_scale()
  if not self._enabled then return 1.0 end
  return self._scale and self._scale:item() or self._init_scale
end

-- How many steps went well since the scale last changed.
local function rounds_so_far(self)
  return self._growth_tracker and self._growth_tracker:item() or self._init_growth_tracker
end

function GradScaler:get_growth_factor() return self._growth_factor end
function GradScaler:set_growth_factor(v) self._growth_factor = v end
function GradScaler:get_backoff_factor() return self._backoff_factor end
function GradScaler:set_backoff_factor(v) self._backoff_factor = v end
function GradScaler:get_growth_interval() return self._growth_interval end
function GradScaler:set_growth_interval(v) self._growth_interval = v end
function GradScaler:is_enabled() return self._enabled end

--- A table of numbers to save; empty where scaling is off.
function GradScaler:state_dict()
  if not self._enabled then return {} end
  return {
    scale = self:get_scale(), growth_factor = self._growth_factor, backoff_factor = self._backoff_factor,
    growth_interval = self._growth_interval, _growth_tracker = rounds_so_far(self),
  }
end

--- Goes on from what state_dict gave.
function GradScaler:load_state_dict(state)
  if not self._enabled then return end
  if next(state) == nil then
    core.raise("load_state_dict", "The source state dict is empty, possibly because it was saved from a disabled "
      .. "instance of GradScaler.")
  end
  for _, key in ipairs { "scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker" } do
    if type(state[key]) ~= "number" then
      core.raise("load_state_dict", "'%s' must be a number in the state of a GradScaler, not %s", key,
        arguments.type_name(state[key]))
    end
  end
  self._init_scale, self._init_growth_tracker = state.scale, math.tointeger(state._growth_tracker)
  self._growth_factor, self._backoff_factor = state.growth_factor, state.backoff_factor
  self._growth_interval = math.tointeger(state.growth_interval)
  if self._scale then
    self._scale:fill_(state.scale)
    self._growth_tracker:fill_(state._growth_tracker)
  end
end

return GradScaler
