--- Anomaly mode, hooks on saved tensors, graph nodes, and the rules of torch.autograd.Function. PyTorch 2.15's messages
-- and results; values from calculus.

local torch = require "moontorch"
local near = require "spec.support.near"
local autograd = torch.autograd
local Function = autograd.Function

local f64 = torch.float64
local function leaf(values) return torch.tensor(values, { dtype = f64, requires_grad = true }) end

-- "anomaly_spec.lua:N" of the line that calls this.
local function here(more) return "anomaly_spec.lua:" .. debug.getinfo(2, "l").currentline + (more or 0) end

describe("anomaly mode", function()
  after_each(function() assert.is_false(torch.is_anomaly_enabled()) end)

  it("names the operator that made the first NaN, and its line", function()
    autograd.set_detect_anomaly(true, function()
      local x = leaf { 0, 1 }
      local place = here(1)
      local root = x:sqrt()
      local y = torch.where(x:gt(0), root, x * 0)
      near.refuses(function() y:sum():backward() end,
        "Function 'SqrtBackward0' returned nan values in its 0th output.", "argument 'input'", "Error detected in "
        .. "SqrtBackward0", place)
    end)
  end)

  it("counts outputs as PyTorch does", function()
    autograd.set_detect_anomaly(true, function()
      local x, y = leaf { 1 }, leaf { 0 }
      local q = x:detach() * 0 / y
      near.refuses(function() q:backward() end, "Function 'DivBackward0' returned nan values in its 1th output.",
        "argument 'other'")
    end)
  end)

  it("lets NaN pass when it is told to, and when it is off", function()
    local function run()
      local x = leaf { 0, 1 }
      torch.where(x:gt(0), x:sqrt(), x * 0):sum():backward()
      return x.grad
    end
    near.check({ 0 / 0, 0.5 }, run())
    near.check({ 0 / 0, 0.5 }, autograd.detect_anomaly(false, run))
    near.check({ 0 / 0, 0.5 }, autograd.detect_anomaly({ check_nan = false }, run))
    near.check({ 0 / 0, 0.5 }, autograd.set_detect_anomaly(true, false, run))
    near.refuses(function() autograd.detect_anomaly(run) end, "returned nan values")
    near.refuses(function() autograd.set_detect_anomaly(true, run) end, "returned nan values")
  end)

  it("is a block, a to-be-closed variable, and a switch", function()
    assert.same({ 1, 2 }, { autograd.detect_anomaly(function()
      assert.is_true(torch.is_anomaly_enabled())
      assert.is_true(torch.is_anomaly_check_nan_enabled())
      do
        local _ <close> = autograd.set_detect_anomaly(false)
        assert.is_false(torch.is_anomaly_enabled())
      end
      assert.is_true(torch.is_anomaly_enabled())
      return 1, 2
    end) })
    do
      local _ <close> = autograd.detect_anomaly { check_nan = false }
      assert.is_true(torch.is_anomaly_enabled())
      assert.is_false(torch.is_anomaly_check_nan_enabled())
    end
    torch.set_anomaly_enabled(true, { check_nan = false })
    assert.same({ true, false }, { torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled() })
    torch.set_anomaly_enabled(false)
    near.refuses(function() autograd.detect_anomaly(function() error("stop") end) end, "stop")
    near.refuses(function() autograd.set_detect_anomaly() end, "argument 'mode' must be true or false", here())
    near.refuses(function() autograd.detect_anomaly(3) end, "argument 'check_nan'", here())
    near.refuses(function() torch.set_anomaly_enabled(1) end, "argument 'mode'", here())
  end)

  it("names the lines of the save and of the write", function()
    autograd.set_detect_anomaly(true, function()
      local x = leaf { 1, 2 }
      local b = x * 1
      local saved, written = here(1), here(2)
      local y = b ^ 2
      b:mul_(2)
      near.refuses(function() y:sum():backward() end,
        "one of the variables needed for gradient computation has been modified by an inplace operation",
        "PowBackward0 saved at ", saved, "is at version 1; expected version 0 instead", "written at", written)
      local c, d = x * 1, x * 1
      written = here(2)
      local z = c * d
      torch.no_grad(function() c[1] = 5 end)
      near.refuses(function() z:sum():backward() end, "MulBackward0 saved", written)
    end)
    local b = leaf { 1 } * 1
    local y = b ^ 2
    b:mul_(2)
    near.refuses(function() y:sum():backward() end, "modified by an inplace operation",
      "torch.autograd.set_detect_anomaly(true)")
  end)

  it("names the line where a tensor was made that carries a graph on", function()
    autograd.set_detect_anomaly(true, function()
      local w = leaf { 0.5 }
      local state, message = torch.zeros(1, { dtype = f64 }), nil
      for step = 1, 2 do
        local made = here(1)
        state = (w * state + 1):tanh()
        local loss = state:sum()
        if step == 1 then loss:backward() else
          message = near.refuses(function() loss:backward() end,
            "Trying to backward through the graph a second time", "TanhBackward0, made at ", made, ":detach()",
            "retain_graph = true")
        end
      end
      assert.is_true(message:find(":detach()", 1, true) < message:find("again, specify retain_graph", 1, true))
    end)
    local y = leaf({ 1 }):exp():sum()
    y:backward()
    near.refuses(function() y:backward() end, "ExpBackward0", "torch.autograd.set_detect_anomaly(true)")
  end)

  it("finds lines in coroutines, and in backwards of backwards", function()
    autograd.set_detect_anomaly(true, function()
      local x, y, place = leaf { -1 }, nil, nil
      coroutine.wrap(function()
        place = here(1)
        y = x:sqrt()
      end)()
      near.refuses(function() y:backward() end, "SqrtBackward0", place)
      local z = leaf { 0 }
      local first, second = here(1), here(2)
      local h = z:abs():pow(1.5)
      local g = autograd.grad(h, z, { create_graph = true })
      near.refuses(function() g:backward() end, "returned nan values", second, "in the backward of PowBackward0", first)
      assert.is_truthy(h.grad_fn.metadata.traceback_:find(first, 1, true))
    end)
    assert.is_nil(leaf({ 1 }):exp().grad_fn.metadata.traceback_)
  end)

  it("names lines of functions written in Lua, and passes their own errors on", function()
    autograd.set_detect_anomaly(true, function()
      local Bad = Function { name = "Bad", forward = function(_, x) return x * 2 end,
        backward = function(_, g) return g * (0 / 0) end }
      local place = here(1)
      local y = Bad.apply(leaf { 1 })
      near.refuses(function() y:backward() end, "Function 'BadBackward' returned nan values in its 0th output.", place)
      local mark = {}
      local Broken = Function { forward = function(_, x) return x * 2 end, backward = function() error(mark) end }
      local ok, e = pcall(function() Broken.apply(leaf { 1 }):backward() end)
      assert.is_false(ok)
      assert.is_true(rawequal(mark, e))
    end)
  end)

  it("gives its memory back", function()
    local function run()
      autograd.set_detect_anomaly(true, function()
        local x = leaf { 1, 2 }
        local y = x
        for _ = 1, 50 do y = (y * x):add_(1):tanh() end
        y:sum():backward()
      end)
      collectgarbage()
      collectgarbage()
      return torch.memory().in_use
    end
    local before = run()
    for _ = 1, 5 do run() end
    assert.equal(before, run())
  end)
end)

