--- CyclicLR and OneCycleLR: rates that go up and down again, the momentum the other way.
--
-- Sources: Smith 2015 (cyclical rates), Smith and Topin 2017 (one cycle). The momentum is the groups' `momentum`, or
-- the first of their `betas`.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local base = require "moontorch.optim.lr_scheduler.base"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local LRScheduler = base.LRScheduler

local function set_momentum(self, group, value)
  if self.use_beta1 then
    group.betas = { value, table.unpack(group.betas, 2) }
  else
    group.momentum = value
  end
end

-- Readies the groups for momenta that cycle between two values.
local function take_momenta(self, optimizer, lowest, highest, last_epoch)
  if optimizer.defaults.momentum == nil and optimizer.defaults.betas == nil then
    core.raise(base.name(self), "optimizer must support momentum or beta1 with `cycle_momentum` option enabled; give "
      .. "{cycle_momentum = false} for %s", base.name(optimizer))
  end
  self.use_beta1 = optimizer.defaults.betas ~= nil
  local low = base.per_group(self, "base_momentum", optimizer, lowest)
  local high = base.per_group(self, "max_momentum", optimizer, highest)
  if last_epoch == -1 then
    for i, group in ipairs(optimizer.param_groups) do
      set_momentum(self, group, high[i])
      group.max_momentum, group.base_momentum = high[i], low[i]
    end
  end
  return low, high
end

-- CyclicLR ------------------------------------------------------------------------------------------------------------

local CyclicLR = class.extend("CyclicLR", LRScheduler)

local cyclic_arguments = arguments.signature("CyclicLR", {
  { "optimizer", "any" }, { "base_lr", "any" }, { "max_lr", "any" }, { "step_size_up", "number", 2000 },
  { "step_size_down", "number?" }, { "mode", "string", "triangular" }, { "gamma", "number", 1.0 },
  { "scale_fn", "callable?" }, { "scale_mode", "string", "cycle" }, { "cycle_momentum", "boolean", true },
  { "base_momentum", "any", 0.8 }, { "max_momentum", "any", 0.9 }, { "last_epoch", "integer", -1 },
})

-- mode -> the scale of a cycle or iteration, and which of the two it is for.
local MODES = {
  triangular = { function() return 1.0 end, "cycle" },
  triangular2 = { function(_, x) return 1 / 2.0 ^ (x - 1) end, "cycle" },
  exp_range = { function(self, x) return self.gamma ^ x end, "iterations" },
}

--- CyclicLR(optimizer, base_lr, max_lr, step_size_up = 2000, step_size_down = step_size_up, mode = "triangular",
-- gamma = 1.0, scale_fn = nil, scale_mode = "cycle", cycle_momentum = true, base_momentum = 0.8, max_momentum = 0.9,
-- last_epoch = -1). Its step() follows every batch. Modes: triangular, triangular2 (half the height in each cycle),
-- exp_range (times gamma ^ iterations); scale_fn(x) instead of a mode.
function CyclicLR:init(...)
  local optimizer, base_lr, max_lr, up, down, mode, gamma, scale_fn, scale_mode, cycle_momentum, base_momentum,
    max_momentum, last_epoch = cyclic_arguments(...)
  base.check_optimizer(self, optimizer)
  self.optimizer = optimizer
  local base_lrs = base.per_group(self, "base_lr", optimizer, base_lr)
  if MODES[mode] == nil and scale_fn == nil then
    core.raise("CyclicLR", "mode is invalid and scale_fn is None: modes are triangular, triangular2, exp_range, but "
      .. "got %s", text.repr(mode))
  end
  if last_epoch == -1 then
    for i, group in ipairs(optimizer.param_groups) do base.set(group, "lr", base_lrs[i]) end
  end
  self.max_lrs = base.per_group(self, "max_lr", optimizer, max_lr)
  up = up + 0.0
  self.total_size = up + (down or up)
  self.step_ratio = up / self.total_size
  self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
  self.scale_mode = scale_fn == nil and MODES[mode][2] or scale_mode
  self.cycle_momentum = cycle_momentum
  if cycle_momentum then
    self.base_momentums, self.max_momentums = take_momenta(self, optimizer, base_momentum, max_momentum, last_epoch)
  end
  LRScheduler.init(self, optimizer, last_epoch)
  self.base_lrs = base_lrs
end

--- What the height of the cycle or iteration `x` is multiplied by.
function CyclicLR:scale_fn(x)
  if self._scale_fn_custom ~= nil then return self._scale_fn_custom(x) end
  return MODES[self.mode][1](self, x)
end

--- The rates of this iteration; sets the momenta too.
function CyclicLR:get_lr()
  base.warn_outside(self)
  local cycle = math.floor(1 + self.last_epoch / self.total_size)
  local x = 1.0 + self.last_epoch / self.total_size - cycle
  local height = x <= self.step_ratio and x / self.step_ratio or (x - 1) / (self.step_ratio - 1)
  local at = self.scale_mode == "cycle" and cycle or self.last_epoch
  local rates = {}
  for i, low in ipairs(self.base_lrs) do
    rates[i] = low + (self.max_lrs[i] - low) * height * self:scale_fn(at)
  end
  if self.cycle_momentum then
    for i, group in ipairs(self.optimizer.param_groups) do
      local most = self.max_momentums[i]
      set_momentum(self, group, most - (most - self.base_momentums[i]) * height * self:scale_fn(at))
    end
  end
  return rates
end

