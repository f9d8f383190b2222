--- Optimisers against PyTorch's runs (spec/golden/nn.lua), and what they refuse.
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local golden = dofile(here .. "/golden/nn.lua")
local optim, nn = torch.optim, torch.nn
local check, refuses = near.check, near.refuses

-- Element i, counted from 0, is ((i * a) mod 23 - 11) / 5.
local function numbers(shape, a, dtype)
  local n, values = 1, {}
  for _, size in ipairs(shape) do n = n * size end
  for i = 0, n - 1 do values[i + 1] = ((i * a) % 23 - 11) / 5 end
  return torch.tensor(values, { dtype = dtype }):reshape(shape)
end

local function start(dtype)
  local params = {
    numbers({ 2, 3 }, 7, dtype):requires_grad_(), numbers({ 3 }, 5, dtype):requires_grad_(),
  }
  local target = numbers({ 2, 3 }, 11, dtype)
  return params, function()
    return ((params[1] * params[2] - target) ^ 2):sum() + params[1]:abs():sum()
  end
end

describe("a run of ten steps is PyTorch's", function()
  for i, case in ipairs(golden.runs) do
    it(("%s in %s, case %d"):format(case.name, case.dtype, i), function()
      local tolerance = case.dtype == "float64" and 1e-12 or 2e-5
      local params, loss = start(torch[case.dtype])
      local optimizer = optim[case.name](params, case.options)
      for step = 1, 10 do
        optimizer:zero_grad()
        local value = loss()
        value:backward()
        optimizer:step()
        check(case.losses[step], value:item(), tolerance, "loss " .. step)
      end
      check(case.first, params[1], tolerance)
      check(case.second, params[2], tolerance)
    end)
  end
end)

