--- What learning-rate schedulers refuse and warn about, resuming, state dicts. Their rates are in
-- optim_golden_spec.lua.
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local optim, nn, lrs = torch.optim, torch.nn, torch.optim.lr_scheduler
local check, refuses = near.check, near.refuses

local function sgd(options, groups)
  local params = {}
  for i = 1, groups or 1 do params[i] = { params = nn.Parameter(torch.zeros(1)) } end
  return optim.SGD(params, options or { lr = 0.5 })
end

describe("stepping a scheduler", function()
  it("before the optimiser warns once, with PyTorch's words", function()
    local optimizer = sgd()
    local said = warnings_of(function()
      local scheduler = lrs.StepLR(optimizer, 3)
      for _ = 1, 3 do scheduler:step() end
    end)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 "
      .. "and later, you should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.", 1,
      true))
  end)

  it("after it does not, whatever was stepped before there was a scheduler", function()
    local optimizer = sgd()
    assert.same({}, warnings_of(function()
      local scheduler = lrs.StepLR(optimizer, 3)
      optimizer:step()
      scheduler:step()
      local second = lrs.StepLR(optimizer, 3) -- the optimiser was stepped under a scheduler already
      second:step()
    end))
    local early = sgd()
    early:step()
    assert.equal(1, #warnings_of(function() lrs.StepLR(early, 3):step() end))
  end)

  it("warns when step() was put over since", function()
    local optimizer = sgd()
    local scheduler = lrs.StepLR(optimizer, 3)
    optimizer.step = function() end
    local said = warnings_of(function() scheduler:step() end)
    assert.is_truthy(said[1]:find("Seems like `optimizer.step()` has been overridden after learning rate scheduler "
      .. "initialization.", 1, true))
  end)

  it("returns what the optimiser returns", function()
    local optimizer = sgd()
    lrs.StepLR(optimizer, 3)
    assert.equal(7, optimizer:step(function() return 7 end))
  end)

  it("warns about get_lr() from outside", function()
    local scheduler = lrs.ExponentialLR(sgd(), 0.5)
    local rates
    local said = warnings_of(function() rates = scheduler:get_lr() end)
    assert.same({ 0.25 }, rates)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("please use `get_last_lr()`", 1, true))
    assert.same({ 0.5 }, scheduler:get_last_lr())
  end)

  it("sets a tensor of a rate in place", function()
    local rate = torch.tensor(0.5)
    local optimizer = sgd { lr = rate }
    local scheduler = lrs.ExponentialLR(optimizer, 0.5)
    optimizer:step()
    scheduler:step()
    assert.equal(0.25, rate:item())
    assert.equal(rate, optimizer.param_groups[1].lr)
    assert.equal(0.25, scheduler:get_last_lr()[1]:item())
  end)

  it("after a group was added says so", function()
    local optimizer = sgd()
    local scheduler = lrs.LambdaLR(optimizer, function() return 1 end)
    optimizer:add_param_group { params = nn.Parameter(torch.zeros(1)) }
    optimizer:step()
    refuses(function() scheduler:step() end, "the optimizer has 2 parameter groups, but the scheduler was made for 1")
  end)

  it("past the end of OneCycleLR is an error", function()
    local optimizer = sgd()
    local scheduler = lrs.OneCycleLR(optimizer, { max_lr = 1, total_steps = 3 })
    optimizer:step()
    for _ = 1, 3 do scheduler:step() end
    refuses(function() scheduler:step() end, "Tried to step 4 times. The specified number of total steps is 3")
  end)

  it("of ReduceLROnPlateau takes numbers and tensors", function()
    local optimizer = sgd()
    local scheduler = lrs.ReduceLROnPlateau(optimizer, { patience = 0 })
    scheduler:step { metrics = 1 }
    scheduler:step(torch.tensor(2.0))
    check(0.05, optimizer.param_groups[1].lr)
    check({ 0.05 }, scheduler:get_last_lr())
    refuses(function() scheduler:step() end, "missing 1 required positional argument: 'metrics'", "not nil")
  end)
end)

describe("step by name", function()
  it("takes the epoch", function()
    local optimizer = sgd()
    local scheduler = lrs.ExponentialLR(optimizer, 0.5)
    optimizer:step { closure = function() return 1 end }
    warnings_of(function() scheduler:step { epoch = 3 } end)
    check({ 0.0625 }, scheduler:get_last_lr())
    local second = lrs.CosineAnnealingWarmRestarts(sgd(), 2)
    second:step { epoch = 1 }
    check({ 0.25 }, second:get_last_lr())
  end)
end)

