--- Behaviour of optimisers and schedulers that PyTorch's documentation and test suite show beside their numbers.
-- Expectations are PyTorch's, positions counted from 1.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local warnings_of = dofile(here .. "/support/warnings.lua")
local nn, optim = torch.nn, torch.optim
local refuses = near.refuses

local function parameter()
  local p = nn.Parameter(torch.ones(2))
  p.grad = torch.ones(2)
  return p
end

describe("parameter groups", function()
  it("keep fields of one's own, and print them", function()
    local optimizer = optim.SGD({ { params = parameter(), name = "body", scale = 3 } }, { lr = 0.5 })
    assert.equal("body", optimizer.param_groups[1].name)
    assert.equal("SGD (\nParameter Group 1\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: "
      .. "None\n    lr: 0.5\n    maximize: False\n    momentum: 0\n    name: body\n    nesterov: False\n    scale: 3\n"
      .. "    weight_decay: 0\n)", tostring(optimizer))
    local other = optim.SGD({ { params = parameter() } }, { lr = 0.5 })
    other:load_state_dict(optimizer:state_dict())
    assert.equal("body", other.param_groups[1].name)
  end)

  it("warn of a field that is nearly an option", function()
    local said = warnings_of(function() optim.SGD({ { params = parameter(), momentun = 0.5 } }) end)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("field 'momentun', which is no option of this optimizer; did you mean 'momentum'?", 1,
      true))
    assert.same({}, warnings_of(function() optim.SGD({ { params = parameter(), name = "x", initial_lr = 1 } }) end))
  end)
end)

describe("hooks of step", function()
  it("get keywords, and may return them", function()
    local optimizer, seen = optim.SGD({ parameter() }, { lr = 0.1 }), {}
    local handle = optimizer:register_step_pre_hook(function(o, args, kwargs)
      seen[#seen + 1] = { o == optimizer, #args, next(kwargs) == nil }
      return args, kwargs
    end)
    optimizer:register_step_post_hook(function(_, args, kwargs) seen[#seen + 1] = { #args, type(kwargs) } end)
    optimizer:step()
    assert.same({ { true, 0, true }, { 0, "table" } }, seen)
    handle:remove()
    optimizer:step(function() return 5 end)
    assert.same({ 1, "table" }, seen[3])
    optimizer:register_step_pre_hook(function() return {}, 3 end)
    refuses(function() optimizer:step() end, "must return None or a tuple of (new_args, new_kwargs), but got integer")
  end)

  it("go with the scope of their handle", function()
    local optimizer, count = optim.SGD({ parameter() }, { lr = 0.1 }), 0
    do
      local _ <close> = optimizer:register_step_post_hook(function() count = count + 1 end)
      optimizer:step()
    end
    optimizer:step()
    assert.equal(1, count)
  end)

  it("and the closure may be objects that can be called", function()
    local optimizer = optim.SGD({ parameter() }, { lr = 0.1 })
    assert.equal(7, optimizer:step(setmetatable({}, { __call = function() return 7 end })))
  end)
end)

describe("hyper-parameters that are tensors", function()
  it("decay rates", function()
    local a, b = parameter(), parameter()
    local plain = optim.Adam({ a }, { lr = 0.1, betas = { 0.5, 0.75 } })
    local given = optim.Adam({ b }, { lr = torch.tensor(0.1), betas = { torch.tensor(0.5), torch.tensor(0.75) } })
    for _ = 1, 3 do
      plain:step()
      given:step()
    end
    near.check(a:tolist(), b, 1e-6)
    assert.equal(1, a:lt(1):sum():item() // 2)
  end)

  for _, case in ipairs {
    { { betas = { torch.tensor(0.5), 0.5 } }, "betas must be either both floats or both Tensors" },
    { { betas = { torch.ones(2), torch.tensor(0.5) } }, "Tensor betas[1] must be 1-element" },
    { { betas = { torch.tensor(1.5), torch.tensor(0.5) } }, "Invalid beta parameter at index 1: 1.5" },
    { { lr = torch.tensor(0.1), foreach = true },
      "lr as a Tensor is not supported for capturable=False and foreach=True" },
  } do
    it("refuses: " .. case[2], function()
      refuses(function() optim.Adam({ parameter() }, case[1]) end, case[2])
    end)
  end
end)

describe("the state of a parameter", function()
  it("is there when it is asked for", function()
    local Momentum = nn.class("Momentum", optim.Optimizer)
    function Momentum:init(params, lr) optim.Optimizer.init(self, params, { lr = lr }) end
    function Momentum:step()
      torch.no_grad(function()
        for _, group in ipairs(self.param_groups) do
          for _, p in ipairs(group.params) do
            local state = self.state[p]
            if next(state) == nil then state.buffer = torch.zeros_like(p) end
            state.buffer:mul_(0.5):add_(p.grad)
            p:add_(state.buffer, { alpha = -group.lr })
          end
        end
      end)
    end
    local p = parameter()
    local optimizer = Momentum({ p }, 1)
    optimizer:step()
    optimizer:step()
    assert.same({ -1.5, -1.5 }, p:tolist())
    assert.same({ 1.5, 1.5 }, optimizer:state_dict().state[1].buffer:tolist())
    local q = parameter()
    local other = Momentum({ q }, 1)
    assert.is_nil(next(other.state[q]))
    assert.is_nil(next(other:state_dict().state))
    other:load_state_dict(optimizer:state_dict())
    assert.same({ 1.5, 1.5 }, other.state[q].buffer:tolist())
    assert.is_nil(other.state.anything)
  end)
end)

describe("schedulers", function()
  it("ReduceLROnPlateau says whether it cools down", function()
    local optimizer = optim.SGD({ parameter() }, { lr = 1.0 })
    local scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, { patience = 0, cooldown = 2 })
    scheduler:step(1)
    assert.is_false(scheduler.in_cooldown)
    scheduler:step(1)
    assert.is_true(scheduler.in_cooldown)
    assert.is_nil(scheduler:state_dict().in_cooldown)
  end)

  it("may inherit from _LRScheduler", function()
    local Half = nn.class("Half", optim.lr_scheduler._LRScheduler)
    function Half:get_lr()
      local rates = {}
      for i, rate in ipairs(self.base_lrs) do rates[i] = rate / 2 ^ self.last_epoch end
      return rates
    end
    local optimizer = optim.SGD({ parameter() }, { lr = 1.0 })
    local scheduler = Half(optimizer)
    optimizer:step()
    scheduler:step()
    assert.same({ 0.5 }, scheduler:get_last_lr())
  end)
end)