describe("saved_tensors_hooks", function()
  local hooks = autograd.graph.saved_tensors_hooks
  local function identity(t) return t end

  it("see every tensor that is saved, and give it back", function()
    local x = leaf { 1, 2 }
    local packed, unpacked = {}, 0
    local y = hooks(function(t)
      packed[#packed + 1] = t
      assert.is_false(torch.is_grad_enabled())
      return { t:tolist() }
    end, function(v)
      unpacked = unpacked + 1
      return torch.tensor(v[1], { dtype = f64 })
    end, function()
      return (x * x):exp():sum()
    end)
    assert.equal(3, #packed) -- PyTorch: x, x, exp's result
    assert.is_true(packed[1] == x and packed[2] == x)
    near.check({ math.exp(1), math.exp(4) }, packed[3], 1e-12)
    assert.equal(0, unpacked)
    y:backward()
    assert.equal(3, unpacked)
    near.check({ 2 * math.exp(1), 4 * math.exp(4) }, x.grad, 1e-12)
  end)

  it("are a to-be-closed variable too; the innermost ones count", function()
    local x, seen = leaf { 1 }, {}
    local function note(name) return function(t) seen[#seen + 1] = name return t end end
    do
      local _ <close> = hooks(note "outer", identity)
      hooks(note "inner", identity, function() return x * x end)
      local _ = x ^ 2
    end
    local _ = x * x
    assert.same({ "inner", "inner", "outer" }, seen)
  end)

  it("leave higher derivatives right", function()
    local x = leaf { 0.7 }
    local y = hooks(function(t) return t:clone() end, identity, function() return x:sin() * x:exp() end)
    local g = autograd.grad(y, x, { create_graph = true })
    local gg = autograd.grad(g, x)
    near.check({ math.exp(0.7) * (math.sin(0.7) + math.cos(0.7)) }, g, 1e-12)
    near.check({ 2 * math.exp(0.7) * math.cos(0.7) }, gg, 1e-12)
  end)

  it("hold for in-place operators and their results", function()
    local x = leaf { 0.5, -1 }
    local y = hooks(function(t) return t:clone() end, identity, function()
      local h = x * 2
      h:sigmoid_()
      h:mul_(h)
      return h:sum()
    end)
    y:backward()
    local expected = {}
    for i, v in ipairs { 0.5, -1 } do
      local s = 1 / (1 + math.exp(-2 * v))
      expected[i] = 4 * s * s * (1 - s)
    end
    near.check(expected, x.grad, 1e-12)
  end)

  it("hold for views that are written, and for functions in Lua", function()
    local x = leaf { { 1, 2 }, { 3, 4 } }
    local count = 0
    local function pack(t) count = count + 1 return t:clone() end
    hooks(pack, identity, function()
      local y = x * 1
      y[1]:pow_(3)
      return y:sum()
    end):backward()
    near.check({ { 3, 12 }, { 1, 1 } }, x.grad)
    assert.is_true(count > 0)
    local Cube = Function {
      forward = function(ctx, a) ctx:save_for_backward(a) return a ^ 3 end,
      backward = function(ctx, g) return g * 3 * ctx:saved_tensors() ^ 2 end,
    }
    count = 0
    x.grad = nil
    local y = hooks(pack, identity, function() return Cube.apply(x):sum() end)
    assert.equal(1, count - 0)
    y:backward()
    near.check({ { 3, 12 }, { 27, 48 } }, x.grad)
  end)

  it("let what they keep be changed: versions are theirs to watch", function()
    local x = leaf { 3 }
    local a, y = x * 1, nil
    hooks(function(t) return t:clone() end, identity, function() y = a ^ 2 end)
    a:add_(1)
    y:backward()
    near.check({ 6 }, x.grad)
  end)

  it("free what they keep with the graph", function()
    local x, kept = leaf { 1, 2 }, setmetatable({}, { __mode = "v" })
    local y = hooks(function(t) kept[1] = { t } return kept[1] end, function(v) return v[1] end,
      function() return x:exp():sum() end)
    collectgarbage()
    assert.is_truthy(kept[1])
    y:backward()
    collectgarbage()
    collectgarbage()
    assert.is_nil(kept[1])
    near.refuses(function() y:backward() end, "Trying to backward through the graph a second time")
  end)

  it("say what they may not do", function()
    local x = leaf { 1 }
    near.refuses(function() hooks(function(t) t:add_(1) return t end, identity, function() return (x * 1) ^ 2 end) end,
      "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be "
      .. "modified by in-place operations")
    near.refuses(function() hooks(identity, function() return 5 end, function() return x * x end):backward() end,
      "Output of saved tensor unpack_hook expected to be a Tensor but got result of type integer")
    near.refuses(function() hooks(identity, function() return torch.ones(3, { dtype = f64 }) end,
      function() return leaf { 1, 2 } * x:detach():requires_grad_() end):sum():backward() end, "3")
    local mark = {}
    local ok, e = pcall(hooks, function() error(mark) end, identity, function() return x * x end)
    assert.is_false(ok)
    assert.is_true(rawequal(mark, e))
    local y = x * 1
    near.refuses(function() hooks(function() error("no room") end, identity, function() y:sigmoid_() end) end,
      "no room")
    assert.is_true((x * x).requires_grad) -- and none are left behind
    near.refuses(function() hooks(nil, identity) end, "argument 'pack_hook' (position 1) must be a function", here())
    near.refuses(function() hooks(identity, 5) end, "argument 'unpack_hook' (position 2) must be a function")
  end)
end)

describe("graph nodes", function()
  it("have names and inputs", function()
    local x = leaf { 1, 2 }
    local y = x:exp() * 2
    local Node = autograd.graph.Node
    assert.equal("MulBackward0", Node.name(y.grad_fn))
    assert.equal("MulBackward0", y.grad_fn:name())
    assert.is_truthy(tostring(y.grad_fn):match("^<MulBackward0 object at 0x%x+>$"))
    local next_functions = Node.next_functions(y.grad_fn)
    assert.equal(2, #next_functions)
    assert.equal("ExpBackward0", next_functions[1][1]:name())
    assert.same({ nil, 1 }, next_functions[2])
    local accumulate = next_functions[1][1].next_functions[1][1]
    assert.equal("AccumulateGrad", accumulate:name())
    assert.is_true(accumulate.variable == x)
    assert.is_true(Node.is(y.grad_fn))
    for _, v in ipairs { x, {}, 1, "n" } do assert.is_false(Node.is(v)) end
    assert.equal("<class 'torch.autograd.graph.Node'>", tostring(Node))
    near.refuses(function() return y.grad_fn.nothing end, "a graph node has no attribute 'nothing'", "next_functions")
  end)
end)

describe("torch.autograd.Function", function()
  it("takes its context apart from forward", function()
    local seen
    local Product = Function { name = "Product",
      forward = function(a, b) return a * b, a + b end,
      setup_context = function(ctx, inputs, output)
        seen = { #inputs, #output, ctx.needs_input_grad[1], ctx.needs_input_grad[2] }
        ctx:save_for_backward(table.unpack(inputs))
        ctx:mark_non_differentiable(output[2])
      end,
      backward = function(ctx, g, none)
        near.check({ 0, 0 }, none)
        local a, b = ctx:saved_tensors()
        return g * b, g * a
      end }
    local a, b = leaf { 1, 2 }, torch.tensor({ 3, 4 }, { dtype = f64 })
    local p, s = Product.apply(a, b)
    assert.same({ 2, 2, true, false }, seen)
    assert.equal("ProductBackward", p.grad_fn:name())
    assert.is_false(s.requires_grad)
    p:sum():backward()
    near.check({ 3, 4 }, a.grad)
    near.refuses(function() p:sum():backward() end, "Trying to backward through the graph a second time")
  end)

  it("writes into inputs that are marked dirty, views too", function()
    local Double = Function { name = "Double",
      forward = function(ctx, a) ctx:mark_dirty(a) return a:mul_(2) end,
      backward = function(_, g) return g * 2 end }
    local x = leaf { 1, 2 }
    local q = x * 1
    local earlier = q:narrow(1, 1, 1)
    local r = Double.apply(q)
    assert.is_true(r == q)
    assert.equal("DoubleBackward", q.grad_fn:name())
    ;(r:sum() + earlier:sum()):backward()
    near.check({ 4, 2 }, x.grad)
    local base_leaf = leaf { { 1, 1 }, { 1, 1 } }
    local base = base_leaf * 1
    local row = base[1]
    Double.apply(row)
    near.check({ { 2, 2 }, { 1, 1 } }, base)
    base:sum():backward()
    near.check({ { 2, 2 }, { 1, 1 } }, base_leaf.grad)
    near.refuses(function() Double.apply(x) end,
      "a leaf Variable that requires grad has been used in an in-place operation.")
    local Forgetful = Function { forward = function(ctx, a) ctx:mark_dirty(a) return a * 1 end,
      backward = function(_, g) return g end }
    near.refuses(function() Forgetful.apply(x * 1) end,
      "Some elements marked as dirty during the forward method were not returned as output.")
  end)

  it("saves results without keeping itself alive", function()
    local Exp = Function {
      forward = function(ctx, a)
        local y = a:exp()
        ctx:save_for_backward(y)
        return y
      end,
      backward = function(ctx, g) return g * ctx:saved_tensors() end,
    }
    local x = leaf { 0.5 }
    local g = autograd.grad(Exp.apply(x), x, { create_graph = true })
    local gg = autograd.grad(g, x, { create_graph = true })
    near.check({ math.exp(0.5) }, g, 1e-12)
    near.check({ math.exp(0.5) }, gg, 1e-12)
    assert.is_true(autograd.gradgradcheck(Exp.apply, x))
    g, gg = nil, nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    local before = torch.memory().in_use
    for _ = 1, 50 do Exp.apply(torch.ones(1000, { dtype = f64, requires_grad = true })) end
    collectgarbage()
    collectgarbage()
    assert.is_true(torch.memory().in_use <= before + 4096)
  end)

  it("watches what it saved", function()
    local Square = Function {
      forward = function(ctx, a) ctx:save_for_backward(a) return a ^ 2 end,
      backward = function(ctx, g) return g * 2 * ctx:saved_tensors() end,
    }
    local x = leaf { 1 }
    local a = x * 1
    local y = Square.apply(a)
    a:add_(1)
    near.refuses(function() y:backward() end,
      "one of the variables needed for gradient computation has been modified by an inplace operation",
      "is at version 1; expected version 0 instead")
  end)

  it("hands nil or zeros on for results without a gradient", function()
    local got
    local Two = Function {
      forward = function(ctx, a, materialize) ctx:set_materialize_grads(materialize) return a * 1, a * 2 end,
      backward = function(_, g, h)
        got = h
        return g, nil
      end,
    }
    Two.apply(leaf { 1 }, true):backward()
    near.check({ 0 }, got)
    Two.apply(leaf { 1 }, false):backward()
    assert.is_nil(got)
  end)

  it("brings gradients to the input's shape and dtype", function()
    local Wide = Function { forward = function(_, a) return a * 1 end,
      backward = function() return torch.ones(3, 2) end }
    local x = torch.ones(2, { dtype = f64, requires_grad = true })
    Wide.apply(x):sum():backward()
    near.check({ 3, 3 }, x.grad)
    assert.equal(f64, x.grad.dtype)
    local y = torch.ones(2, { requires_grad = true })
    ;(y * 2):backward(torch.ones(2, { dtype = f64 }))
    assert.equal(torch.float32, y.grad.dtype)
  end)

  it("refuses what PyTorch refuses, in its words", function()
    local x = leaf { 1, 2 }
    local function with(backward, forward)
      return Function { name = "F", forward = forward or function(_, a) return a * 1 end, backward = backward }
    end
    for _, row in ipairs {
      { with(function(_, g) return g, g end), "function FBackward returned an incorrect number of gradients (expected "
        .. "1, got 2)" },
      { with(function() end), "function FBackward returned an incorrect number of gradients (expected 1, got 0)" },
      { with(function() return torch.ones(3) end), "function FBackward returned an invalid gradient at index 1 - got "
        .. "[3] but expected shape compatible with [2]" },
      { with(function() return 5 end), "expected Variable or None (got integer)" },
      { with(print, function(ctx, a) ctx:save_for_backward(5) return a end),
        "save_for_backward can only save variables, but argument 1 is of type integer" },
      { with(print, function(ctx, a) ctx:mark_dirty(5) return a end),
        "mark_dirty can only accept variables, but argument 1 is of type integer" },
      { with(print, function(ctx, a) ctx:mark_non_differentiable(5) return a end),
        "mark_non_differentiable only accepts variable arguments, but got integer" },
    } do
      near.refuses(function() row[1].apply(x):sum():backward() end, row[2])
    end
    near.refuses(function() Function.forward() end,
      "You must implement the forward function for custom autograd.Function.")
    near.refuses(function() Function.backward() end, "You must implement either the backward or vjp method for your "
      .. "custom autograd.Function to use it with backward mode AD.")
    near.refuses(function() Function {} end, "You must implement the forward function")
    assert.is_true(autograd.variable.Variable(x) == x)
    assert.is_true(autograd["function"].Function == Function)
  end)
end)

describe("backward and grad", function()
  it("take their arguments by position and by name", function()
    local x = leaf { 1, 2 }
    local y = x * x
    autograd.backward({ y }, { torch.ones(2, { dtype = f64 }) }, true)
    near.check({ 2, 4 }, x.grad)
    autograd.backward({ y, y }, { grad_tensors = { y:detach(), y:detach() }, retain_graph = true })
    near.check({ 2 + 4, 4 + 32 }, x.grad)
    local other = leaf { 1 }
    x.grad = nil
    y:backward(torch.ones(2, { dtype = f64 }), true, false, { x })
    near.check({ 2, 4 }, x.grad)
    near.refuses(function() y:sum():backward { inputs = {} } end, "`inputs` argument to `backward()` cannot be empty.")
    autograd.backward {} -- nothing to do
    near.refuses(function() autograd.grad(y:sum(), {}) end, "`inputs` argument to `grad()` cannot be empty.")
    near.refuses(function() autograd.grad(y:sum(), { x, other }) end, "The differentiated Tensor at index 2 appears to "
      .. "not have been used in the graph. Set allow_unused=True if this is the desired behavior")
    y = x * x
    local gx, go = autograd.grad(y, { x, other }, torch.ones(2, { dtype = f64 }), true, false, true, true)
    near.check({ 2, 4 }, gx)
    assert.is_nil(go)
    local _, zero = autograd.grad(y:sum(), { x, other }, nil, true, false, true, nil, false, true)
    near.check({ 0 }, zero)
    y = x * x
    near.refuses(function() autograd.grad(y:sum(), x, { materialize_grads = true, allow_unused = false }) end,
      "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
  end)

  it("take a batch of gradients at once", function()
    local x = leaf { 1, 2 }
    local y = x * x
    local rows = torch.tensor({ { 1, 0 }, { 0, 1 }, { 1, 1 } }, { dtype = f64 })
    near.check({ { 2, 0 }, { 0, 4 }, { 2, 4 } },
      autograd.grad(y, x, rows, { is_grads_batched = true, retain_graph = true }))
    local z = leaf { 3 }
    local gx, gz = autograd.grad({ y * z }, { x, z }, { grad_outputs = { rows }, is_grads_batched = true })
    near.check({ { 6, 0 }, { 0, 12 }, { 6, 12 } }, gx)
    near.check({ { 1 }, { 4 }, { 5 } }, gz)
  end)
end)

describe("autograd.functional in strict mode", function()
  local F = autograd.functional
  local x, y = torch.tensor({ 1, 2 }, { dtype = f64 }), torch.tensor({ 3, 4 }, { dtype = f64 })
  local function one_sided(a) return (a * 2):sum() end
  local function constant() return torch.ones(1, { dtype = f64 }) end

  it("names what does not depend on what", function()
    local LINEAR = "While computing the hessian, found that the jacobian of the user-provided function with respect to "
      .. "input 1 is independent of the input. This is not allowed in strict mode."
    for _, row in ipairs {
      { F.jacobian, one_sided, { x, y }, "Output 1 of the user-provided function is independent of input 2." },
      { F.hessian, one_sided, { x }, LINEAR },
      { F.vjp, one_sided, { x, y }, "The output of the user-provided function is independent of input 2." },
      { F.vjp, constant, { x }, "Output 1 of the user-provided function does not require gradients." },
      { F.jvp, one_sided, { x, y }, "The output of the user-provided function is independent of input 2." },
      { F.vhp, one_sided, { x }, LINEAR },
      { F.hvp, one_sided, { x }, LINEAR },
    } do
      near.refuses(function()
        local options = { strict = true }
        if row[1] == F.jvp or row[1] == F.vhp or row[1] == F.hvp then options.v = row[3] end
        row[1](row[2], row[3], options)
      end, row[4], "anomaly_spec.lua:")
    end
    near.refuses(function() F.jacobian(one_sided, x, { strict = true, vectorize = true }) end,
      "`strict=True` and `vectorized=True` are not supported together")
  end)

  it("else fills in zeros", function()
    local value, product = F.hvp(one_sided, x, x)
    near.check(6, value:item())
    near.check({ 0, 0 }, product)
    near.check({ { 2, 0 }, { 0, 4 } }, F.jacobian(function(a) return a * a end, x, { vectorize = true }))
    local h = F.hessian(function(a) return (a ^ 3):sum() end, { x })
    near.check({ { 6, 0 }, { 0, 12 } }, h[1][1])
    near.refuses(function() F.jacobian(function(a) return a end, 5) end, "The inputs given to jacobian must be either "
      .. "a Tensor or a tuple of Tensors")
    near.refuses(function() F.vjp(function(a) return a, a end, x, x) end,
      "v is a tuple of invalid length: should be 2 but got 1.")
  end)
end)

describe("gradcheck", function()
  local gradcheck = autograd.gradcheck
  local x = leaf { 0.3, -1.2 }

  it("finds what PyTorch's finds", function()
    local calls = 0
    local Drifting = Function { forward = function(_, a) return a * 2 end,
      backward = function(_, g)
        calls = calls + 1
        return g * 2 + calls * 1e-9
      end }
    near.refuses(function() gradcheck(Drifting.apply, x) end, "Backward is not reentrant", "0.0")
    near.refuses(function() gradcheck(Drifting.apply, x, { nondet_tol = 1e-3 }) end,
      "backward not multiplied by grad_output")
    near.refuses(function() gradcheck(function(a) return a:detach() * 2 end, x) end,
      "Numerical gradient for function expected to be zero")
    near.refuses(function() gradcheck(function(a) return a end, torch.ones(1, { dtype = f64 }):expand(2)
      :requires_grad_()) end, "has a dimension with stride 0", "contiguous")
    near.refuses(function() gradcheck(function(a) return a end, x, { check_backward_ad = false }) end,
      "Expected at least one of check_forward_ad or check_backward_ad to be True")
    local Careless = Function { forward = function(ctx, a) ctx:set_materialize_grads(false) return a * 2, a * 3 end,
      backward = function(_, g, h) return (g or 0) * 2 + (h or torch.ones(2, { dtype = f64 })) * 3 end }
    near.refuses(function() gradcheck(Careless.apply, x) end, "Jacobian mismatch for output")
    near.check({ 0.3, -1.2 }, x)
  end)

  it("takes strided inputs, and puts them back when the function fails", function()
    local t = torch.arange(6, { dtype = f64 }):view(2, 3):t():requires_grad_()
    assert.is_true(gradcheck(function(a) return a ^ 2 end, t, { fast_mode = true }))
    near.check({ { 0, 3 }, { 1, 4 }, { 2, 5 } }, t)
    local calls = 0
    near.refuses(function() gradcheck(function(a)
      calls = calls + 1
      if calls == 3 then error("enough") end
      return a ^ 2
    end, x) end, "enough")
    near.check({ 0.3, -1.2 }, x)
    assert.is_true(autograd.gradgradcheck(function(a, b) return a ^ 2 * b end, { x, leaf { 2, 3 } },
      { gen_non_contig_grad_outputs = true }))
    local First = Function { forward = function(ctx, a) ctx:save_for_backward(a) return a ^ 3 end,
      backward = function(ctx, g) return g * 3 * ctx:saved_tensors():detach() ^ 2 end }
    assert.is_true(gradcheck(First.apply, x))
    near.refuses(function() autograd.gradgradcheck(First.apply, x) end, "Jacobian mismatch for output 1 with respect "
      .. "to input 1")
    assert.is_false(autograd.gradgradcheck(First.apply, x, { raise_exception = false }))
  end)
end)