describe("resuming", function()
  it("needs the start's rates", function()
    refuses(function() lrs.StepLR(sgd(), 3, { last_epoch = 4 }) end,
      "param 'initial_lr' is not specified in param_groups[1] when resuming scheduler with last_epoch >= 0")
  end)

  it("goes on from the epoch given", function()
    local optimizer = sgd { lr = 0.5 }
    optimizer.param_groups[1].initial_lr = 2.0
    local scheduler = lrs.StepLR(optimizer, 4, 0.5, 2) -- the step that makes it goes to epoch 3
    assert.equal(3, scheduler.last_epoch)
    assert.same({ 0.5 }, scheduler:get_last_lr())
    optimizer:step()
    scheduler:step()
    assert.same({ 0.25 }, scheduler:get_last_lr())
  end)

  it("loads the fields of objects that can be called", function()
    local callable = setmetatable({ factor = 2 }, { __call = function(self) return self.factor end })
    local scheduler = lrs.LambdaLR(sgd(), callable)
    local saved = scheduler:state_dict()
    assert.same({ { factor = 2 } }, saved.lr_lambdas)
    assert.same({ torch.none }, lrs.LambdaLR(sgd(), function() return 1 end):state_dict().lr_lambdas)
    saved.lr_lambdas[1].factor = 3
    scheduler:load_state_dict(saved)
    assert.equal(3, callable.factor)
    assert.equal(callable, scheduler.lr_lambdas[1])
    refuses(function() scheduler:load_state_dict(3) end, "expected a state dict, but got integer")
  end)
end)

describe("a scheduler of one's own", function()
  it("inherits from LRScheduler", function()
    local Halving = nn.class("Halving", lrs.LRScheduler)
    function Halving:get_lr()
      local rates = {}
      for i, rate in ipairs(self.base_lrs) do rates[i] = rate / 2 ^ self.last_epoch end
      return rates
    end
    local optimizer = sgd()
    local scheduler = Halving(optimizer)
    optimizer:step()
    scheduler:step()
    assert.equal(0.25, optimizer.param_groups[1].lr)
    refuses(function() nn.class("Nothing", lrs.LRScheduler)(sgd()) end, "get_lr is not implemented")
  end)
end)

