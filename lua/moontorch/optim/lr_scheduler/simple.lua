--- Schedulers of one formula: LambdaLR, MultiplicativeLR, StepLR, MultiStepLR, ConstantLR, LinearLR, ExponentialLR,
-- PolynomialLR, CosineAnnealingLR, CosineAnnealingWarmRestarts.
--
-- get_lr() goes from the epoch before to this one by PyTorch's recurrence, so that rates agree to the last bit.
-- Sources: Loshchilov and Hutter 2016 (the cosine and its restarts).

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local base = require "moontorch.optim.lr_scheduler.base"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local LRScheduler, scaled, from_start = base.LRScheduler, base.scaled, base.from_start

local simple = {}

-- A class of schedulers: its settings beside optimizer and last_epoch, and a function that takes them in (and may
-- refuse them).
local function define(name, settings, take)
  local cls = class.extend(name, LRScheduler)
  local list = { { "optimizer", "any" } }
  for _, setting in ipairs(settings) do list[#list + 1] = setting end
  list[#list + 1] = { "last_epoch", "integer", -1 }
  local resolve, count = arguments.signature(name, list), #list
  function cls:init(...)
    local values = table.pack(resolve(...))
    base.check_optimizer(self, values[1])
    self.optimizer = values[1]
    for i, setting in ipairs(settings) do self[setting[1]] = values[i + 1] end
    if take then take(self) end
    LRScheduler.init(self, values[1], values[count])
  end
  simple[name] = cls
  return cls
end

-- The rates as they are.
local function unchanged(self)
  return base.values(self.optimizer, "lr")
end

-- Functions of the epoch ----------------------------------------------------------------------------------------------

local function callable(v)
  local meta = getmetatable(v)
  return type(v) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

local function take_lambdas(self)
  local given, count = self.lr_lambda, #self.optimizer.param_groups
  self.lr_lambda, self.lr_lambdas = nil, {}
  if type(given) == "table" and not callable(given) then
    if #given ~= count then core.raise(base.name(self), "Expected %d lr_lambdas, but got %d", count, #given) end
    for i, fn in ipairs(given) do self.lr_lambdas[i] = fn end
  else
    for i = 1, count do self.lr_lambdas[i] = given end
  end
  for _, fn in ipairs(self.lr_lambdas) do
    if not callable(fn) then
      core.raise(base.name(self), "lr_lambda should be a function, but got %s", arguments.type_name(fn))
    end
  end
end

local function with_lambdas(cls)
  --- The state without the functions; objects that can be called give their fields.
  function cls:state_dict()
    local state = LRScheduler.state_dict(self)
    state.lr_lambdas = {}
    for i, fn in ipairs(self.lr_lambdas) do state.lr_lambdas[i] = base.function_state(fn) end
    return state
  end

  --- Takes over a state_dict(); the functions stay.
  function cls:load_state_dict(state_dict)
    local own = self.lr_lambdas
    LRScheduler.load_state_dict(self, state_dict)
    self.lr_lambdas = own
    for i, saved in ipairs(state_dict.lr_lambdas or {}) do base.load_function(own[i], saved) end
  end
end

-- What the function of group i gives for this epoch.
local function factor_of(self, i)
  local factor = self.lr_lambdas[i](self.last_epoch)
  if type(factor) ~= "number" then
    core.raise(base.name(self), "lr_lambda must return a number, but for group %d and epoch %s it returned %s", i,
      tostring(self.last_epoch), arguments.type_name(factor))
  end
  return factor
end

--- LambdaLR(optimizer, lr_lambda, last_epoch = -1): the start's rate times lr_lambda(epoch); one function, or an array
-- with one for each group.
local LambdaLR = define("LambdaLR", { { "lr_lambda", "any" } }, take_lambdas)
with_lambdas(LambdaLR)

function LambdaLR:get_lr()
  base.warn_outside(self)
  return from_start(self, function(rate, i) return rate * factor_of(self, i) end)
end

--- MultiplicativeLR(optimizer, lr_lambda, last_epoch = -1): the rate is multiplied by lr_lambda(epoch) at every step.
local MultiplicativeLR = define("MultiplicativeLR", { { "lr_lambda", "any" } }, take_lambdas)
with_lambdas(MultiplicativeLR)

function MultiplicativeLR:get_lr()
  base.warn_outside(self)
  if self._is_initial then return unchanged(self) end
  return scaled(self, function(rate, i) return rate * factor_of(self, i) end)
end

-- Steps ---------------------------------------------------------------------------------------------------------------

--- StepLR(optimizer, step_size, gamma = 0.1, last_epoch = -1): times gamma every step_size epochs.
local StepLR = define("StepLR", { { "step_size", "integer" }, { "gamma", "number", 0.1 } }, function(self)
  if self.step_size == 0 then core.raise("StepLR", "integer division or modulo by zero: step_size is 0") end
end)

function StepLR:get_lr()
  base.warn_outside(self)
  if self.last_epoch == 0 or self.last_epoch % self.step_size ~= 0 then return unchanged(self) end
  return scaled(self, function(rate) return rate * self.gamma end)
end

function StepLR:_get_closed_form_lr()
  return from_start(self, function(rate) return rate * self.gamma ^ (self.last_epoch // self.step_size) end)
end

--- MultiStepLR(optimizer, milestones, gamma = 0.1, last_epoch = -1): times gamma at each epoch in the array milestones.
local MultiStepLR = define("MultiStepLR", { { "milestones", "list" }, { "gamma", "number", 0.1 } }, function(self)
  local counts = {}
  for _, epoch in ipairs(self.milestones) do
    epoch = math.tointeger(epoch) or epoch
    counts[epoch] = (counts[epoch] or 0) + 1
  end
  self.milestones = counts
end)

function MultiStepLR:get_lr()
  base.warn_outside(self)
  local times = self.milestones[self.last_epoch]
  if times == nil then return unchanged(self) end
  return scaled(self, function(rate) return rate * self.gamma ^ times end)
end

function MultiStepLR:_get_closed_form_lr()
  local passed = 0
  for epoch, times in pairs(self.milestones) do
    if epoch <= self.last_epoch then passed = passed + times end
  end
  return from_start(self, function(rate) return rate * self.gamma ^ passed end)
end

-- Lines and curves ----------------------------------------------------------------------------------------------------

--- ConstantLR(optimizer, factor = 1/3, total_iters = 5, last_epoch = -1): the rate times factor until total_iters.
local ConstantLR = define("ConstantLR", { { "factor", "number", 1.0 / 3 }, { "total_iters", "integer", 5 } },
  function(self)
    if self.factor > 1.0 or self.factor < 0 then
      core.raise("ConstantLR", "Constant multiplicative factor expected to be between 0 and 1, but got %s",
        text.repr(self.factor))
    end
  end)

function ConstantLR:get_lr()
  base.warn_outside(self)
  if self.last_epoch == 0 then return scaled(self, function(rate) return rate * self.factor end) end
  if self.last_epoch ~= self.total_iters then return unchanged(self) end
  return scaled(self, function(rate) return rate * base.quotient(self, 1.0, self.factor) end)
end

function ConstantLR:_get_closed_form_lr()
  local over = self.last_epoch >= self.total_iters and 1 or 0
  return from_start(self, function(rate) return rate * (self.factor + over * (1 - self.factor)) end)
end

--- LinearLR(optimizer, start_factor = 1/3, end_factor = 1.0, total_iters = 5, last_epoch = -1): the rate's factor goes
-- from start_factor to end_factor in total_iters epochs.
local LinearLR = define("LinearLR", {
  { "start_factor", "number", 1.0 / 3 }, { "end_factor", "number", 1.0 }, { "total_iters", "integer", 5 },
}, function(self)
  if self.start_factor > 1.0 or self.start_factor <= 0 then
    core.raise("LinearLR", "Starting multiplicative factor expected to be greater than 0 and less or equal to 1, "
      .. "but got %s", text.repr(self.start_factor))
  end
  if self.end_factor > 1.0 or self.end_factor < 0 then
    core.raise("LinearLR", "Ending multiplicative factor expected to be between 0 and 1, but got %s",
      text.repr(self.end_factor))
  end
end)

function LinearLR:get_lr()
  base.warn_outside(self)
  if self.last_epoch == 0 then return scaled(self, function(rate) return rate * self.start_factor end) end
  if self._is_initial or self.last_epoch > self.total_iters then return unchanged(self) end
  local slope = self.end_factor - self.start_factor
  local factor = 1.0 + base.quotient(self, slope, self.total_iters * self.start_factor + (self.last_epoch - 1) * slope)
  return scaled(self, function(rate) return rate * factor end)
end

function LinearLR:_get_closed_form_lr()
  local epoch = math.min(self.total_iters, self.last_epoch)
  return from_start(self, function(rate)
    return rate * (self.start_factor
      + base.quotient(self, (self.end_factor - self.start_factor) * epoch, self.total_iters))
  end)
end

--- ExponentialLR(optimizer, gamma, last_epoch = -1): times gamma every epoch.
local ExponentialLR = define("ExponentialLR", { { "gamma", "number" } })

function ExponentialLR:get_lr()
  base.warn_outside(self)
  if self._is_initial then return unchanged(self) end
  return scaled(self, function(rate) return rate * self.gamma end)
end

function ExponentialLR:_get_closed_form_lr()
  return from_start(self, function(rate) return rate * self.gamma ^ self.last_epoch end)
end

--- PolynomialLR(optimizer, total_iters = 5, power = 1.0, last_epoch = -1): the rate times
-- (1 - epoch / total_iters) ^ power, zero from total_iters on.
local PolynomialLR = define("PolynomialLR", { { "total_iters", "integer", 5 }, { "power", "number", 1.0 } })

function PolynomialLR:get_lr()
  base.warn_outside(self)
  if self._is_initial or self.last_epoch > self.total_iters then return unchanged(self) end
  local left = 1.0 - base.quotient(self, self.last_epoch, self.total_iters)
  local factor = base.quotient(self, left, 1.0 - (self.last_epoch - 1) / self.total_iters) ^ self.power
  return scaled(self, function(rate) return rate * factor end)
end

function PolynomialLR:_get_closed_form_lr()
  local epoch = math.min(self.total_iters, self.last_epoch)
  return from_start(self, function(rate)
    return rate * (1.0 - base.quotient(self, epoch, self.total_iters)) ^ self.power
  end)
end

--- CosineAnnealingLR(optimizer, T_max, eta_min = 0.0, last_epoch = -1): half a cosine from the start's rate to eta_min
-- in T_max epochs, and back again.
local CosineAnnealingLR = define("CosineAnnealingLR", { { "T_max", "integer" }, { "eta_min", "number", 0.0 } })

function CosineAnnealingLR:get_lr()
  base.warn_outside(self)
  local epoch, span, low, pi = self.last_epoch, self.T_max, self.eta_min, math.pi
  if self._is_initial then return unchanged(self) end
  if self._step_count == 1 and epoch > 0 then
    return from_start(self, function(rate) return low + (rate - low) * (1 + math.cos(epoch * pi / span)) / 2 end)
  end
  if span == 0 then core.raise("CosineAnnealingLR", "float division by zero: T_max is 0") end
  if (epoch - 1 - span) % (2 * span) == 0 then
    return scaled(self, function(rate, i)
      return rate + (self.base_lrs[i] - low) * (1 - math.cos(pi / span)) / 2
    end)
  end
  local factor = (1 + math.cos(pi * epoch / span)) / (1 + math.cos(pi * (epoch - 1) / span))
  return scaled(self, function(rate) return factor * (rate - low) + low end)
end

function CosineAnnealingLR:_get_closed_form_lr()
  local low = self.eta_min
  return from_start(self, function(rate)
    return low + (rate - low) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
  end)
end

-- Warm restarts -------------------------------------------------------------------------------------------------------

--- CosineAnnealingWarmRestarts(optimizer, T_0, T_mult = 1, eta_min = 0.0, last_epoch = -1): a half cosine in T_0
-- epochs, then again from the start, T_mult times as long each time. step(epoch) takes fractions: step(epoch + i /
-- iterations).
local CosineAnnealingWarmRestarts = class.extend("CosineAnnealingWarmRestarts", LRScheduler)
simple.CosineAnnealingWarmRestarts = CosineAnnealingWarmRestarts

local restart_arguments = arguments.signature("CosineAnnealingWarmRestarts", {
  { "optimizer", "any" }, { "T_0", "number" }, { "T_mult", "number", 1 }, { "eta_min", "number", 0.0 },
  { "last_epoch", "integer", -1 },
})

function CosineAnnealingWarmRestarts:init(...)
  local optimizer, first, factor, eta_min, last_epoch = restart_arguments(...)
  self.T_0, self.T_mult = math.tointeger(first), math.tointeger(factor)
  if self.T_0 == nil or self.T_0 <= 0 then
    core.raise(base.name(self), "Expected positive integer T_0, but got %s", text.repr(first))
  end
  if self.T_mult == nil or self.T_mult < 1 then
    core.raise(base.name(self), "Expected integer T_mult >= 1, but got %s", text.repr(factor))
  end
  self.T_i, self.eta_min, self.T_cur = self.T_0, eta_min, last_epoch
  LRScheduler.init(self, optimizer, last_epoch)
end

function CosineAnnealingWarmRestarts:get_lr()
  base.warn_outside(self)
  return from_start(self, function(rate)
    return self.eta_min + (rate - self.eta_min) * (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
  end)
end

-- Where `epoch` lies: the epochs since the last restart, and how many there are until the next.
local function locate(self, epoch)
  if epoch < self.T_0 then return epoch, self.T_0 end
  if self.T_mult == 1 then return epoch % self.T_0, self.T_i end
  local restarts = math.floor(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1) / math.log(self.T_mult))
  local length = math.tointeger(self.T_mult ^ restarts)
  return epoch - self.T_0 * (length - 1) / (self.T_mult - 1), self.T_0 * length
end

--- Goes on to the next epoch, or to `epoch`, which may be a fraction.
function CosineAnnealingWarmRestarts:step(epoch)
  epoch = base.epoch_of(epoch)
  if epoch == nil and self.last_epoch < 0 then epoch = 0 end
  if epoch == nil then
    epoch = self.last_epoch + 1
    self.T_cur = self.T_cur + 1
    if self.T_cur >= self.T_i then
      self.T_cur = self.T_cur % self.T_i
      self.T_i = self.T_i * self.T_mult
    end
  else
    base.check_epoch(self, epoch)
    if epoch < 0 then core.raise(base.name(self), "Expected non-negative epoch, but got %s", text.repr(epoch)) end
    self.T_cur, self.T_i = locate(self, epoch)
  end
  self.last_epoch = math.floor(epoch)
  base.apply(self, base.within_step(self, "get_lr"))
end

return simple