describe("groups", function()
  it("have options of their own; the defaults fill in", function()
    local a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    local optimizer = optim.SGD({ { params = { a } }, { params = b, lr = 0.5 } }, { lr = 0.25, momentum = 0.9 })
    assert.equal(0.25, optimizer.param_groups[1].lr)
    assert.equal(0.5, optimizer.param_groups[2].lr)
    assert.equal(0.9, optimizer.param_groups[2].momentum)
    a.grad, b.grad = torch.ones(1), torch.ones(1)
    optimizer:step()
    assert.equal(-0.25, a:item())
    assert.equal(-0.5, b:item())
    local c = nn.Parameter(torch.zeros(1))
    optimizer:add_param_group { params = { c }, lr = 2 }
    assert.equal(3, #optimizer.param_groups)
  end)

  it("may come from named_parameters, one group, or positional settings", function()
    local layer = nn.Linear(2, 1)
    local optimizer = optim.Adam(layer:named_parameters())
    assert.equal(2, #optimizer.param_groups[1].params)
    assert.same({ "weight", "bias" }, optimizer.param_groups[1].param_names)
    assert.equal(0.3, optim.SGD(layer:parameters(), 0.3, 0.5).param_groups[1].lr)
    assert.equal(1, #optim.SGD({ params = layer:parameters() }, { lr = 1 }).param_groups)
  end)

  it("skip parameters without a gradient", function()
    local a = nn.Parameter(torch.ones(1))
    optim.Adam({ a }):step()
    assert.equal(1, a:item())
  end)
end)

describe("an optimiser of one's own", function()
  it("inherits groups, defaults, zero_grad and state dicts from optim.Optimizer", function()
    local Signs = nn.class("Signs", optim.Optimizer)
    function Signs:init(params, lr) optim.Optimizer.init(self, params, { lr = lr }) end
    function Signs:step()
      torch.no_grad(function()
        for _, group in ipairs(self.param_groups) do
          for _, p in ipairs(group.params) do p:add_(p.grad:sign(), { alpha = -group.lr }) end
        end
      end)
    end
    local a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))
    local optimizer = Signs({ { params = { a } }, { params = { b }, lr = 0.25 } }, 0.5)
    local loss = (a * torch.tensor { 3.0, -2.0 }):sum() + b * 5
    loss:backward()
    optimizer:step()
    assert.same({ 0.5, 1.5 }, a:tolist())
    assert.same({ 0.75 }, b:tolist())
    optimizer:zero_grad()
    assert.is_nil(a.grad)
    assert.equal(0.25, optimizer:state_dict().param_groups[2].lr)
    assert.is_true(nn.isinstance(optimizer, optim.Optimizer))
  end)

  it("without step says so", function()
    local optimizer = optim.Optimizer({ nn.Parameter(torch.ones(1)) }, { lr = 1 })
    assert.same({ lr = 1 }, optimizer.defaults)
    assert.equal(1, optimizer.param_groups[1].lr)
    optimizer.param_groups[1].params[1].grad = torch.ones(1)
    refuses(function() optimizer:step() end, "update")
    refuses(function() optim.Optimizer({}, {}) end, "optimizer got an empty parameter list")
  end)
end)

describe("step and zero_grad", function()
  it("call a closure with gradients on and return its loss", function()
    local a = nn.Parameter(torch.ones(1))
    local optimizer = optim.SGD({ a }, { lr = 0.5 })
    local loss = optimizer:step(function()
      optimizer:zero_grad()
      local value = (a * 3):sum()
      value:backward()
      return value
    end)
    assert.equal(3, loss:item())
    assert.equal(-0.5, a:item())
    assert.is_true(a.is_leaf)
    refuses(function() optimizer:step(3) end, "closure must be a function, not integer")
  end)

  it("clear gradients, or fill them with zeros", function()
    local a = nn.Parameter(torch.ones(2))
    local optimizer = optim.SGD({ a }, { lr = 1 })
    a:sum():backward()
    optimizer:zero_grad { set_to_none = false }
    assert.same({ 0, 0 }, a.grad:tolist())
    optimizer:zero_grad()
    assert.is_nil(a.grad)
  end)

  it("warn once when gradients pile up, unless it is meant", function()
    local function piled(options, clear)
      local a = nn.Parameter(torch.ones(1))
      local optimizer = optim.SGD({ a }, options)
      return warnings_of(function()
        for _ = 1, 4 do
          if clear then clear(optimizer, a) end
          a:sum():backward()
          optimizer:step()
        end
      end)
    end
    local said = piled({})
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("gradients pile up", 1, true))
    assert.is_truthy(said[1]:find("zero_grad()", 1, true))
    assert.same({}, piled({ accumulate = true }))
    assert.same({}, piled({}, function(o) o:zero_grad() end))
    assert.same({}, piled({}, function(o) o:zero_grad { set_to_none = false } end))
    assert.same({}, piled({}, function(_, a) a.grad = nil end))
  end)

  it("run hooks", function()
    local a = nn.Parameter(torch.ones(1))
    local optimizer, seen = optim.SGD({ a }), {}
    local first = optimizer:register_step_pre_hook(function() seen[#seen + 1] = "pre" end)
    optimizer:register_step_post_hook(function(o) seen[#seen + 1] = o == optimizer and "post" end)
    optimizer:step()
    first:remove()
    optimizer:step()
    assert.same({ "pre", "post", "post" }, seen)
  end)
end)

describe("state dicts", function()
  for _, name in ipairs { "SGD", "Adam", "AdamW" } do
    it(name .. " goes on where it was saved", function()
      local options = { lr = 0.05 }
      if name == "SGD" then options.momentum = 0.9 end
      local params, loss = start(torch.float64)
      local other, other_loss = start(torch.float64)
      local a = optim[name](params, options)
      local function step(optimizer, f)
        optimizer:zero_grad()
        f():backward()
        optimizer:step()
      end
      for _ = 1, 3 do step(a, loss) end
      torch.no_grad(function()
        for i = 1, 2 do other[i]:copy_(params[i]) end
      end)
      local b = optim[name](other, { lr = 9 })
      b:load_state_dict(a:state_dict())
      assert.equal(0.05, b.param_groups[1].lr)
      for _ = 1, 3 do
        step(a, loss)
        step(b, other_loss)
      end
      assert.same(params[1]:tolist(), other[1]:tolist())
      assert.same(params[2]:tolist(), other[2]:tolist())
    end)
  end

  it("number parameters from 1", function()
    local a = nn.Parameter(torch.ones(2))
    local optimizer = optim.Adam { a }
    a:sum():backward()
    optimizer:step()
    local sd = optimizer:state_dict()
    assert.same({ 1 }, sd.param_groups[1].params)
    assert.equal(1, sd.state[1].step:item())
    check({ 0.1, 0.1 }, sd.state[1].exp_avg, 1e-6)
  end)

  it("that do not fit are refused and change nothing", function()
    local p, q = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    local one = optim.SGD({ p }, { lr = 0.5 })
    refuses(function() one:load_state_dict(optim.SGD({ { params = p }, { params = q } }):state_dict()) end,
      "loaded state dict has a different number of parameter groups")
    refuses(function() one:load_state_dict(optim.SGD({ p, q }):state_dict()) end,
      "loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
    refuses(function() one:load_state_dict(3) end, "'param_groups'", "got integer")
    assert.equal(0.5, one.param_groups[1].lr)
  end)
end)

describe("hooks", function()
  local function one(options)
    local a = nn.Parameter(torch.ones(1))
    a.grad = torch.ones(1)
    return optim.SGD({ a }, options), a
  end

  it("of step come before the closure and may replace it", function()
    local optimizer, order = one(), {}
    local function closure() order[#order + 1] = "closure" return 1 end
    optimizer:register_step_pre_hook(function(o, args)
      order[#order + 1] = { o == optimizer, args[1] == closure }
      return { function() order[#order + 1] = "other" return 2 end }
    end)
    optimizer:register_step_post_hook(function(_, args) order[#order + 1] = type(args[1]) end)
    assert.equal(2, optimizer:step(closure))
    assert.same({ { true, true }, "other", "function" }, order)
    optimizer:register_step_pre_hook(function() return 3 end)
    refuses(function() optimizer:step() end, "must return None or a tuple of (new_args, new_kwargs)",
      "integer")
    refuses(function() optimizer:register_step_pre_hook(3) end, "expected a function, but got integer")
  end)

  it("of state dicts come before and after, prepended ones first", function()
    local optimizer, order = one({ momentum = 0.5 }), {}
    local function note(name) return function() order[#order + 1] = name end end
    optimizer:register_state_dict_pre_hook(note "pre")
    optimizer:register_state_dict_post_hook(function(_, state_dict)
      order[#order + 1] = "post"
      return { state = state_dict.state, param_groups = state_dict.param_groups, more = 1 }
    end)
    local first = optimizer:register_state_dict_pre_hook(note "first", { prepend = true })
    local saved = optimizer:state_dict()
    assert.same({ "first", "pre", "post" }, order)
    assert.equal(1, saved.more)
    first:remove()
    order = {}
    optimizer:register_load_state_dict_pre_hook(function(_, state_dict)
      assert.not_equal(saved, state_dict)
      order[#order + 1] = "load"
      state_dict.param_groups = { { params = { 1 }, lr = 3, momentum = 0, dampening = 0, weight_decay = 0 } }
    end)
    optimizer:register_load_state_dict_post_hook(function(o) order[#order + 1] = o.param_groups[1].lr end)
    optimizer:load_state_dict(saved)
    assert.same({ "load", 3 }, order)
    assert.equal(0.5, saved.param_groups[1].momentum)
    assert.is_false(optimizer.param_groups[1].nesterov) -- PyTorch's files of old have no switches
  end)
end)

describe("every optimiser", function()
  local NAMES = {
    "SGD", "Adam", "AdamW", "Adadelta", "Adagrad", "RMSprop", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "LBFGS",
  }
  for _, name in ipairs(NAMES) do
    local function closure_for(optimizer, p)
      return function()
        optimizer:zero_grad()
        local loss = (p * p):sum()
        loss:backward()
        return loss
      end
    end

    it(name .. " takes groups, parameters without gradient, a tensor as lr, and float64 by default", function()
      local a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
      local optimizer = optim[name]({ a, b }, { lr = torch.tensor(0.25) })
      local same = optim[name]({ nn.Parameter(torch.ones(2)) }, { lr = 0.25 })
      for _ = 1, 3 do optimizer:step(closure_for(optimizer, a)) end
      local p = same.param_groups[1].params[1]
      for _ = 1, 3 do same:step(closure_for(same, p)) end
      assert.same(p:tolist(), a:tolist())
      assert.same({ 1, 1 }, b:tolist())
      refuses(function() optim[name]({ a }, { lr = torch.ones(2) }) end, "Tensor lr must be 1-element")
      if name == "LBFGS" then
        refuses(function() optimizer:add_param_group { params = nn.Parameter(torch.ones(1)) } end,
          "LBFGS doesn't support per-parameter options (parameter groups)")
      else
        local c = nn.Parameter(torch.ones(1))
        optimizer:add_param_group { params = c, lr = 0.5 }
        c.grad = torch.ones(1)
        optimizer:step()
        assert.is_true(c:item() < 1)
        assert.equal(0.5, optimizer.param_groups[2].lr)
      end
    end)

    it(name .. " keeps the memory of its parameters, and refuses wrong rates", function()
      local a = nn.Parameter(torch.ones(2))
      local pointer, optimizer = a:data_ptr(), optim[name]({ a })
      optimizer:step(closure_for(optimizer, a))
      assert.equal(pointer, a:data_ptr())
      assert.is_true(a.is_leaf and a.requires_grad)
      assert.not_same({ 1, 1 }, a:tolist())
      refuses(function() optim[name]({ a }, { lr = -1 }) end, name, "Invalid learning rate: -1")
      refuses(function() optim[name]({ a }, { lr = 0 / 0 }) end, "Invalid learning rate: nan")
      refuses(function() optim[name]({ a }, { rate = 1 }) end, "unexpected keyword argument 'rate'", "lr")
      refuses(function() optim[name]({}) end, "optimizer got an empty parameter list")
    end)
  end

  it("loads what another kind of optimiser saved only if the options are there", function()
    local a = nn.Parameter(torch.ones(1))
    local optimizer = optim.Adam({ a }, { lr = 0.5 })
    refuses(function() optimizer:load_state_dict(optim.SGD({ a }):state_dict()) end,
      "parameter group 1 of the loaded state dict has no '")
    assert.equal(0.5, optimizer.param_groups[1].lr)
    refuses(function() optimizer:state_dict { index_base = 2 } end, "index_base must be 0 (PyTorch's numbers) or 1")
  end)

  it("loads files of old: AdamW stays AdamW, amsgrad off ignores its state", function()
    local function one(name, options)
      local a = nn.Parameter(torch.ones(1))
      a.grad = torch.full({ 1 }, 0.5)
      return optim[name]({ a }, options), a
    end
    local a = one "AdamW"
    local saved = a:state_dict()
    saved.param_groups[1].decoupled_weight_decay = nil
    a:load_state_dict(saved)
    assert.is_true(a.param_groups[1].decoupled_weight_decay)
    local b, p = one("Adam", { amsgrad = true })
    local c, q = one "Adam"
    for _, optimizer in ipairs { b, c } do optimizer:step() end
    b.param_groups[1].amsgrad = false
    p.grad:fill_(0.01)
    q.grad:fill_(0.01)
    for _ = 1, 3 do
      b:step()
      c:step()
    end
    assert.equal(q:item(), p:item())
  end)

  it("keeps its counters in the default dtype, as PyTorch does", function()
    local a = nn.Parameter(torch.ones(1))
    a.grad = torch.ones(1)
    local optimizer = optim.NAdam { a }
    optimizer:step()
    assert.equal(torch.float32, optimizer:state_dict().state[1].step.dtype)
    assert.equal(torch.float32, optimizer:state_dict().state[1].mu_product.dtype)
    torch.set_default_dtype(torch.float64)
    local other = optim.NAdam { a }
    local ok, message = pcall(function()
      other:step()
      assert.equal(torch.float64, other:state_dict().state[1].step.dtype)
      assert.equal(torch.float64, other:state_dict().state[1].mu_product.dtype)
    end)
    torch.set_default_dtype(torch.float32)
    assert(ok, message)
  end)

  it("takes over a dict whose parameters share tensors", function()
    local a = nn.Parameter(torch.ones(1))
    a.grad = torch.ones(1)
    local optimizer = optim.Adam { a }
    optimizer:step()
    local saved = optimizer:state_dict()
    optimizer:load_state_dict(saved)
    a.grad = torch.ones(1)
    optimizer:step()
    near.check({ 0.1 }, saved.state[1].exp_avg, 1e-6) -- loading copied it
  end)

  it("gives Adagrad's state from the start, LBFGS nothing without a closure", function()
    local a = nn.Parameter(torch.ones(2))
    local saved = optim.Adagrad({ a }, { initial_accumulator_value = 0.5 }):state_dict()
    assert.same({ 0.5, 0.5 }, saved.state[1].sum:tolist())
    assert.equal(0, saved.state[1].step:item())
    refuses(function() optim.LBFGS({ a }):step() end, "missing 1 required positional argument: 'closure'")
    refuses(function() optim.LBFGS({ a }, { line_search_fn = "exact" }):step(function() return 1 end) end,
      "only 'strong_wolfe' is supported")
    refuses(function() optim.LBFGS({ a }):step(function() end) end, "the closure must return the loss")
    refuses(function() optim.LBFGS({ { params = a }, { params = nn.Parameter(torch.ones(1)) } }) end,
      "LBFGS doesn't support per-parameter options (parameter groups)")
  end)

  it("with PyTorch's switches computes the same, or is refused where PyTorch refuses", function()
    local function run(options)
      local a = nn.Parameter(torch.ones(2))
      a.grad = torch.tensor { 1.0, 2.0 }
      optim.Adam({ a }, options):step()
      return a:tolist()
    end
    assert.same(run {}, run { foreach = true })
    assert.same(run {}, run { fused = true })
    assert.same(run {}, run { foreach = false, fused = false })
    refuses(function() run { fused = true, foreach = true } end, "`fused` and `foreach` cannot be `True` together.")
    refuses(function() run { fused = true, differentiable = true } end, "`fused` does not support `differentiable`")
    refuses(function() run { foreach = true, differentiable = true } end, "_foreach ops don't support autograd")
    refuses(function() run { lr = torch.tensor(0.1):requires_grad_(), differentiable = true } end, "lr:detach()")
    refuses(function() run { capturable = true } end,
      "If capturable=True, params and state_steps must be on supported devices", "cpu")
  end)

  it("takes names of all parameters or of none", function()
    local a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    refuses(function() optim.SGD { { "a", a }, b } end,
      "all optimizer params should be with/without names. Some param names are missing")
    local optimizer = optim.SGD { { "a", a } }
    refuses(function() optimizer:add_param_group { params = { b } } end,
      "all optimizer param groups should be with/without names. cannot add param group without names to the optimizer")
    local saved = optimizer:state_dict()
    assert.same({ "a" }, saved.param_groups[1].param_names)
    saved.param_groups[1].param_names = nil
    optimizer:load_state_dict(saved)
    assert.same({ "a" }, optimizer.param_groups[1].param_names)
  end)
end)

describe("wrong settings are refused", function()
  local p
  before_each(function() p = nn.Parameter(torch.ones(1)) end)

  it("parameters", function()
    refuses(function() optim.SGD({}) end, "optimizer got an empty parameter list")
    refuses(function() optim.SGD() end, "missing 1 required positional arguments: \"params\"")
    refuses(function() optim.SGD(p) end, "params argument given to the optimizer should be an iterable of Tensors or "
      .. "dicts, but got torch.FloatTensor", "{p}")
    refuses(function() optim.SGD(3) end, "iterable of Tensors or dicts, but got integer")
    refuses(function() optim.SGD({ p, 1 }) end, "optimizer can only optimize Tensors, but one of the params is integer")
    refuses(function() optim.SGD({ p * 2 }) end, "can't optimize a non-leaf Tensor", "nn.Parameter")
    refuses(function() optim.SGD({ { params = p }, { params = p } }) end,
      "some parameters appear in more than one parameter group")
    refuses(function() optim.SGD({ p }):add_param_group(3) end, "param_group must be a dict, but got integer")
  end)

  it("numbers", function()
    refuses(function() optim.SGD({ p }, { lr = -1 }) end, "Invalid learning rate: -1")
    refuses(function() optim.SGD({ p }, { lr = 0 / 0 }) end, "Invalid learning rate: nan")
    refuses(function() optim.SGD({ p }, { momentum = -0.5 }) end, "Invalid momentum value: -0.5")
    refuses(function() optim.SGD({ p }, { weight_decay = -1 }) end, "Invalid weight_decay value: -1")
    refuses(function() optim.SGD({ p }, { nesterov = true }) end,
      "Nesterov momentum requires a momentum and zero dampening")
    refuses(function() optim.Adam({ p }, { lr = -1 }) end, "Invalid learning rate: -1")
    refuses(function() optim.Adam({ p }, { eps = -1 }) end, "Invalid epsilon value: -1")
    refuses(function() optim.Adam({ p }, { betas = { 1.0, 0 } }) end, "Invalid beta parameter at index 1: 1.0")
    refuses(function() optim.Adam({ p }, { betas = { 0, 1.5 } }) end, "Invalid beta parameter at index 2: 1.5")
    refuses(function() optim.AdamW({ p }, { weight_decay = -1 }) end, "AdamW", "Invalid weight_decay value: -1")
    refuses(function() optim.Adam({ p }, { lr = "x" }) end, "'lr' (position 2) must be a number, not string")
    refuses(function() optim.Adam({ p }, { learning_rate = 1 }) end, "unexpected keyword argument 'learning_rate'")
  end)

  it("of the other optimisers", function()
    refuses(function() optim.Adadelta({ p }, { rho = 1.5 }) end, "Adadelta", "Invalid rho value: 1.5")
    refuses(function() optim.Adadelta({ p }, { eps = -1 }) end, "Invalid epsilon value: -1")
    refuses(function() optim.Adagrad({ p }, { lr_decay = -1 }) end, "Invalid lr_decay value: -1")
    refuses(function() optim.Adagrad({ p }, { initial_accumulator_value = -1 }) end,
      "Invalid initial_accumulator_value value: -1")
    refuses(function() optim.RMSprop({ p }, { alpha = -0.5 }) end, "Invalid alpha value: -0.5")
    refuses(function() optim.RMSprop({ p }, { momentum = -1 }) end, "Invalid momentum value: -1")
    refuses(function() optim.Adamax({ p }, { betas = { 0.9, 1 } }) end, "Invalid beta parameter at index 2: 1")
    refuses(function() optim.NAdam({ p }, { momentum_decay = -1 }) end, "Invalid momentum_decay value: -1")
    refuses(function() optim.RAdam({ p }, { weight_decay = -1 }) end, "Invalid weight_decay value: -1")
    refuses(function() optim.ASGD({ p }, { lambd = -1 }) end, "Invalid lambd value: -1")
    refuses(function() optim.Rprop({ p }, { etas = { 1.0, 1.2 } }) end, "Invalid eta values: 1.0, 1.2")
    refuses(function() optim.Rprop({ p }, { etas = { 0.5 } }) end, "Invalid eta values: 0.5, None")
  end)
end)
