--- torch.autograd.functional and gradcheck: values from calculus.

local torch = require "moontorch"
local near = require "spec.support.near"
local functional = torch.autograd.functional
local f64 = torch.float64

local function vector(values) return torch.tensor(values, { dtype = f64 }) end

-- f(x) = (x1² x2, 5 x1 + sin x2)
local function f(x) return torch.stack { x[1] ^ 2 * x[2], 5 * x[1] + x[2]:sin() } end
-- g(x) = x1³ + x1 x2²
local function g(x) return x[1] ^ 3 + x[1] * x[2] ^ 2 end

describe("autograd.functional", function()
  local x = vector { 2, 3 }

  it("jacobian", function()
    near.check({ { 12, 4 }, { 5, math.cos(3) } }, functional.jacobian(f, x))
    local function two(a, b) return a * b, a:sum() end
    local j = functional.jacobian(two, { vector { 1, 2 }, vector { 3, 4 } })
    near.check({ { 3, 0 }, { 0, 4 } }, j[1][1])
    near.check({ { 1, 0 }, { 0, 2 } }, j[1][2])
    near.check({ 1, 1 }, j[2][1])
    near.check({ 0, 0 }, j[2][2])
    near.refuses(function() functional.jacobian(two, { vector { 1 }, vector { 2 } }, { strict = true }) end,
      "independent of input 2")
    assert.is_false(functional.jacobian(f, x).requires_grad)
  end)

  it("hessian", function()
    near.check({ { 12, 6 }, { 6, 4 } }, functional.hessian(g, x))
    local function h(a, b) return (a * b * b):sum() end
    local m = functional.hessian(h, { vector { 2 }, vector { 3 } })
    near.check({ { 0 } }, m[1][1])
    near.check({ { 6 } }, m[1][2])
    near.check({ { 4 } }, m[2][2])
    near.refuses(function() functional.hessian(f, x) end, "single element")
  end)

  it("vjp, jvp, vhp, hvp", function()
    local v = vector { 1, -2 }
    local y, p = functional.vjp(f, x, v)
    near.check({ 12, 10 + math.sin(3) }, y)
    near.check({ 12 - 10, 4 - 2 * math.cos(3) }, p)
    y, p = functional.jvp(f, x, v)
    near.check({ 12, 10 + math.sin(3) }, y)
    near.check({ 12 - 8, 5 - 2 * math.cos(3) }, p)
    y, p = functional.vhp(g, x, v)
    near.check(8 + 18, y:item())
    near.check({ 12 - 12, 6 - 8 }, p)
    y, p = functional.hvp(g, x, v)
    near.check(26, y:item())
    near.check({ 0, -2 }, p)
    near.refuses(function() functional.vjp(f, x, vector { 1 }) end, "v has invalid size")
    near.refuses(function() functional.vjp(f, x) end, "v can only be nil")
  end)

  it("keeps the graph when asked", function()
    local a = vector { 2, 3 }:requires_grad_()
    local j = functional.jacobian(f, a, { create_graph = true })
    j:sum():backward()
    near.check({ 2 * 3 + 2 * 2, 2 * 2 - math.sin(3) }, a.grad)
  end)
end)

describe("gradcheck", function()
  local x = vector({ 0.3, -1.2, 2 }):requires_grad_()

  it("agrees with right gradients and shows wrong ones", function()
    assert.is_true(torch.autograd.gradcheck(function(a) return a:sin() * a end, { x }))
    assert.is_true(torch.autograd.gradgradcheck(function(a) return a:sin() * a end, { x }))
    assert.is_true(torch.autograd.gradcheck.gradcheck(function(a) return a ^ 2 end, x))
    local Wrong = torch.autograd.Function {
      forward = function(_, a) return a * 2 end,
      backward = function(_, gy) return gy * 3 end,
    }
    near.refuses(function() torch.autograd.gradcheck(Wrong.apply, { x }) end,
      "Jacobian mismatch for output 1 with respect to input 1", "numerical", "analytical")
    assert.is_false(torch.autograd.gradcheck(Wrong.apply, { x }, { raise_exception = false }))
    near.check({ 0.3, -1.2, 2 }, x)
  end)

  it("wants an input that requires grad", function()
    near.refuses(function() torch.autograd.gradcheck(torch.sin, { vector { 1 } }) end,
      "expects at least one input tensor to require gradient")
  end)

  it("once_differentiable refuses a second derivative", function()
    local Once = torch.autograd.Function {
      forward = function(ctx, a)
        ctx:save_for_backward(a)
        return a ^ 3
      end,
      backward = torch.autograd["function"].once_differentiable(function(ctx, gy)
        local a = ctx:saved_tensors()
        return gy * 3 * a ^ 2
      end),
    }
    local a = vector({ 2 }):requires_grad_()
    local ga = torch.autograd.grad(Once.apply(a) * a, a, { create_graph = true })
    near.check({ 32 }, ga)
    near.refuses(function() torch.autograd.grad(ga, a) end, "once_differentiable")
  end)
end)