--- The state without the function; an object that can be called gives its fields.
function CyclicLR:state_dict()
  local state = LRScheduler.state_dict(self)
  state._scale_fn_custom = base.function_state(self._scale_fn_custom)
  return state
end

--- Takes over a state_dict(); the function stays.
function CyclicLR:load_state_dict(state_dict)
  local own = self._scale_fn_custom
  LRScheduler.load_state_dict(self, state_dict)
  self._scale_fn_custom = own
  base.load_function(own, state_dict._scale_fn_custom)
end

-- OneCycleLR ----------------------------------------------------------------------------------------------------------

local OneCycleLR = class.extend("OneCycleLR", LRScheduler)

local one_cycle_arguments = arguments.signature("OneCycleLR", {
  { "optimizer", "any" }, { "max_lr", "any" }, { "total_steps", "number?" }, { "epochs", "number?" },
  { "steps_per_epoch", "number?" }, { "pct_start", "number", 0.3 }, { "anneal_strategy", "string", "cos" },
  { "cycle_momentum", "boolean", true }, { "base_momentum", "any", 0.85 }, { "max_momentum", "any", 0.95 },
  { "div_factor", "number", 25.0 }, { "final_div_factor", "number", 1e4 }, { "three_phase", "boolean", false },
  { "last_epoch", "integer", -1 },
})

local function positive(self, name, value)
  local whole = math.tointeger(value)
  if whole == nil or whole <= 0 then
    core.raise(base.name(self), "Expected positive integer %s, but got %s", name, text.repr(value))
  end
  return whole
end

local function phase(end_step, start_lr, end_lr, start_momentum, end_momentum)
  return {
    end_step = end_step, start_lr = start_lr, end_lr = end_lr, start_momentum = start_momentum,
    end_momentum = end_momentum,
  }
end

local function phases(total, share, three)
  local first = phase(share * total - 1.0, "initial_lr", "max_lr", "max_momentum", "base_momentum")
  if not three then return { first, phase(total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum") } end
  return {
    first, phase(2 * share * total - 2.0, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
    phase(total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
  }
end

--- OneCycleLR(optimizer, max_lr, total_steps = nil, epochs = nil, steps_per_epoch = nil, pct_start = 0.3,
-- anneal_strategy = "cos" or "linear", cycle_momentum = true, base_momentum = 0.85, max_momentum = 0.95,
-- div_factor = 25.0, final_div_factor = 1e4, three_phase = false, last_epoch = -1). Its step() follows every batch: the
-- rate goes from max_lr / div_factor up to max_lr in the first pct_start of the steps, then down to
-- max_lr / div_factor / final_div_factor.
function OneCycleLR:init(...)
  local optimizer, max_lr, total_steps, epochs, steps_per_epoch, pct_start, strategy, cycle_momentum, base_momentum,
    max_momentum, div_factor, final_div_factor, three_phase, last_epoch = one_cycle_arguments(...)
  base.check_optimizer(self, optimizer)
  self.optimizer = optimizer
  if total_steps ~= nil then
    self.total_steps = positive(self, "total_steps", total_steps)
  elseif epochs ~= nil and steps_per_epoch ~= nil then
    self.total_steps = positive(self, "epochs", epochs) * positive(self, "steps_per_epoch", steps_per_epoch)
  else
    core.raise("OneCycleLR", "You must define either total_steps OR (epochs AND steps_per_epoch)")
  end
  if not (pct_start >= 0 and pct_start <= 1) then
    core.raise("OneCycleLR", "Expected float between 0 and 1 pct_start, but got %s", text.repr(pct_start))
  end
  if strategy ~= "cos" and strategy ~= "linear" then
    core.raise("OneCycleLR", "anneal_strategy must be one of 'cos' or 'linear', instead got %s", strategy)
  end
  self._schedule_phases = phases(self.total_steps, pct_start, three_phase)
  self._anneal_func_type = strategy
  local highest = base.per_group(self, "max_lr", optimizer, max_lr)
  if last_epoch == -1 then
    for i, group in ipairs(optimizer.param_groups) do
      group.initial_lr = highest[i] / div_factor
      group.max_lr = highest[i]
      group.min_lr = group.initial_lr / final_div_factor
    end
  end
  self.cycle_momentum = cycle_momentum
  if cycle_momentum then take_momenta(self, optimizer, base_momentum, max_momentum, last_epoch) end
  LRScheduler.init(self, optimizer, last_epoch)
end

local anneal = {
  cos = function(from, to, share) return to + (from - to) / 2.0 * (math.cos(math.pi * share) + 1) end,
  linear = function(from, to, share) return (to - from) * share + from end,
}

--- The rates of this step; sets the momenta too.
function OneCycleLR:get_lr()
  base.warn_outside(self)
  local step, list = self.last_epoch, self._schedule_phases
  if step > self.total_steps then
    core.raise("OneCycleLR", "Tried to step %d times. The specified number of total steps is %d", step,
      self.total_steps)
  end
  local begin, i = 0.0, 1
  while step > list[i].end_step and i < #list do
    begin, i = list[i].end_step, i + 1
  end
  local now, between = list[i], anneal[self._anneal_func_type]
  local share = base.quotient(self, step - begin, now.end_step - begin)
  local rates = {}
  for g, group in ipairs(self.optimizer.param_groups) do
    rates[g] = between(group[now.start_lr], group[now.end_lr], share)
    if self.cycle_momentum then
      set_momentum(self, group, between(group[now.start_momentum], group[now.end_momentum], share))
    end
  end
  return rates
end

return { CyclicLR = CyclicLR, OneCycleLR = OneCycleLR }
