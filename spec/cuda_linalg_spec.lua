--- Square systems on a GPU against the CPU: inverses, determinants, solutions, their gradients, and what is refused.
-- Runs where moontorch/cuda.so finds a device; `make test-cuda-standin` gives it one that is not there.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"

if gpu.missing(describe, it, "CUDA linear algebra") then return end

local on_device = require "spec.support.on_device"
local same, linalg = on_device.same, torch.linalg

-- Far from singular, and pivots are not where they stand.
local function matrices(shape, dtype)
  local x = torch.randn(shape, { dtype = dtype })
  local n = shape[#shape]
  return x + torch.eye(n, { dtype = dtype }):flip(1) * (2 * n)
end
local function refused(fn, ...)
  local ok, why = pcall(fn, ...)
  assert.is_false(ok)
  return why
end

describe("CUDA linear algebra", function()
  for _, shape in ipairs { { 1, 1 }, { 3, 3 }, { 2, 3, 5, 5 }, { 17, 17 } } do
    it("is the CPU's for " .. table.concat(shape, " x "), function()
      torch.manual_seed(#shape + shape[1])
      local n = shape[#shape]
      local few = {}
      for d = 1, #shape - 1 do few[d] = shape[d] end
      few[#shape] = 3
      for dtype, bound in pairs { [torch.float64] = 1e-9, [torch.float32] = 2e-5 } do
        local a, b = matrices(shape, dtype), torch.randn(few, { dtype = dtype })
        same("inverse", bound, function(t) return linalg.inv(t), linalg.inv(t:transpose(-1, -2)) end, a)
        same("determinants", bound * 5, function(t)
          local sign, log = linalg.slogdet(t)
          local near = torch.eye(n, { dtype = t.dtype, device = t.device }) * 2 + t / (9 * n)
          return linalg.det(t / (2 * n)), sign, log, torch.logdet(near)
        end, a)
        same("solutions", bound, function(t, u)
          return linalg.solve(t, u), linalg.solve(t, u:select(-1, 2)),
            linalg.solve(t, u:transpose(-1, -2), { left = false })
        end, a, b)
        if n < 30 then
          same("gradients", bound * 10, function(t, u)
            t, u = t:clone():requires_grad_(), u:clone():requires_grad_()
            local total = linalg.solve(t, u):sum() + linalg.inv(t):sum() + linalg.det(t / (2 * n)):sum() +
              select(2, linalg.slogdet(t)):sum()
            return torch.autograd.grad(total, { t, u })
          end, a, b)
        end
      end
    end)
  end

  it("takes more matrices than blocks run, and ones that many threads share", function()
    same("many", 2e-5, function(t) return linalg.det(t) end, torch.randn(1100, 1, 1))
    same("large", 1e-9, function(t) return linalg.inv(t) end, matrices({ 66, 66 }, torch.float64))
  end)

  it("takes matrices without elements, and without columns", function()
    same("empty", 0, function(t, u)
      local sign, log = linalg.slogdet(t)
      return linalg.inv(t), linalg.det(t), sign, log, linalg.inv(u), linalg.det(u), linalg.solve(t, t)
    end, torch.zeros(3, 0, 0), torch.zeros(0, 2, 2))
    same("no columns", 0, function(t) return linalg.solve(t, t:narrow(2, 1, 0)) end, torch.eye(3))
  end)

  it("gives zero determinants, infinities and NaN where the CPU does", function()
    local x = torch.tensor {
      { { 1, 2 }, { 2, 4 } }, { { 0, 0 }, { 0, 0 } }, { { 0, 1 }, { 1, 0 } }, { { 0 / 0, 1 }, { 1, 2 } },
      { { 1, 1 }, { 0 / 0, 2 } }, { { 1 / 0, 1 }, { 1, 2 } },
    }
    same("singular", 1e-6, function(t)
      local sign, log = linalg.slogdet(t)
      return linalg.det(t), sign, log, torch._inverse_near(t, true), torch._inverse_near(t, false)
    end, x)
  end)

  it("refuses the first singular matrix in the CPU's words", function()
    local x = torch.eye(3):expand(5, 3, 3):contiguous()
    x[3][2][2], x[5][1][1] = 0, 0
    for _, fn in ipairs { linalg.inv, function(t) return linalg.solve(t, t) end } do
      for _, t in ipairs { x, x[3] } do
        local wanted = refused(fn, t)
        assert.is_truthy(wanted:find("singular", 1, true))
        assert.equal(wanted, refused(fn, t:cuda()))
      end
    end
    assert.same({ 3, 3 }, linalg.inv(torch.eye(3):cuda()):size())
  end)

  it("waits only where it may refuse", function()
    local x = torch.eye(3):cuda():requires_grad_()
    assert(on_device.without_waiting(function() (linalg.det(x) + select(2, linalg.slogdet(x))):backward() end))
    assert.is_false((on_device.without_waiting(linalg.inv, x)))
  end)
end)
