--- LRScheduler: what every learning-rate scheduler is: a count of epochs that sets the groups' rates.
--
-- Epochs count from 0: making a scheduler is its step to epoch 0. Subclasses give get_lr(), the rates of the epoch
-- `last_epoch`, most of them from the rates that the groups have now, so that schedulers can be chained; and, where
-- there is one, _get_closed_form_lr(), from the rates at the start. Fields have PyTorch's names, since state dicts
-- show them.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local arguments = require "moontorch.arguments"

local LRScheduler = class.root("LRScheduler")

local base = { LRScheduler = LRScheduler }

--- The class of `self`, as messages name it.
function base.name(self)
  return getmetatable(self).__name
end

--- Raises unless `optimizer` is one.
function base.check_optimizer(self, optimizer)
  if not class.isinstance(optimizer, Optimizer) then
    core.raise(base.name(self), "%s is not an Optimizer", arguments.type_name(optimizer))
  end
end

local function copy(v)
  return core.is_tensor(v) and v:clone() or v
end

--- One value for each group: an array of them, or one for all. `what` names it in messages.
function base.per_group(self, what, optimizer, value)
  local groups, list = optimizer.param_groups, {}
  if type(value) == "table" then
    if #value ~= #groups then
      core.raise(base.name(self), "%s must have the same length as optimizer.param_groups. %s has %d values, "
        .. "param_groups has %d", what, what, #value, #groups)
    end
    for i, v in ipairs(value) do list[i] = copy(v) end
  else
    for i = 1, #groups do list[i] = copy(value) end
  end
  return list
end

--- The option `key` of every group.
function base.values(optimizer, key)
  local list = {}
  for i, group in ipairs(optimizer.param_groups) do list[i] = copy(group[key]) end
  return list
end

--- Sets an option of a group; a tensor keeps its identity.
function base.set(group, key, value)
  if core.is_tensor(group[key]) then
    core.no_grad(function() group[key]:fill_(core.is_tensor(value) and value:item() or value) end)
  else
    group[key] = value
  end
end

--- The rates of all groups, each through `fn(rate, i)`.
function base.scaled(self, fn)
  local list = {}
  for i, group in ipairs(self.optimizer.param_groups) do list[i] = fn(group.lr, i) end
  return list
end

--- The rates from the start, each through `fn(rate, i)`.
function base.from_start(self, fn)
  local list = {}
  for i, rate in ipairs(self.base_lrs) do list[i] = fn(rate, i) end
  return list
end

--- a / b; a divisor of zero is an error instead of a rate that is no number.
function base.quotient(self, a, b)
  if b == 0 then
    core.raise(base.name(self), "float division by zero: epoch %s has no rate", tostring(self.last_epoch))
  end
  return a / b
end

-- Notes on the optimiser that it has stepped, by standing in front of its step().
local function watch(optimizer)
  if optimizer._watched_step ~= nil then return end
  local step = optimizer.step
  optimizer._watched_step = function(self, ...)
    -- Called with a dot, step() has no self, and says so.
    if self == optimizer then self._opt_called = true end
    return step(self, ...)
  end
  optimizer.step = optimizer._watched_step
end

--- LRScheduler(optimizer, last_epoch = -1). With a last_epoch the groups must have their `initial_lr`, as a loaded
-- optimiser has.
function LRScheduler:init(optimizer, last_epoch)
  last_epoch = last_epoch or -1
  base.check_optimizer(self, optimizer)
  self.optimizer = optimizer
  for i, group in ipairs(optimizer.param_groups) do
    if last_epoch == -1 then
      if group.initial_lr == nil then group.initial_lr = copy(group.lr) end
    elseif group.initial_lr == nil then
      core.raise(base.name(self), "param 'initial_lr' is not specified in param_groups[%d] when resuming scheduler "
        .. "with last_epoch >= 0. Load the optimizer's state dict first, or leave last_epoch out", i)
    end
  end
  self.base_lrs = base.values(optimizer, "initial_lr")
  self.last_epoch = last_epoch
  watch(optimizer)
  self:_initial_step()
end

function LRScheduler:_initial_step()
  self._step_count = 0
  self._is_initial = true
  self:step()
  self._is_initial = false
end

local SEE = "Call optimizer:step() before scheduler:step(). See more details at "
  .. "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"

local function warn_order(self)
  local optimizer = self.optimizer
  if optimizer.step ~= optimizer._watched_step then
    arguments.warn_once(self, "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
      .. "initialization. Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. %s", SEE)
  elseif not optimizer._opt_called then
    arguments.warn_once(self, "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and "
      .. "later, you should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  Failure "
      .. "to do this will result in PyTorch skipping the first value of the learning rate schedule. %s", SEE)
  end
end

--- Warns that an epoch was given to step().
function base.warn_epoch(epoch)
  if epoch == nil then return end
  arguments.warn_once("lr_scheduler.step(epoch)", "The epoch parameter in `scheduler.step()` was not necessary and is "
    .. "being deprecated where possible. Please use `scheduler.step()` to step the scheduler. During the deprecation, "
    .. "if epoch is different from None, the closed form is used instead of the new chainable form, where available.")
end

--- The epoch given to step(), by position or by name.
function base.epoch_of(epoch)
  if epoch ~= nil and arguments.is_keywords(epoch) then return epoch.epoch end
  return epoch
end

--- Goes on to the next epoch (or to `epoch`, by the closed form where there is one) and sets the groups' rates.
function LRScheduler:step(epoch)
  if self._step_count == 1 then warn_order(self) end
  self._step_count = self._step_count + 1
  epoch = base.epoch_of(epoch)
  base.warn_epoch(epoch)
  self:_update_lr(epoch)
end

--- Sets the rates of the epoch `last_epoch`, as get_lr() gives them.
function base.apply(self, values)
  for i, group in ipairs(self.optimizer.param_groups) do
    if values[i] == nil then
      core.raise(base.name(self), "the optimizer has %d parameter groups, but the scheduler was made for %d: make it "
        .. "after add_param_group()", #self.optimizer.param_groups, #values)
    end
    base.set(group, "lr", values[i])
  end
  self._last_lr = base.values(self.optimizer, "lr")
end

--- The result of `method`, which may only be called from within step() without a warning.
function base.within_step(self, method)
  self._get_lr_called_within_step = true
  local _ <close> = setmetatable({}, { __close = function() self._get_lr_called_within_step = false end })
  return self[method](self)
end

--- Refuses an epoch, given to step(), that is no number; nil is the next epoch.
function base.check_epoch(self, epoch)
  if epoch ~= nil and type(epoch) ~= "number" then
    core.raise(base.name(self) .. ".step", "argument 'epoch' (position 1) must be a number, not %s; step() without it "
      .. "goes on to the next epoch", arguments.type_name(epoch))
  end
end

function LRScheduler:_update_lr(epoch)
  local method = "get_lr"
  base.check_epoch(self, epoch)
  if epoch == nil then
    self.last_epoch = self.last_epoch + 1
  else
    self.last_epoch = epoch
    if self._get_closed_form_lr then method = "_get_closed_form_lr" end
  end
  base.apply(self, base.within_step(self, method))
end

--- The rates that were set last, one for each group.
function LRScheduler:get_last_lr()
  return self._last_lr
end

--- The rates of the epoch `last_epoch`. Subclasses override it; users want get_last_lr().
function LRScheduler:get_lr()
  core.raise(base.name(self), "get_lr is not implemented: a scheduler gives the rates of the epoch last_epoch there")
end

--- Warns when get_lr() is called from outside of step().
function base.warn_outside(self)
  if not self._get_lr_called_within_step then
    arguments.warn_once("lr_scheduler.get_lr", "To get the last learning rate computed by the scheduler, please use "
      .. "`get_last_lr()`.")
  end
end

-- Fields that are no state.
local APART = { optimizer = true, _module = true }

--- Everything that the scheduler knows, but its optimiser.
function LRScheduler:state_dict()
  local state = {}
  for key, value in next, self do
    if not APART[key] then state[key] = value end
  end
  return state
end

--- Takes over a state_dict().
function LRScheduler:load_state_dict(state_dict)
  if type(state_dict) ~= "table" then
    core.raise(base.name(self) .. ".load_state_dict", "expected a state dict, but got %s",
      arguments.type_name(state_dict))
  end
  for key, value in pairs(state_dict) do
    if value == core.none then value = nil end
    if not APART[key] then self[key] = value end
  end
end

--- State of functions among the settings: nothing of a plain function, its fields of an object that can be called.
function base.function_state(fn)
  if type(fn) ~= "table" then return core.none end
  local fields = {}
  for key, value in next, fn do fields[key] = value end
  return fields
end

--- Puts what function_state gave back into the object.
function base.load_function(fn, saved)
  if type(fn) == "table" and type(saved) == "table" then
    for key, value in pairs(saved) do fn[key] = value end
  end
end

class.guard(LRScheduler, "step get_last_lr state_dict load_state_dict")

return base
