--- Optimisers against PyTorch's runs (spec/golden/nn.lua), and what they refuse.
local torch = require "moontorch"
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
    local function warnings_of(options, clear)
      local a = nn.Parameter(torch.ones(1))
      local optimizer, said, warn = optim.SGD({ a }, options), {}, torch.warn
      torch.warn = function(text) said[#said + 1] = text end
      local ok, message = pcall(function()
        for _ = 1, 4 do
          if clear then clear(optimizer, a) end
          a:sum():backward()
          optimizer:step()
        end
      end)
      torch.warn = warn
      assert(ok, message)
      return said
    end
    local said = warnings_of({})
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("gradients pile up", 1, true))
    assert.is_truthy(said[1]:find("zero_grad()", 1, true))
    assert.same({}, warnings_of({ accumulate = true }))
    assert.same({}, warnings_of({}, function(o) o:zero_grad() end))
    assert.same({}, warnings_of({}, function(o) o:zero_grad { set_to_none = false } end))
    assert.same({}, warnings_of({}, function(_, a) a.grad = nil end))
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
    refuses(function() optim.SGD({ { params = p, learn = 3 } }) end, "unexpected option 'learn'", "lr")
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
end)
