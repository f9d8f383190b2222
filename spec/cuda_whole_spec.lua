--- Kernels of a GPU against the CPU: products of whole numbers, which wrap around, counts, fold and unfold, norms of
-- rows. Runs where moontorch/cuda.so finds a device; `make test-cuda-standin` gives it one that is not there.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"

if gpu.missing(describe, it, "CUDA whole numbers") then return end

local on_device = require "spec.support.on_device"
local F = torch.nn.functional
local same, BOUND, INTEGERS = on_device.same, on_device.BOUND, on_device.INTEGERS

-- Of all the dtype's range.
local function numbers(shape, dtype)
  local x = torch.randint(-2 ^ 31, 2 ^ 31, shape)
  return dtype == torch.int64 and x * 2147483659 or x:to(dtype)
end

describe("CUDA products of whole numbers", function()
  for _, size in ipairs { { 1, 1, 1 }, { 3, 5, 2 }, { 65, 17, 70 }, { 64, 16, 64 }, { 130, 33, 1 }, { 1, 200, 3 } } do
    local m, k, n = table.unpack(size)
    it(("wrap around as the CPU's for %d x %d x %d"):format(m, k, n), function()
      torch.manual_seed(m)
      for _, dtype in ipairs(INTEGERS) do
        local a, b, c = numbers({ m, k }, dtype), numbers({ k, n }, dtype), numbers({ m, n }, dtype)
        local row = numbers({ n }, dtype)
        local at, bt = a:t():contiguous(), b:t():contiguous()
        same(tostring(dtype), 0, function(p, q, r, s, pt, qt)
          return p:mm(q), pt:t():mm(qt:t()), torch.addmm(r, p, q, { beta = 3, alpha = -2 }), torch.addmm(s, p, q),
            p:matmul(q:select(2, 1)), F.linear(p, qt, s), q:t():mm(pt), p:narrow(2, 1, (k + 1) // 2):mm(
              q:narrow(1, 1, (k + 1) // 2))
        end, a, b, c, row, at, bt)
      end
    end)
  end

  it("take batches, shared factors and gaps", function()
    for _, dtype in ipairs(INTEGERS) do
      local a, b, c = numbers({ 3, 4, 5 }, dtype), numbers({ 3, 5, 6 }, dtype), numbers({ 3, 4, 6 }, dtype)
      same(tostring(dtype), 0, function(p, q, r)
        return p:bmm(q), torch.baddbmm(r, p, q), p:matmul(q[2]), p[1]:matmul(q),
          p:transpose(1, 2):matmul(q[1]), torch.einsum("bij,bjk->ik", p, q),
          p:expand(2, -1, -1, -1):matmul(q), p[1][1]:dot(q[1]:select(2, 3))
      end, a, b, c)
    end
  end)

  it("of nothing are zeros, or what is added", function()
    for _, dtype in ipairs(INTEGERS) do
      same(tostring(dtype), 0, function(p, q, r)
        return p:mm(q), torch.addmm(r, p, q, { beta = 2 }), q:mm(r:t()), torch.addmm(r[1], p, q)
      end, torch.zeros(2, 0):to(dtype), torch.zeros(0, 3):to(dtype), numbers({ 2, 3 }, dtype))
    end
  end)

  it("do not wait", function()
    local a, b = numbers({ 7, 5 }, torch.int64):cuda(), numbers({ 5, 6 }, torch.int64):cuda()
    assert(on_device.without_waiting(function()
      return a:mm(b), F.linear(a, b:t()), a:to(torch.int8):mm(b:to(torch.int8))
    end))
  end)
end)

describe("CUDA counts", function()
  it("are the CPU's for few and many values, in every dtype", function()
    torch.manual_seed(1)
    for _, n in ipairs { 1, 33, 5000 } do
      for _, dtype in ipairs(INTEGERS) do
        local x = torch.randint(0, 100, { n }):to(dtype)
        same(tostring(dtype), 0, function(t)
          return t:bincount(), t:bincount { minlength = 120 }, torch._counts(t, 50), torch._counts(t, 3000)
        end, x)
      end
      local wide = torch.randint(0, 9000, { n })
      same("many values", 0, function(t) return t:bincount(), torch._counts(t - 4000, 4000) end, wide)
      same("a strided one", 0, function(t) return torch._counts(t:view(-1, 1):expand(-1, 3), 8000) end, wide)
    end
    same("nothing", 0, function(t)
      return t:bincount(), t:bincount { minlength = 3 }, torch._counts(t, 4), torch._counts(t, 0)
    end, torch.zeros(0):long())
    local x = torch.randint(1, 9, { 4, 60 })
    same("unique", 0, function(t) return t:unique(true, true, true) end, x)
    same("histc", 1e-6, function(t) return t:histc(7), t:histc { bins = 5, min = 2, max = 4 } end, x:float())
  end)

  it("of known size do not wait", function()
    local x = torch.randint(0, 9, { 50 }):cuda()
    assert(on_device.without_waiting(torch._counts, x, 9))
  end)
end)

describe("CUDA sliding blocks", function()
  -- shape, kernel, dilation, padding, stride
  local CASES = {
    { { 1, 1, 1, 1 }, 1, 1, 0, 1 }, { { 2, 3, 5, 7 }, { 2, 3 }, 1, 0, 1 },
    { { 3, 2, 9, 6 }, 3, { 2, 1 }, { 1, 2 }, { 3, 2 } }, { { 2, 4, 17, 19 }, { 1, 4 }, { 1, 3 }, { 0, 4 }, { 2, 1 } },
    { { 5, 8, 8 }, 2, 1, 0, 2 }, { { 0, 2, 4, 4 }, 2, 1, 1, 1 },
  }
  local function columns(x, case) return F.unfold(x, case[2], case[3], case[4], case[5]) end
  for number, case in ipairs(CASES) do
    it("are the CPU's, with their sums and gradients: case " .. number, function()
      torch.manual_seed(number)
      local shape = case[1]
      local size = { shape[#shape - 1], shape[#shape] }
      for dtype, bound in pairs(BOUND) do
        local x = torch.randn(shape):to(dtype)
        same(tostring(dtype), bound, function(t)
          t = t:clone():requires_grad_()
          local taken = columns(t, case)
          local summed = F.fold(taken, size, case[2], case[3], case[4], case[5])
          return taken, summed, (torch.autograd.grad((summed * summed):sum(), { t }))
        end, x)
        if #shape == 4 then
          same("transposed", bound, function(t)
            return columns(t:transpose(3, 4):contiguous():transpose(3, 4), case)
          end, x)
        end
      end
      same("bool", 0, function(t)
        local taken = columns(t, case)
        return taken, F.fold(taken, size, case[2], case[3], case[4], case[5])
      end, torch.randn(shape):gt(0.5))
    end)
  end

  it("neither wait nor differ from one time to the next", function()
    local x = torch.randn(2, 3, 12, 13):cuda()
    local case = { {}, 3, 1, 1, 1 }
    local ok, first = on_device.without_waiting(function() return F.fold(columns(x, case), { 12, 13 }, 3, 1, 1, 1) end)
    assert.is_true(ok, first)
    assert.is_true(torch.equal(first, F.fold(columns(x, case), { 12, 13 }, 3, 1, 1, 1)))
  end)
end)

describe("CUDA norms of rows", function()
  local function gradients(fn, ...)
    local leaves = {}
    for k, t in ipairs { ... } do leaves[k] = t:clone():requires_grad_() end
    local y = fn(table.unpack(leaves))
    local ramp = torch.arange(1, y:numel() + 1, { device = y.device }):double() / y:numel()
    ramp = ramp:to(y.dtype):view(y:size())
    local found = table.pack(torch.autograd.grad((y * ramp):sum() / y:numel(), leaves))
    found[found.n + 1] = y
    return table.unpack(found, 1, found.n + 1)
  end
  -- rows in the registers of a warp and of a block, and longer ones; lengths that packs of 16 bytes divide, and not
  local SHAPES = {
    { 5, 1 }, { 3, 24 }, { 9, 250 }, { 4, 256 }, { 3, 1000 }, { 2, 1024 }, { 2, 4091 }, { 2, 4096 }, { 2, 5003 },
  }
  for _, shape in ipairs(SHAPES) do
    it(("are the CPU's for %d x %d in every dtype"):format(shape[1], shape[2]), function()
      torch.manual_seed(shape[2])
      for dtype, bound in pairs(BOUND) do
        bound = math.max(bound, 2e-9) * 10
        local x = (torch.randn(shape) * 2 + 3):to(dtype)
        local w, b = (torch.rand(shape[2]) + 0.5):to(dtype), torch.randn(shape[2]):to(dtype)
        local size = { shape[2] }
        same("rms norm " .. tostring(dtype), bound, function(...)
          return gradients(function(t, u) return F.rms_norm(t, size, u, 1e-3) end, ...)
        end, x, w)
        same("rms norm alone " .. tostring(dtype), bound, function(...)
          return gradients(function(t) return F.rms_norm(t, size) end, ...)
        end, x)
        same("layer norm " .. tostring(dtype), bound, function(...)
          return gradients(function(t, u, v) return F.layer_norm(t, size, u, v, 1e-2) end, ...)
        end, x, w, b)
        same("layer norm alone " .. tostring(dtype), bound, function(...)
          return gradients(function(t) return F.layer_norm(t, size, nil, nil, 1e-2) end, ...)
        end, x)
      end
    end)
  end

  it("have second derivatives, keep NaN in its row, and do not wait", function()
    local x, w = torch.randn(3, 6, { dtype = torch.float64 }), torch.rand(6, { dtype = torch.float64 })
    same("second", 1e-9, function(t, u)
      t = t:clone():requires_grad_()
      local g = torch.autograd.grad(F.rms_norm(t, { 6 }, u, 0.1):pow(3):sum(), { t }, { create_graph = true })
      return (torch.autograd.grad(g:pow(2):sum(), { t }))
    end, x, w)
    x[2][3] = 0 / 0
    same("NaN", 1e-9, function(t, u) return F.rms_norm(t, { 6 }, u), F.layer_norm(t, { 6 }, u) end, x, w)
    local there, weight = x:cuda():requires_grad_(), w:cuda():requires_grad_()
    assert(on_device.without_waiting(function() F.rms_norm(there, { 6 }, weight):sum():backward() end))
    same("no rows", 0, function(t) return F.rms_norm(t, { 4 }) end, torch.zeros(0, 4))
  end)
end)