describe("wrong settings are refused", function()
  it("for every scheduler: no optimiser, unknown names", function()
    for name, cls in pairs(lrs) do
      if name ~= "ChainedScheduler" and name ~= "SequentialLR" and name ~= "_LRScheduler" then
        local rest = ({
          LambdaLR = { function() return 1 end }, MultiplicativeLR = { function() return 1 end }, StepLR = { 1 },
          MultiStepLR = { { 1 } }, ExponentialLR = { 1 }, CosineAnnealingLR = { 1 }, CyclicLR = { 1, 2 },
          CosineAnnealingWarmRestarts = { 1 }, OneCycleLR = { 1, 10 },
        })[name] or {}
        refuses(function() cls(3, table.unpack(rest)) end, name, "integer is not an Optimizer")
        if name ~= "LRScheduler" then
          rest[#rest + 1] = { unknown = 1 }
          refuses(function() cls(sgd(), table.unpack(rest)) end, "unexpected keyword argument 'unknown'")
        end
      end
    end
  end)

  it("of one formula", function()
    refuses(function() lrs.LambdaLR(sgd(nil, 2), { print }) end, "Expected 2 lr_lambdas, but got 1")
    refuses(function() lrs.MultiplicativeLR(sgd(), 3) end, "lr_lambda should be a function, but got integer")
    refuses(function() lrs.StepLR(sgd()) end, "\"step_size\"")
    refuses(function() lrs.StepLR(sgd(), 0) end, "step_size is 0")
    refuses(function() lrs.ConstantLR(sgd(), 1.5) end,
      "Constant multiplicative factor expected to be between 0 and 1", "1.5")
    refuses(function() lrs.LinearLR(sgd(), 0) end,
      "Starting multiplicative factor expected to be greater than 0 and less or equal to 1", "0")
    refuses(function() lrs.LinearLR(sgd(), 1, 1.5) end, "Ending multiplicative factor expected to be between 0 and 1")
    refuses(function() lrs.CosineAnnealingWarmRestarts(sgd(), 0) end, "Expected positive integer T_0, but got 0")
    refuses(function() lrs.CosineAnnealingWarmRestarts(sgd(), 1.5) end, "Expected positive integer T_0, but got 1.5")
    refuses(function() lrs.CosineAnnealingWarmRestarts(sgd(), 2, 0) end, "Expected integer T_mult >= 1, but got 0")
    refuses(function() lrs.CosineAnnealingWarmRestarts(sgd(), 2):step(-1) end,
      "Expected non-negative epoch, but got -1")
    local zero = lrs.ConstantLR(sgd(), 0, 1)
    refuses(function() warnings_of(function() zero:step() end) end, "float division by zero")
  end)

  it("of cycles", function()
    refuses(function() lrs.CyclicLR(sgd(), 0.1, 1, { mode = "square" }) end, "mode is invalid and scale_fn is None",
      "square")
    refuses(function() lrs.CyclicLR(sgd(nil, 2), { 0.1 }, 1) end,
      "base_lr must have the same length as optimizer.param_groups. base_lr has 1 values, param_groups has 2")
    local plain = optim.Adagrad { nn.Parameter(torch.zeros(1)) }
    refuses(function() lrs.CyclicLR(plain, 0.1, 1) end,
      "optimizer must support momentum or beta1 with `cycle_momentum` option enabled", "Adagrad")
    lrs.CyclicLR(plain, 0.1, 1, { cycle_momentum = false })
    refuses(function() lrs.OneCycleLR(sgd(), 1) end,
      "You must define either total_steps OR (epochs AND steps_per_epoch)")
    refuses(function() lrs.OneCycleLR(sgd(), 1, -3) end, "Expected positive integer total_steps, but got -3")
    refuses(function() lrs.OneCycleLR(sgd(), 1, { epochs = 0, steps_per_epoch = 2 }) end,
      "Expected positive integer epochs, but got 0")
    refuses(function() lrs.OneCycleLR(sgd(), 1, 5, { pct_start = 1.5 }) end,
      "Expected float between 0 and 1 pct_start, but got 1.5")
    refuses(function() lrs.OneCycleLR(sgd(), 1, 5, { anneal_strategy = "step" }) end,
      "anneal_strategy must be one of 'cos' or 'linear', instead got step")
    assert.equal(6, lrs.OneCycleLR(sgd(), 1, { epochs = 3, steps_per_epoch = 2 }).total_steps)
  end)

  it("of ReduceLROnPlateau", function()
    refuses(function() lrs.ReduceLROnPlateau(sgd(), { factor = 1.0 }) end, "Factor should be < 1.0")
    refuses(function() lrs.ReduceLROnPlateau(sgd(), "both") end, "mode both is unknown!")
    refuses(function() lrs.ReduceLROnPlateau(sgd(), { threshold_mode = "no" }) end, "threshold mode no is unknown!")
    refuses(function() lrs.ReduceLROnPlateau(sgd(nil, 2), { min_lr = { 1 } }) end, "expected 2 min_lrs, got 1")
  end)

  it("of schedulers made of schedulers", function()
    local optimizer = sgd()
    local part, plateau = lrs.StepLR(optimizer, 1), lrs.ReduceLROnPlateau(optimizer)
    refuses(function() lrs.ChainedScheduler({}) end,
      "ChainedScheduler expects at least one scheduler to be chained, but got no scheduler")
    refuses(function() lrs.ChainedScheduler({ part, 3 }) end, "index 2", "integer")
    refuses(function() lrs.ChainedScheduler({ part, plateau }) end,
      "ChainedScheduler does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs", "index 2")
    refuses(function() lrs.ChainedScheduler({ part, lrs.StepLR(sgd(), 1) }) end,
      "ChainedScheduler expects all schedulers to belong to the same optimizer, but got scheduler StepLR at index 2")
    refuses(function() lrs.SequentialLR(optimizer, {}, {}) end, "SequentialLR expects at least one scheduler")
    refuses(function() lrs.SequentialLR(optimizer, { part }, { 3 }) end,
      "got number of schedulers 1 and the number of milestones to be equal to 1")
    refuses(function() lrs.SequentialLR(sgd(), { part }, {}) end, "belong to the same optimizer")
  end)
end)
