--- Autograd: values from calculus, PyTorch's rules for leaves, views, in-place writes, hooks, and functions in Lua.

local torch = require "moontorch"
local near = require "spec.support.near"

local f64 = torch.float64
local function leaf(values) return torch.tensor(values, { dtype = f64, requires_grad = true }) end

describe("backward", function()
  it("accumulates into leaves and only there", function()
    local x = leaf { 1, 2, 3 }
    local y = x * 2
    y:sum():backward()
    near.check({ 2, 2, 2 }, x.grad)
    ;(x ^ 2):sum():backward()
    near.check({ 4, 6, 8 }, x.grad)
    assert.is_true(x.is_leaf)
    assert.is_false(y.is_leaf)
    assert.is_nil(x.grad_fn)
    assert.equal("MulBackward0", y.grad_fn:name())
    assert.is_false(x.grad.requires_grad)
  end)

  it("reduces gradients of broadcast operands and casts them back", function()
    local a, b = leaf { { 1 }, { 2 } }, torch.tensor({ 1, 2, 3 }, { dtype = torch.float32, requires_grad = true })
    ;(a * b):sum():backward()
    near.check({ { 6 }, { 6 } }, a.grad)
    near.check({ 3, 3, 3 }, b.grad)
    assert.equal(torch.float32, b.grad.dtype)
  end)

  it("takes a gradient for roots that are no scalars", function()
    local x = leaf { 1, 2 }
    local y = x * x
    near.refuses(function() y:backward() end, "grad can be implicitly created only for scalar outputs", "[2]", ":sum()")
    y:backward(torch.tensor({ 1, 10 }, { dtype = f64 }))
    near.check({ 2, 40 }, x.grad)
    near.refuses(function() (x * x):backward(torch.ones(3)) end, "Mismatch in shape", "[3]", "[2]")
  end)

  it("says why there is nothing to send back", function()
    near.refuses(function() torch.ones(1):backward() end, "does not require grad and does not have a grad_fn",
      "autograd_spec.lua:")
    local x = leaf { 1 }
    local y = torch.no_grad(function() return x * 2 end)
    assert.is_false(y.requires_grad)
    near.refuses(function() y:backward() end, "does not require grad", "no_grad")
    near.refuses(function() torch.tensor({ 1, 2 }, { requires_grad = true }) end, "floating point")
  end)

  it("frees the graph unless asked to keep it", function()
    local x = leaf { 1, 2 }
    local y = x:exp():sum()
    y:backward({ retain_graph = true })
    y:backward()
    near.check({ 2 * math.exp(1), 2 * math.exp(2) }, x.grad)
    near.refuses(function() y:backward() end, "Trying to backward through the graph a second time", "retain_graph")
    local z = (x + x):sum() -- nothing saved: as often as one likes
    z:backward()
    z:backward()
  end)

  it("restricts itself to the inputs named", function()
    local a, b = leaf { 1 }, leaf { 2 }
    local y = (a * b):sum()
    y:backward({ inputs = { a } })
    near.check({ 2 }, a.grad)
    assert.is_nil(b.grad)
  end)

  it("computes no gradient that nobody asked for", function()
    -- zeta has no derivative by its first argument, which only who asks for it may be told.
    local a, b = leaf { 2.5 }, leaf { 1.5 }
    local y = torch.special.zeta(a, b):sum()
    near.check({ -0.7677 }, torch.autograd.grad(y, b, { retain_graph = true }), 1e-4)
    y:backward({ inputs = { b }, retain_graph = true })
    near.check({ -0.7677 }, b.grad, 1e-4)
    assert.is_nil(a.grad)
    near.refuses(function() torch.autograd.grad(y, { a, b }, { retain_graph = true }) end,
      "the derivative for 'input' is not implemented for zeta")
    near.refuses(function() y:backward { retain_graph = true } end,
      "the derivative for 'input' is not implemented for zeta")
    -- Nor a second one: the slope by b alone leads to b and, through the saved a, to a.
    local p, q = leaf { 2 }, leaf { 3 }
    local slope = torch.autograd.grad((p * q * q):sum(), q, { create_graph = true })
    near.check({ 12 }, slope)
    near.check({ 6 }, torch.autograd.grad(slope:sum(), p, { retain_graph = true }))
    near.check({ 4 }, torch.autograd.grad(slope:sum(), q))
  end)

  it("runs no hook on the way to what was not asked for", function()
    local a, b = leaf { 2 }, leaf { 3 }
    local x, y = a * 2, b * 2
    local seen = {}
    x:register_hook(function() seen[#seen + 1] = "x" end)
    y:register_hook(function() seen[#seen + 1] = "y" end)
    a:register_hook(function() seen[#seen + 1] = "a" end)
    b:register_hook(function() seen[#seen + 1] = "b" end)
    torch.autograd.grad((x * y):sum(), a)
    assert.same({ "x", "a" }, seen)
  end)

  it("goes through 100,000 nodes", function()
    local x = leaf { 1 }
    local y = x
    for _ = 1, 100000 do y = y + 1 end
    y:backward()
    near.check({ 1 }, x.grad)
    local before = torch.memory().in_use
    y = nil -- luacheck: ignore
    collectgarbage()
    assert.is_true(torch.memory().in_use < before - 1e7)
  end)

  it("uses a value twice", function()
    local x = leaf { 3 }
    local y = x * x
    local z = y * y + y
    z:backward()
    near.check({ 4 * 27 + 6 }, x.grad)
  end)

  it("adds the gradients of parts up where they lie", function()
    local function total(t)
      local rows = torch.tensor({ { 1.0, 2.0 }, { 3.0, 4.0 }, { 5.0, 6.0 } }, { dtype = f64 })
      local sum = (t:narrow(1, 1, 3) * rows):sum() + (t:narrow(1, 2, 3) * rows):sum() * 10
      sum = sum + t[2]:sum() * 100 + t:narrow(2, 2, 0):sum()
      return sum + t[{ { 1, 4, 2 } }]:sum() * 1000 + (t * t):sum() / 2
    end
    -- by hand: the weights of the parts that an element lies in, and the element itself for the whole
    local expected = { { 1002, 1003 }, { 116, 128 }, { 1040, 1052 }, { 57, 68 } }
    local values = { { 1, 1 }, { 3, 4 }, { 5, 6 }, { 7, 8 } }
    for _, way in ipairs { "leaf", "kept", "hooked", "asked", "recorded", "watched" } do
      local x = leaf(values)
      local y, heard = x * 1, nil
      if way == "kept" then y:retain_grad() end
      if way == "hooked" then y:register_hook(function(g) heard = g end) end
      if way == "watched" then torch.autograd.set_detect_anomaly(true) end
      local loss = total(way == "leaf" and x or y)
      if way == "asked" then
        near.check(expected, (torch.autograd.grad(loss, { y })), nil, way)
      else
        loss:backward({ create_graph = way == "recorded" })
        torch.autograd.set_detect_anomaly(false)
        near.check(expected, x.grad, nil, way)
        if way == "kept" then near.check(expected, y.grad, nil, way) end
        if way == "hooked" then near.check(expected, heard, nil, way) end
      end
    end
  end)

  it("adds parts up however many there are", function()
    local x = torch.ones(300, { dtype = f64, requires_grad = true })
    local y, sum = x * 1, 0
    for i = 1, 300 do sum = sum + y[i] * i end
    sum:backward()
    assert.is_true(torch.equal(torch.arange(1, 301, { dtype = f64 }), x.grad))
  end)

  it("leaves a gradient alone that somebody else holds", function()
    local x = leaf { 1, 2, 3 }
    local y = x * 1
    local seen = {}
    y:register_hook(function(g) seen[#seen + 1] = g end)
    local whole = y + 0
    local held
    whole:register_hook(function(g) held = g end) -- the same tensor goes on to y
    local loss = (whole * leaf { 1, 1, 1 }):sum()
    local part = y:narrow(1, 2, 1):sum() * 5
    ;(loss + part):backward()
    near.check({ 1, 6, 1 }, x.grad)
    near.check({ 1, 1, 1 }, held)
  end)
end)

describe("autograd.grad", function()
  it("returns gradients and leaves .grad alone", function()
    local x, y = leaf { 2 }, leaf { 3 }
    local gx, gy = torch.autograd.grad(x * x * y, { x, y })
    near.check({ 12 }, gx)
    near.check({ 4 }, gy)
    assert.is_nil(x.grad)
  end)

  it("gives gradients of inner results", function()
    local x = leaf { 2 }
    local h = x * 3
    local z = h * h
    near.check({ 12 }, (torch.autograd.grad(z, h, { retain_graph = true })))
    near.check({ 36 }, (torch.autograd.grad(z, x)))
  end)

  it("differentiates twice and more", function()
    local x = leaf { 0.7 }
    local g1 = torch.autograd.grad(x:sin(), x, { create_graph = true })
    local g2 = torch.autograd.grad(g1, x, { create_graph = true })
    local g3 = torch.autograd.grad(g2, x)
    near.check({ math.cos(0.7) }, g1, 1e-12)
    near.check({ -math.sin(0.7) }, g2, 1e-12)
    near.check({ -math.cos(0.7) }, g3, 1e-12)
  end)

  it("explains inputs that were not used", function()
    local x, y = leaf { 1 }, leaf { 1 }
    near.refuses(function() return torch.autograd.grad(x * 2, { x, y }) end,
      "appears to not have been used in the graph",
      "allow_unused")
    local gx, gy = torch.autograd.grad(x * 2, { x, y }, { allow_unused = true })
    near.check({ 2 }, gx)
    assert.is_nil(gy)
    local _, zero = torch.autograd.grad(x * 2, { x, y }, { materialize_grads = true })
    near.check({ 0 }, zero)
  end)

  it("takes grad_outputs", function()
    local x = leaf { 1, 2 }
    near.check({ 6, 20 }, (torch.autograd.grad(x * x, x, { grad_outputs = torch.tensor({ 3, 5 }, { dtype = f64 }) })))
  end)
end)

describe("grad modes", function()
  it("are functions or to-be-closed variables, and nest", function()
    local x = leaf { 1 }
    do
      local _ <close> = torch.no_grad()
      assert.is_false(torch.is_grad_enabled())
      assert.is_true(torch.enable_grad(function() return (x * 2).requires_grad end))
      assert.is_false((x * 2).requires_grad)
    end
    assert.is_true(torch.is_grad_enabled())
    assert.same({ 1, 2 }, { torch.no_grad(function() return 1, 2 end) })
    pcall(torch.no_grad, function() error("stop") end)
    assert.is_true(torch.is_grad_enabled())
    torch.set_grad_enabled(false)
    assert.is_false(torch.is_grad_enabled())
    torch.set_grad_enabled(true)
    assert.is_false(torch.inference_mode(function() return (x * 2).requires_grad end))
  end)
end)

describe("in-place writes", function()
  it("refuse leaves and their views before anything is written", function()
    local x = leaf { 1, 2 }
    near.refuses(function() x:add_(1) end, "a leaf Variable that requires grad is being used in an in-place operation",
      "no_grad")
    near.refuses(function() x[1]:mul_(2) end,
      "a view of a leaf Variable that requires grad is being used in an in-place operation")
    near.check({ 1, 2 }, x)
    torch.no_grad(function() x:add_(1) end)
    near.check({ 2, 3 }, x)
  end)

  it("rebase the history of what they write to", function()
    local x = leaf { 1, 2, 3 }
    local y = x * 2
    y:mul_(x) -- 2 x^2
    y:sum():backward()
    near.check({ 4, 8, 12 }, x.grad)
  end)

  it("on a view change the base's history, and other views follow", function()
    local x = leaf { 1, 2, 3, 4 }
    local y = x * 1
    local other = y:narrow(1, 1, 3)
    y:narrow(1, 2, 2):mul_(10)
    near.check({ 1, 20, 30 }, other)
    other:sum():backward({ retain_graph = true })
    near.check({ 1, 10, 10, 0 }, x.grad)
    x.grad = nil
    y:sum():backward()
    near.check({ 1, 10, 10, 1 }, x.grad)
  end)

  it("of a tensor that wants gradients into one that did not make it want them", function()
    local w = leaf { 5 }
    local x = torch.zeros(3, { dtype = f64 })
    x:narrow(1, 2, 1):copy_(w * 2)
    assert.is_true(x.requires_grad)
    ;(x * torch.tensor({ 1, 2, 3 }, { dtype = f64 })):sum():backward()
    near.check({ 4 }, w.grad)
  end)

  it("through a transposed view", function()
    local x = leaf { { 1, 2 }, { 3, 4 } }
    local y = x * 1
    y:t():select(1, 1):mul_(3) -- first column
    y:sum():backward()
    near.check({ { 3, 1 }, { 3, 1 } }, x.grad)
  end)

  it("that overwrite cut the old history", function()
    local x = leaf { 1, 2 }
    local y = x * 3
    y:narrow(1, 1, 1):fill_(7)
    y:sum():backward()
    near.check({ 0, 3 }, x.grad)
    local z = x * 3
    z:zero_()
    x.grad = nil
    z:sum():backward()
    near.check({ 0, 0 }, x.grad or torch.zeros(2))
  end)

  it("break a backward that needs the old value, and say so", function()
    local x = leaf { 1, 2 }
    local y = x:exp()
    y:add_(1)
    near.refuses(function() y:sum():backward() end,
      "one of the variables needed for gradient computation has been modified by an "
      .. "inplace operation", "is at version 1; expected version 0")
  end)

  it("refuse expanded memory, shapes that grow and dtypes that shrink", function()
    near.refuses(function() torch.zeros(1):expand(3):add_(1) end,
      "more than one element of the written-to tensor refers to a "
      .. "single memory location")
    near.refuses(function() torch.zeros(2):add_(torch.ones(3, 2)) end,
      "output with shape [2] doesn't match the broadcast shape [3, 2]")
    near.refuses(function() torch.zeros(2, { dtype = torch.int64 }):add_(1.5) end,
      "result type Float can't be cast to the desired output type Long")
  end)
end)

describe("hooks", function()
  it("see gradients, may change them, and can be removed", function()
    local x = leaf { 1, 2 }
    local y = x * 2
    local seen
    local handle = y:register_hook(function(g)
      seen = g:tolist()
      return g * 10
    end)
    ;(y * 3):sum():backward({ retain_graph = true })
    assert.same({ 3, 3 }, seen)
    near.check({ 60, 60 }, x.grad)
    handle:remove()
    x.grad = nil
    local count = 0
    x:register_hook(function() count = count + 1 end)
    ;(y * 3):sum():backward()
    near.check({ 6, 6 }, x.grad)
    assert.equal(1, count)
    near.refuses(function() torch.ones(1):register_hook(print) end,
      "cannot register a hook on a tensor that doesn't require gradient")
  end)

  it("pass their own errors on unchanged", function()
    local x = leaf { 1 }
    local y = x * 2
    local mark = {}
    y:register_hook(function() error(mark) end)
    local ok, e = pcall(function() y:backward() end)
    assert.is_false(ok)
    assert.is_true(rawequal(mark, e))
    assert.is_true(torch.is_grad_enabled())
  end)

  it("retain_grad keeps the gradient of an inner result", function()
    local x = leaf { 1 }
    local y = x * 2
    y:retain_grad()
    ;(y * 3):backward()
    near.check({ 3 }, y.grad)
    near.refuses(function() torch.ones(1):retain_grad() end, "can't retain_grad on Tensor that has requires_grad=False")
  end)

  it("run after accumulation", function()
    local x = leaf { 1 }
    local got
    x:register_post_accumulate_grad_hook(function(p) got = p.grad:item() end)
    ;(x * 5):backward()
    assert.equal(5, got)
  end)
end)

describe("Function", function()
  local Cube = torch.autograd.Function {
    forward = function(ctx, x)
      ctx:save_for_backward(x)
      return x ^ 3
    end,
    backward = function(ctx, gy)
      local x = ctx:saved_tensors()
      return gy * 3 * x ^ 2
    end,
  }

  it("has the gradient it was given, and that of it", function()
    local x = leaf { 2 }
    local y = Cube.apply(x)
    near.check({ 8 }, y)
    local g = torch.autograd.grad(y, x, { create_graph = true })
    near.check({ 12 }, g)
    near.check({ 12 }, (torch.autograd.grad(g, x)))
  end)

  it("takes several inputs and gives several results", function()
    local Split = torch.autograd.Function {
      forward = function(_, a, k, b) return a * k, b + 1 end,
      backward = function(ctx, ga, gb)
        assert.is_true(ctx.needs_input_grad[1])
        return ga * 7, nil, gb
      end,
    }
    local a, b = leaf { 1 }, leaf { 2 }
    local p, q = Split.apply(a, 7, b)
    p:backward()
    near.check({ 7 }, a.grad)
    near.check({ 0 }, b.grad)
    q = q * 1
    assert.is_true(q.requires_grad)
  end)

  it("raises the errors of its backward, and says what came back wrong", function()
    local Bad = torch.autograd.Function {
      forward = function(_, x) return x * 1 end,
      backward = function() return torch.ones(5, { dtype = f64 }) end,
    }
    local x = leaf { 1, 2 }
    near.refuses(function() Bad.apply(x):sum():backward() end, "invalid gradient", "[5]", "[2]")
    local Broken = torch.autograd.Function {
      forward = function(_, v) return v * 1 end,
      backward = function() error("out of ideas") end,
    }
    near.refuses(function() Broken.apply(x):sum():backward() end, "out of ideas")
    near.refuses(function() torch.autograd.Function { forward = print } end, "backward is missing")
  end)
end)

describe("detach and data", function()
  it("share memory without history", function()
    local x = leaf { 1, 2 }
    local d = x:detach()
    assert.is_false(d.requires_grad)
    d:mul_(10)
    near.check({ 10, 20 }, x)
    x.data:add_(1)
    near.check({ 11, 21 }, x)
    assert.equal(x:data_ptr(), x.data:data_ptr())
    x.data = torch.zeros(3, { dtype = f64 })
    assert.equal(torch.Size { 3 }, x.shape)
  end)

  it("checks what is assigned to grad", function()
    local x = leaf { 1, 2 }
    near.refuses(function() x.grad = torch.ones(3) end, "assigned grad has data of a different size")
    x.grad = torch.ones(2, { dtype = f64 })
    x.grad = nil
    assert.is_nil(x.grad)
    near.refuses(function() x.nothing = 1 end, "attribute 'nothing'")
    near.refuses(function() (x * 2).requires_grad = false end,
      "you can only change requires_grad flags of leaf variables")
  end)

  it("a leaf that was detached or frozen since gathers no gradient", function()
    local a, b = torch.ones(2, { requires_grad = true }), torch.ones(2, { requires_grad = true })
    local y = (a * b * 3):sum()
    a:detach_()
    y:backward()
    assert.is_nil(a.grad)
    assert.are.same({ 3.0, 3.0 }, b.grad:tolist())
    local z = (b * 2):sum()
    b.requires_grad = false
    z:backward()
    assert.are.same({ 3.0, 3.0 }, b.grad:tolist())
  end)

  it("in-place forms of views are refused on a leaf and on views of one", function()
    local x = torch.ones(2, 3, { requires_grad = true })
    for _, t in ipairs { x, x:view(3, 2) } do
      local ok, why = pcall(t.transpose_, t, 1, 2)
      assert.is_false(ok)
      assert.matches("leaf Variable that requires grad is being used in an in%-place operation", why)
    end
  end)

  it("choices have PyTorch's gradients at ties, limits and NaN", function()
    local nan = 0 / 0
    local function slope(values, fn)
      local x = torch.tensor(values):requires_grad_()
      fn(x):sum():backward()
      return x.grad:tolist()
    end
    local values = { -1.0, -0.5, 0.0, 0.5, 1.0, nan }
    assert.are.same({ 0.0, 0.0, 1.0, 0.0, 0.0, 0.0 }, slope(values, function(x) return x:clamp(-0.5, 0.5) end))
    assert.are.same({ 1.0, 1.0, 1.0, 0.0, 0.0, 0.0 }, slope(values, function(x) return x:clamp { max = 0.5 } end))
    local low, high = torch.tensor(-0.5), torch.tensor(0.5)
    assert.are.same({ 0.0, 0.5, 1.0, 0.5, 0.0, 1.0 }, slope(values, function(x) return x:clamp(low, high) end))
    assert.are.same({ 0.5, 0.0, 1.0, 1.0 }, slope({ 1.0, 0.0, 2.0, nan }, function(x)
      return torch.maximum(x, torch.ones(4))
    end))
  end)

  it("running products have second derivatives at zeros too", function()
    for values, expected in pairs {
      [{ 1.0, 0.0, 2.0, 3.0 }] = { 174.0, 1530.0, 72.0, 36.0 },
      [{ 0.0, 2.0, 0.0, 3.0 }] = { 60.0, 6.0, 48.0, 0.0 },
    } do
      local x = torch.tensor(values, { dtype = f64, requires_grad = true })
      local y = x:cumprod(1)
      local g = torch.autograd.grad((y * y + y):sum(), { x }, { create_graph = true });
      (g * g):sum():backward()
      near.check(expected, x.grad)
    end
  end)
end)
