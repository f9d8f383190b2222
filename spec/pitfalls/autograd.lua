--- Mistakes with gradients and optimisers, made on purpose: see support/pitfalls.lua.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local pitfalls = dofile(here .. "/../support/pitfalls.lua")
local mistake, right, warns = pitfalls.mistake, pitfalls.right, pitfalls.warns
local next_line, train_step = pitfalls.next_line, pitfalls.train_step
local warnings_of = pitfalls.warnings_of
local nn, F, optim = torch.nn, torch.nn.functional, torch.optim

describe("autograd", function()
  it("8 gradients that pile up because zero_grad was forgotten warn once", function()
    local net, x = nn.Linear(2, 1), torch.ones(3, 2)
    local function steps(options, clear)
      local optimizer = optim.SGD(net:parameters(), options)
      for _ = 1, 4 do
        if clear then optimizer:zero_grad() end
        net(x):sum():backward()
        optimizer:step()
      end
    end
    net:zero_grad()
    warns(function() steps { lr = 0.1 } end, "gradients pile up", "zero_grad()", "{accumulate = true}")
    net:zero_grad()
    right(function() return steps({ lr = 0.1 }, true) end)
    right(function() return steps { lr = 0.1, accumulate = true } end)
  end)

  it("9 a write that breaks backward is named with its line and what saved the tensor, in anomaly mode with both lines",
    function()
    local function leaf() return torch.randn(3, { requires_grad = true }) end
    -- Each saves a tensor on the line of lines[1] and writes to it on that of lines[2].
    local broken = {
      function(lines)
        local x = leaf()
        lines[1] = next_line()
        local y = x:exp()
        lines[2] = next_line()
        y:add_(1)
        return y, "ExpBackward0"
      end,
      function(lines)
        local x, w = leaf(), leaf()
        lines[1] = next_line()
        local y = x * w
        lines[2] = next_line()
        torch.no_grad(function() w:mul_(2) end)
        return y, "MulBackward0"
      end,
      function(lines)
        local h = leaf() * 1
        lines[1] = next_line()
        local y = torch.tanh(h) + h ^ 2
        lines[2] = next_line()
        h[2] = 5
        return y, "PowBackward0"
      end,
      function(lines)
        local h = leaf() * 1
        lines[1] = next_line()
        local y = h * h
        local part = h[{ { 2, 3 } }]
        lines[2] = next_line()
        part:zero_()
        return y, "MulBackward0"
      end,
      function(lines)
        local h = leaf() * 1
        lines[1] = next_line()
        local y = h:sigmoid()
        lines[2] = next_line()
        F.relu_(y)
        return y, "SigmoidBackward0"
      end,
      function(lines)
        local net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        local optimizer = optim.Adam(net:parameters())
        lines[1] = next_line()
        local loss = net(torch.ones(1, 2)):sum()
        loss:backward { retain_graph = true }
        lines[2] = next_line()
        optimizer:step()
        return loss, "LinearBackward0"
      end,
    }
    for i, make in ipairs(broken) do
      local lines = {}
      local y, name = make(lines)
      local message = mistake(function() y:sum():backward() end,
        "one of the variables needed for gradient computation has been modified by an inplace operation",
        name .. " saved", "is at version", "expected version", "it was written at ", lines[2] .. ".", "clone",
        "set_detect_anomaly(true)", "names the line of " .. name)
      assert.is_nil(message:find(lines[1], 1, true), i)
      torch.autograd.set_detect_anomaly(true, function()
        local z = make(lines)
        mistake(function() z:sum():backward() end, name .. " saved at ", lines[1] .. ",", "written at ",
          lines[2] .. ".")
      end)
    end
    -- Several writes before the first backward are all remembered.
    local results = {}
    for i = 1, 8 do results[i] = leaf():exp() end
    local line = next_line()
    for i = 1, 8 do results[i]:add_(1) end
    for i = 1, 8 do
      mistake(function() results[i]:sum():backward() end, "it was written at ", line .. ".")
    end
    local x = torch.zeros(3, { requires_grad = true })
    right(function() (x:exp() + 1):sum():backward() end)
    assert.same({ 1, 1, 1 }, x.grad:tolist())
    -- What backward has given back may be written.
    local y = leaf():exp()
    y:sum():backward()
    right(function() return torch.no_grad(function() y:add_(1) end) end)
  end)

  it("10 a leaf is refused before it is written", function()
    local x = torch.ones(3, { requires_grad = true })
    for _, write in ipairs {
      function() x:add_(1) end, function() x[1] = 5 end, function() x:fill_(0) end,
      function() x[{ { 1, 2 } }]:zero_() end,
    } do
      mistake(write, "a leaf Variable that requires grad is being used in an in-place operation", "torch.no_grad")
      assert.same({ 1, 1, 1 }, x:tolist())
    end
    right(function() return torch.no_grad(function() x:add_(1) end) end)
    assert.same({ 2, 2, 2 }, x:tolist())
  end)

  it("11 backward through a state that was kept names it: detach first, retain_graph last", function()
    local w = torch.ones(3, { requires_grad = true })
    local place
    local function steps(detach)
      local h = torch.ones(3)
      for _ = 1, 2 do
        if detach then h = h:detach() end
        place = next_line()
        h = (h * w):tanh()
        h:sum():backward()
      end
    end
    local message = mistake(steps, "Trying to backward through the graph a second time", "the result of TanhBackward0",
      ":detach() it there", "retain_graph = true", "set_detect_anomaly(true)")
    assert.is_true(message:find(":detach()", 1, true) < message:find("retain_graph", 1, true))
    torch.autograd.set_detect_anomaly(true, function()
      mistake(steps, "the result of TanhBackward0, made at", place)
    end)
    local lstm = nn.LSTM(2, 3)
    local function states(detach)
      local state
      for _ = 1, 3 do
        local out
        out, state = lstm(torch.ones(4, 1, 2), state)
        out:sum():backward()
        if detach then for i, s in ipairs(state) do state[i] = s:detach() end end
      end
    end
    mistake(states, "second time", ":detach()")
    right(function() return states(true) end)
    local function twice(options)
      local loss = (w * w):sum()
      loss:backward(options)
      loss:backward()
    end
    mistake(twice, "second time", "retain_graph = true")
    right(function() return twice { retain_graph = true } end)
    right(function() return steps(true) end)
  end)

  it("12 a running sum that keeps every step's graph warns once, one of numbers does not", function()
    local x = torch.ones(3, 2)
    local function train(add, n)
      collectgarbage() -- graphs of other tests do not count
      local net = nn.Linear(2, 1)
      local optimizer = optim.SGD(net:parameters(), { lr = 0.01 })
      local total = 0
      for _ = 1, n do total = add(total, train_step(net, optimizer, x)) end
      return total
    end
    warns(function() train(function(total, loss) return total + loss end, 600) end, "SGD.step()",
      "the graph has grown over the last 128 steps", "running sum of losses", "loss:item()", "loss:detach()")
    local kept = {}
    warns(function() train(function(_, loss) kept[#kept + 1] = loss end, 300) end, "the graph has grown")
    right(function()
      train(function(total, loss) return total + loss:item() end, 1100)
      train(function(total, loss) return total + loss:detach() end, 600)
    end)
    -- A meter that is given the loss keeps its value only.
    local bar = torch.utils.progress(600, { file = { write = function() end, flush = function() end } })
    right(function() train(function(_, loss) bar:set { loss = loss } end, 600) end)
  end)

  it("13 backward of a tensor without gradient says why", function()
    local x = torch.ones(3, { requires_grad = true })
    local text = "element 1 of tensors does not require grad and does not have a grad_fn"
    mistake(function() torch.ones(3):sum():backward() end, text, "without requires_grad (data, frozen parameters)")
    mistake(function() torch.no_grad(function() return x:sum() end):backward() end, text, "under torch.no_grad")
    mistake(function() x:sum():detach():backward() end, text, "detach()")
    mistake(function()
      local y
      do
        local _ <close> = torch.inference_mode()
        y = x:sum()
      end
      y:backward()
    end, text, "inference_mode")
    mistake(function() torch.tensor { 1, 2 }:sum():backward() end, text, "int64", "integers, which has no gradient")
    mistake(function() nn.Linear(2, 1):requires_grad_(false)(torch.ones(1, 2)):sum():backward() end, text, "frozen",
      "Set requires_grad")
    right(function() x:sum():backward() end)
    assert.same({ 1, 1, 1 }, x.grad:tolist())
  end)

  it("14 backward of several elements names the shape, sum and mean", function()
    local x = torch.ones(2, 3, { requires_grad = true })
    mistake(function() (x * 2):backward() end, "grad can be implicitly created only for scalar outputs", "[2, 3]",
      ":sum()", ":mean()")
    right(function() (x * 2):mean():backward() end)
    right(function() (x * 2):backward(torch.ones(2, 3)) end)
  end)

  it("15 the .grad of a tensor that is no leaf warns with the script's line", function()
    local x = torch.ones(3, { requires_grad = true })
    local y = x * 2
    warns(function() return y.grad end, "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed",
      ".retain_grad()")
    y:retain_grad()
    y:sum():backward()
    assert.same({ 1, 1, 1 }, right(function() return y.grad end):tolist())
  end)

  it("30 anomaly mode names the first operation that gives NaN, and its line", function()
    local x = torch.zeros(3, { requires_grad = true })
    x:norm():backward()
    assert.same({ 0, 0, 0 }, x.grad:tolist())
    x.grad = nil
    torch.where(x:gt(0), x:sqrt(), x):sum():backward()
    assert.is_true(x.grad:isnan():all():item())
    local place
    warnings_of(function()
      mistake(function()
        torch.autograd.detect_anomaly(function()
          place = next_line()
          local y = x:sqrt()
          torch.where(x:gt(0), y, x):sum():backward()
        end)
      end, "Function 'SqrtBackward0' returned nan values in its 0th output", "made at", place)
    end)
    x.grad = nil
    local safe = torch.where(x:gt(0), x, torch.ones(3))
    right(function() torch.where(x:gt(0), safe:sqrt(), x):sum():backward() end)
    assert.same({ 1, 1, 1 }, x.grad:tolist())
  end)

  it("40 gradients that vanish are seen in a report of every parameter's norm", function()
    local net = nn.Sequential()
    for i = 1, 8 do net:append(nn.Linear(4, 4)):append(nn.Sigmoid()); net[2 * i - 1].weight:detach():mul_(0.5) end
    nn.MSELoss()(net(torch.randn(5, 4)), torch.zeros(5, 4)):backward()
    local report = right(function() return torch.utils.gradient_report(net) end)
    local first, last = report:match("1%.weight +(%S+) +%[4, 4%]"), report:match("15%.weight +(%S+) +%[4, 4%]")
    assert.is_true(tonumber(first) < tonumber(last) / 1000, report)
    assert.equal(string.format("%.2e", net[1].weight.grad:norm():item()), first)
    net:zero_grad()
    assert.is_truthy(torch.utils.gradient_report(net):find("no gradient", 1, true))
  end)
end)
