--- Optimisers and learning-rate schedulers against PyTorch's runs (spec/golden/optim.lua).
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local golden = dofile(here .. "/golden/optim.lua")
local optim, nn = torch.optim, torch.nn
local check = near.check

local TOLERANCE = { float64 = 1e-12, float32 = 1e-5, bfloat16 = 1e-2 }

-- Element i, counted from 0, is ((i * a) mod 23 - s) / 5.
local function numbers(shape, a, dtype, s)
  local n, values = 1, {}
  for _, size in ipairs(shape) do n = n * size end
  for i = 0, n - 1 do values[i + 1] = ((i * a) % 23 - (s or 11)) / 5 end
  return torch.tensor(values, { dtype = dtype }):reshape(shape)
end

local function problem(dtype)
  local params = {
    numbers({ 2, 3 }, 7, dtype):requires_grad_(), numbers({ 3 }, 5, dtype):requires_grad_(),
  }
  local target = numbers({ 2, 3 }, 11, dtype)
  return params, function()
    return ((params[1] * params[2] - target) ^ 2):sum() + params[1]:abs():sum()
  end
end

local function closure_of(optimizer, loss)
  return function()
    optimizer:zero_grad()
    local value = loss()
    value:backward()
    return value
  end
end

local function flat(t) return t:detach():flatten() end

local function check_state(wanted, state, tolerance)
  for key, value in pairs(wanted) do
    local got = state[key]
    assert.is_not_nil(got, "state has no " .. key)
    if torch.is_tensor(got) then got = type(value) == "table" and flat(got) or got:item() end
    check(value, got, tolerance, "state " .. key)
  end
  for key in pairs(state) do
    assert.is_truthy(wanted[key] ~= nil or wanted.n_iter, "state has a " .. key .. " that PyTorch's has not")
  end
end

describe("a run of twelve steps is PyTorch's", function()
  for i, case in ipairs(golden.runs) do
    it(("%s in %s, case %d"):format(case.name, case.dtype, i), function()
      local tolerance = TOLERANCE[case.dtype]
      -- Hundreds of evaluations, each of which turns on the rounding of the one before.
      if case.name == "LBFGS" and case.dtype == "float32" then tolerance = 1e-4 end
      local params, loss = problem(torch[case.dtype])
      local optimizer = optim[case.name](params, case.options)
      for step, wanted in ipairs(case.losses) do
        check(wanted, optimizer:step(closure_of(optimizer, loss)):item(), tolerance, "loss " .. step)
      end
      check(case.first, flat(params[1]), tolerance, "first")
      check(case.second, flat(params[2]), tolerance, "second")
      check_state(case.state, optimizer:state_dict().state[1], tolerance)
    end)
  end
end)

describe("a state dict taken in the middle goes on in another optimiser", function()
  for i, case in ipairs(golden.runs) do
    if case.dtype == "float32" then
      for base = 0, 1 do
        it(("%s, case %d, numbers from %d"):format(case.name, i, base), function()
          local params, loss = problem(torch.float32)
          local others, other_loss = problem(torch.float32)
          local a, b = optim[case.name](params, case.options), optim[case.name](others, { lr = 7 })
          for _ = 1, 2 do a:step(closure_of(a, loss)) end
          torch.no_grad(function()
            for k = 1, 2 do others[k]:copy_(params[k]) end
          end)
          local saved = a:state_dict { index_base = base }
          assert.same({ base, base + 1 }, saved.param_groups[1].params)
          assert.is_not_nil(saved.state[base])
          b:load_state_dict(saved, { index_base = base })
          for _ = 1, 3 do
            assert.equal(a:step(closure_of(a, loss)):item(), b:step(closure_of(b, other_loss)):item())
          end
          for k = 1, 2 do assert.same(params[k]:tolist(), others[k]:tolist()) end
        end)
      end
    end
  end
end)

describe("gradients go through differentiable steps as in PyTorch", function()
  for i, case in ipairs(golden.through) do
    it(("%s, case %d"):format(case.name, i), function()
      local x, y = numbers({ 5 }, 7, torch.float64):requires_grad_(), numbers({ 5 }, 5, torch.float64, 8)
      y:requires_grad_()
      local p = x * 2
      local options = { differentiable = true }
      for key, value in pairs(case.options) do options[key] = value end
      local optimizer = optim[case.name]({ p }, options)
      for step = 1, case.steps do
        p.grad = step == 1 and y or step == 2 and y * 0.5 or y - 1
        optimizer:step()
      end
      local value = (p ^ 2):sum()
      value:backward()
      check(case.value, value:item(), 1e-12, "value")
      check(case.x, x.grad, 1e-12, "x.grad")
      check(case.y, y.grad, 1e-12, "y.grad")
    end)
  end
end)

