--- ChainedScheduler, SequentialLR (schedulers made of schedulers) and ReduceLROnPlateau (which looks at a metric).
--
-- None of them is stepped when it is made: their parts were, or there is no metric yet.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local base = require "moontorch.optim.lr_scheduler.base"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local LRScheduler = base.LRScheduler

-- A class whose instances are not stepped by LRScheduler's constructor.
local function define(name)
  local cls = class.extend(name, LRScheduler)
  return cls, function(self) rawget(self, "_module").started[LRScheduler] = true end
end

-- ReduceLROnPlateau ---------------------------------------------------------------------------------------------------

local ReduceLROnPlateau, start_plateau = define("ReduceLROnPlateau")

local plateau_arguments = arguments.signature("ReduceLROnPlateau", {
  { "optimizer", "any" }, { "mode", "string", "min" }, { "factor", "number", 0.1 }, { "patience", "integer", 10 },
  { "threshold", "number", 1e-4 }, { "threshold_mode", "string", "rel" }, { "cooldown", "integer", 0 },
  { "min_lr", "any", 0 }, { "eps", "number", 1e-8 },
})

--- ReduceLROnPlateau(optimizer, mode = "min" or "max", factor = 0.1, patience = 10, threshold = 1e-4,
-- threshold_mode = "rel" or "abs", cooldown = 0, min_lr = 0, eps = 1e-8): step(metric) multiplies the rates by factor
-- when the metric has not become better for more than `patience` epochs.
function ReduceLROnPlateau:init(...)
  start_plateau(self)
  local optimizer, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps = plateau_arguments(...)
  if factor >= 1.0 then
    core.raise("ReduceLROnPlateau", "Factor should be < 1.0, but got %s", text.repr(factor))
  end
  base.check_optimizer(self, optimizer)
  if mode ~= "min" and mode ~= "max" then
    core.raise("ReduceLROnPlateau", "mode %s is unknown! It is 'min' or 'max'", mode)
  end
  if threshold_mode ~= "rel" and threshold_mode ~= "abs" then
    core.raise("ReduceLROnPlateau", "threshold mode %s is unknown! It is 'rel' or 'abs'", threshold_mode)
  end
  local groups = #optimizer.param_groups
  if type(min_lr) == "table" and #min_lr ~= groups then
    core.raise("ReduceLROnPlateau", "expected %d min_lrs, got %d", groups, #min_lr)
  end
  self.optimizer, self.factor, self.patience, self.cooldown, self.eps = optimizer, factor, patience, cooldown, eps
  self.min_lrs = base.per_group(self, "min_lr", optimizer, min_lr)
  if type(min_lr) ~= "table" then self.default_min_lr = min_lr end
  self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
  self.mode_worse = mode == "min" and math.huge or -math.huge
  self.best, self.cooldown_counter, self.num_bad_epochs = self.mode_worse, 0, 0
  self.last_epoch = 0
  self._last_lr = base.values(optimizer, "lr")
end

-- `in_cooldown` is a property: does the metric not count yet, after the rates were reduced?
rawset(ReduceLROnPlateau, "__index", function(self, key)
  if key == "in_cooldown" then return self.cooldown_counter > 0 end
  return getmetatable(self)[key]
end)

function ReduceLROnPlateau:_is_better(value, best)
  local relative = self.threshold_mode == "rel"
  if self.mode == "min" then
    return value < (relative and best * (1.0 - self.threshold) or best - self.threshold)
  end
  return value > (relative and best * (self.threshold + 1.0) or best + self.threshold)
end

local function reduce(self)
  local groups = self.optimizer.param_groups
  if #groups ~= #self.min_lrs then
    if self.default_min_lr == nil then
      core.raise("ReduceLROnPlateau.step", "The number of param groups in the `optimizer` (%d) differs from when "
        .. "`ReduceLROnPlateau` was initialized (%d), usually due to a new param group being added to the optimizer. "
        .. "Please modify the `min_lrs` field to match the length of the `optimizer` param groups", #groups,
        #self.min_lrs)
    end
    self.min_lrs = base.per_group(self, "min_lr", self.optimizer, self.default_min_lr)
  end
  for i, group in ipairs(groups) do
    local old = core.is_tensor(group.lr) and group.lr:item() or group.lr
    local new = math.max(old * self.factor, self.min_lrs[i])
    if old - new > self.eps then base.set(group, "lr", new) end
  end
end

--- Takes the metric of an epoch (a number or a tensor of one element).
function ReduceLROnPlateau:step(metrics, epoch)
  if metrics ~= nil and arguments.is_keywords(metrics) then metrics, epoch = metrics.metrics, metrics.epoch end
  epoch = base.epoch_of(epoch)
  if core.is_tensor(metrics) then metrics = metrics:item() end
  if type(metrics) ~= "number" then
    core.raise("ReduceLROnPlateau.step", "missing 1 required positional argument: 'metrics', which must be a "
      .. "number, not %s: scheduler:step(validation_loss)", arguments.type_name(metrics))
  end
  base.warn_epoch(epoch)
  self.last_epoch = epoch or self.last_epoch + 1
  if self:_is_better(metrics, self.best) then
    self.best, self.num_bad_epochs = metrics, 0
  else
    self.num_bad_epochs = self.num_bad_epochs + 1
  end
  if self.cooldown_counter > 0 then
    self.cooldown_counter = self.cooldown_counter - 1
    self.num_bad_epochs = 0
  end
  if self.num_bad_epochs > self.patience then
    reduce(self)
    self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
  end
  self._last_lr = base.values(self.optimizer, "lr")
end

-- Several schedulers --------------------------------------------------------------------------------------------------

local function check_parts(self, schedulers, optimizer)
  local name = base.name(self)
  for i, part in ipairs(schedulers) do
    if not class.isinstance(part, LRScheduler) then
      core.raise(name, "%s at index %d should have `optimizer` as its attribute: it must be a scheduler, not %s", name,
        i, arguments.type_name(part))
    end
    if class.isinstance(part, ReduceLROnPlateau) then
      core.raise(name, "%s does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be "
        .. "specified when calling `step`, but got one at index %d in the given schedulers sequence", name, i)
    end
    if part.optimizer ~= optimizer then
      core.raise(name, "%s expects all schedulers to belong to the same optimizer, but got scheduler %s at index %d "
        .. "has %s, which is different from %s", name, base.name(part), i, tostring(part.optimizer),
        base.name(optimizer))
    end
  end
end

local function with_parts(cls)
  --- The state, with that of each part in `_schedulers`.
  function cls:state_dict()
    local state = LRScheduler.state_dict(self)
    state._schedulers = {}
    for i, part in ipairs(self._schedulers) do state._schedulers[i] = part:state_dict() end
    return state
  end

  --- Takes over a state_dict(), each part its own.
  function cls:load_state_dict(state_dict)
    local own = self._schedulers
    LRScheduler.load_state_dict(self, state_dict)
    self._schedulers = own
    for i, saved in ipairs(state_dict._schedulers or {}) do own[i]:load_state_dict(saved) end
  end
end

local ChainedScheduler, start_chained = define("ChainedScheduler")
with_parts(ChainedScheduler)

local chained_arguments = arguments.signature("ChainedScheduler", {
  { "schedulers", "list" }, { "optimizer", "any?" },
})

--- ChainedScheduler(schedulers, optimizer = the first one's): step() steps every scheduler of the array.
function ChainedScheduler:init(...)
  start_chained(self)
  local schedulers, optimizer = chained_arguments(...)
  if #schedulers < 1 then
    core.raise("ChainedScheduler", "ChainedScheduler expects at least one scheduler to be chained, but got no "
      .. "scheduler")
  end
  optimizer = optimizer or (type(schedulers[1]) == "table" and schedulers[1].optimizer) or nil
  check_parts(self, schedulers, optimizer)
  self._schedulers, self.optimizer = schedulers, optimizer
  self._last_lr = base.values(optimizer, "lr")
end

--- Steps all of them.
function ChainedScheduler:step()
  for _, part in ipairs(self._schedulers) do part:step() end
  self._last_lr = base.values(self.optimizer, "lr")
end

local SequentialLR, start_sequential = define("SequentialLR")
with_parts(SequentialLR)

local sequential_arguments = arguments.signature("SequentialLR", {
  { "optimizer", "any" }, { "schedulers", "list" }, { "milestones", "list" }, { "last_epoch", "integer", -1 },
})

-- Takes back the step that each scheduler made when it was made.
local function undo(part)
  if part._schedulers then
    for _, inner in ipairs(part._schedulers) do undo(inner) end
  else
    part.last_epoch = part.last_epoch - 1
  end
end

-- The number of the scheduler whose turn it is at `epoch`.
local function turn(self, epoch)
  local i = 1
  for _, milestone in ipairs(self._milestones) do
    if milestone <= epoch then i = i + 1 end
  end
  return i
end

--- SequentialLR(optimizer, schedulers, milestones, last_epoch = -1): the second scheduler takes over at the epoch
-- milestones[1], and so on.
function SequentialLR:init(...)
  start_sequential(self)
  local optimizer, schedulers, milestones, last_epoch = sequential_arguments(...)
  if #schedulers < 1 then
    core.raise("SequentialLR", "SequentialLR expects at least one scheduler, but got no scheduler")
  end
  base.check_optimizer(self, optimizer)
  check_parts(self, schedulers, optimizer)
  if #milestones ~= #schedulers - 1 then
    core.raise("SequentialLR", "Sequential Schedulers expects number of schedulers provided to be one more than the "
      .. "number of milestone points, but got number of schedulers %d and the number of milestones to be equal to %d",
      #schedulers, #milestones)
  end
  self._schedulers, self._milestones = schedulers, milestones
  self.last_epoch, self.optimizer = last_epoch + 1, optimizer
  for _, group in ipairs(optimizer.param_groups) do base.set(group, "lr", group.initial_lr) end
  undo(self)
  local first = schedulers[turn(self, 0)]
  first:_initial_step()
  self._last_lr = first:get_last_lr()
end

--- Steps the scheduler whose turn it is; at its milestone it starts with its epoch 0.
function SequentialLR:step()
  self.last_epoch = self.last_epoch + 1
  local i = turn(self, self.last_epoch)
  local part = self._schedulers[i]
  if i > 1 and self._milestones[i - 1] == self.last_epoch then part:_update_lr(0) else part:step() end
  self._last_lr = part:get_last_lr()
end

return { ChainedScheduler = ChainedScheduler, SequentialLR = SequentialLR, ReduceLROnPlateau = ReduceLROnPlateau }