describe("a group in a state dict has PyTorch's options and defaults", function()
  for name, group in pairs(golden.groups) do
    it(name, function()
      local got = optim[name]({ nn.Parameter(torch.zeros(1)) }):state_dict({ index_base = 0 }).param_groups[1]
      for key, value in pairs(got) do
        if value == torch.none then got[key] = nil end -- the golden file has None as nil
      end
      assert.same(group, got)
    end)
  end
end)

describe("the text of an optimiser is PyTorch's", function()
  local one = nn.Parameter(torch.zeros(1))
  for name, text in pairs(golden.texts) do
    if name ~= "groups" then
      it(name, function() assert.equal(text, tostring(optim[name] { one })) end)
    end
  end

  it("with groups, names and a scheduler", function()
    local optimizer = optim.SGD({
      { params = { { "a", one } }, lr = 0.5 }, { params = { { "b", nn.Parameter(torch.zeros(2)) } } },
    }, { momentum = 0.9 })
    optim.lr_scheduler.OneCycleLR(optimizer, { max_lr = 0.1, total_steps = 10 })
    assert.equal(golden.texts.groups, tostring(optimizer))
  end)
end)

-- Schedulers ----------------------------------------------------------------------------------------------------------

local function two_groups(inner)
  local settings = { lr = 0.5 }
  if inner == "SGD" then settings.momentum = 0.9 end
  return optim[inner]({
    { params = nn.Parameter(torch.zeros(1)) }, { params = nn.Parameter(torch.zeros(1)), lr = 0.05 },
  }, settings)
end

-- The scheduler of a case: parts are pairs of a class and its options.
local function build(optimizer, name, options)
  local own = {}
  for key, value in pairs(options) do own[key] = value end
  if own.schedulers then
    local parts = {}
    for i, part in ipairs(own.schedulers) do parts[i] = build(optimizer, part[1], part[2]) end
    own.schedulers = parts
  end
  if name == "ChainedScheduler" then return optim.lr_scheduler[name](own) end
  return optim.lr_scheduler[name](optimizer, own)
end

local function row_of(optimizer, scheduler, wanted)
  local row = {}
  for i, group in ipairs(optimizer.param_groups) do
    row[i] = group.lr
    assert.equal(group.lr, scheduler:get_last_lr()[i])
  end
  local second = optimizer.param_groups[2]
  if #wanted > 2 then row[3] = second.betas and second.betas[1] or second.momentum end
  return row
end

-- The steps that a case makes, from `first` to `last`; every row of rates must be PyTorch's.
local function follow(case, optimizer, scheduler, first, last)
  for i = first, last do
    optimizer:step()
    if case.epochs then
      scheduler:step(case.epochs[i])
    elseif case.metrics then
      scheduler:step(case.metrics[i])
    else
      scheduler:step()
    end
    check(case.rates[i + 1], row_of(optimizer, scheduler, case.rates[i + 1]), 1e-15, "step " .. i)
  end
end

describe("learning rates are PyTorch's", function()
  for i, case in ipairs(golden.rates) do
    it(("%s, case %d"):format(case.name, i), function()
      warnings_of(function()
        local optimizer = two_groups(case.inner)
        local scheduler = build(optimizer, case.name, case.options)
        check(case.rates[1], row_of(optimizer, scheduler, case.rates[1]), 1e-15, "start")
        follow(case, optimizer, scheduler, 1, #case.rates - 1)
      end)
    end)
  end
end)

describe("state dicts of optimiser and scheduler go on in the middle", function()
  for i, case in ipairs(golden.rates) do
    it(("%s, case %d"):format(case.name, i), function()
      warnings_of(function()
        local optimizer, other = two_groups(case.inner), two_groups(case.inner)
        local a, b = build(optimizer, case.name, case.options), build(other, case.name, case.options)
        local half = (#case.rates - 1) // 2
        follow(case, optimizer, a, 1, half)
        other:load_state_dict(optimizer:state_dict())
        b:load_state_dict(a:state_dict())
        assert.is_nil(a:state_dict().optimizer)
        assert.equal(other, b.optimizer)
        follow(case, other, b, half + 1, #case.rates - 1)
      end)
    end)
  end
end)

describe("start values are PyTorch's for the same seed", function()
  for i, case in ipairs(golden.inits) do
    it(("%s, case %d"):format(case.name, i), function()
      local tolerance = case.dtype == "float64" and 1e-12 or 2e-6
      torch.manual_seed(2)
      local t = torch.empty(case.shape, { dtype = torch[case.dtype] })
      assert.equal(t, nn.init[case.name](t, case.options))
      check(case.values, flat(t), tolerance)
      assert.equal(case.after, torch.rand(1):item())
    end)
  end
end)
