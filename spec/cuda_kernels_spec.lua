--- Kernels of a GPU at sizes beyond the samples of cuda_spec.lua, each against the CPU: lines and results of few and of
-- many elements, alone and side by side, cut into several units, in layouts with gaps.
local torch = require "moontorch"
local operators = require "spec.support.operators"
local gpu = require "spec.support.gpu"

if gpu.missing(describe, it, "CUDA kernels") then return end

local F = torch.nn.functional
local BOUND = { [torch.float64] = 1e-11, [torch.float32] = 2e-5, [torch.float16] = 4e-3, [torch.bfloat16] = 3e-2 }

local function all_to(device, args)
  local out = { n = args.n }
  for k = 1, args.n do
    out[k] = torch.is_tensor(args[k]) and args[k]:to(device) or args[k]
  end
  return out
end

local function moved_back(out)
  local host = { n = out.n }
  for k = 1, out.n do
    assert.is_true(out[k].is_cuda, "a result is not on the device")
    host[k] = out[k]:detach():cpu()
  end
  return host
end

--- fn(...) gives the same on the device as on the CPU. Tensors keep their layout: fn makes it.
local function same(what, bound, fn, ...)
  local args = table.pack(...)
  local wanted = table.pack(fn(table.unpack(args, 1, args.n)))
  local on_device = all_to("cuda", args)
  local got = moved_back(table.pack(fn(table.unpack(on_device, 1, args.n))))
  local different = operators.difference(got, wanted, bound)
  assert.is_nil(different, different and what .. ": " .. different)
end

local SIZES = { 1, 33, 1025 }
-- Matrices whose rows, or whose columns, are many or few, long or short; the largest are cut into units.
local SHAPES = { { 1, 1 }, { 3, 31 }, { 33, 65 }, { 1025, 3 }, { 2, 1025 } }
local LONG = { { 1, 100000 }, { 20000, 2 } }

local function name(shape) return table.concat(shape, " x ") end
local function transposed(x) return x:t():contiguous():t() end
local function gapped(x)
  local view = torch.zeros(x.shape[1], x.shape[2], 2, { dtype = x.dtype, device = x.device }):select(3, 1)
  view:copy_(x)
  return view
end
local LAYOUTS = { packed = function(x) return x end, transposed = transposed, gapped = gapped }

describe("CUDA reductions", function()
  local folds = {
    sum = function(x, ...) return x:sum(...) end,
    mean = function(x, ...) return x:mean(...) end,
    amax = function(x, ...) return x:amax(...) end,
    amin = function(x, ...) return x:amin(...) end,
    var = function(x, ...) return x:var(...) end,
    std = function(x, ...) return x:std(...) end,
    norm = function(x, ...) return x:norm(2, ...) end,
    norm1 = function(x, ...) return x:norm(1, ...) end,
    most = function(x, ...) return x:norm(math.huge, ...) end,
    count_nonzero = function(x, ...) return x:count_nonzero(...) end,
  }
  for _, shape in ipairs(SHAPES) do
    it("are the CPU's for " .. name(shape), function()
      torch.manual_seed(shape[1] + shape[2])
      local x = torch.randn(shape[1], shape[2], { dtype = torch.float64 })
      for fold, fn in pairs(folds) do
        for layout, lay in pairs(LAYOUTS) do
          same(fold .. " " .. layout, 1e-11, function(t)
            t = lay(t)
            return fn(t, 1), fn(t, 2), fn(t)
          end, x)
        end
      end
    end)
  end

  it("cut long lines into units", function()
    for _, shape in ipairs(LONG) do
      local x = torch.randn(shape)
      same(name(shape), 2e-5, function(t)
        local most, at = t:max(shape[1] == 1 and 2 or 1)
        return t:sum(), t:sum(shape[1] == 1 and 2 or 1), t:var(), t:prod(), most, at, t:argmin()
      end, x)
    end
  end)

  it("sum three dims of every layout, in any order", function()
    local x = torch.randn(3, 5, 8)
    for _, order in ipairs { { 1, 2, 3 }, { 3, 1, 2 }, { 2, 3, 1 }, { 3, 2, 1 } } do
      for _, dims in ipairs { { 1 }, { 2 }, { 3 }, { 1, 2 }, { 1, 3 }, { 2, 3 }, { 1, 2, 3 } } do
        same("dims " .. name(dims), 2e-5, function(t)
          local laid = t:permute(order):contiguous():permute(order)
          return laid:sum(dims), laid:var(dims), laid:expand(2, -1, -1, -1):sum(dims)
        end, x)
      end
    end
  end)

  it("are the CPU's for every dtype", function()
    for _, n in ipairs(SIZES) do
      local x = torch.randn(n) * 3
      for dtype, bound in pairs(BOUND) do
        same("floats", bound, function(t)
          return t:sum(), t:mean(), t:amax(), t:amin(), t:norm(), t:norm(3), t:var(), t:count_nonzero()
        end, x:to(dtype))
      end
      for _, dtype in ipairs { torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool } do
        same("integers " .. tostring(dtype), 0, function(t)
          return t:sum(), t:prod(), t:amax(), t:amin(), t:any(), t:all(), t:count_nonzero()
        end, x:abs():to(dtype))
      end
    end
  end)

  it("of nothing are what the CPU says", function()
    for _, dims in ipairs { { 1 }, { 2 } } do
      same("empty", 0, function(t)
        return t:sum(dims), t:prod(dims[1]), t:mean(dims), t:var(dims), t:norm(2, dims), t:any(dims), t:all(dims)
      end, torch.zeros(0, 3))
    end
    same("empty", 0, function(t) return t:sum(), t:prod(), t:mean(), t:norm() end, torch.zeros(0))
  end)

  it("add many float32 without losing digits", function()
    local x = torch.rand(1000, 100):cuda()
    local wanted = x:double():sum():item()
    assert.is_true(math.abs(x:sum():item() - wanted) <= 2e-7 * wanted)
    local column, exact = x:sum(1):cpu(), x:double():sum(1):cpu()
    assert.is_true(((column - exact):abs() / exact):max():item() <= 2e-7)
  end)

  it("let NaN win, and keep infinities", function()
    local x = torch.randn(40, 70)
    x[3][5], x[9][1], x[9][2] = 0 / 0, math.huge, -math.huge
    same("special values", 1e-5, function(t)
      return t:amax(1), t:amin(2), t:sum(1), t:max(), t:min(), t:norm(2, 2), t:isnan():sum(2)
    end, x)
  end)

  it("find the first of equals, alone and side by side", function()
    for _, shape in ipairs(SHAPES) do
      local x = torch.randint(1, 9, { shape[1], shape[2] })
      for layout, lay in pairs(LAYOUTS) do
        same(layout .. " " .. name(shape), 0, function(t)
          t = lay(t)
          local a, ai = t:max(1)
          local b, bi = t:min(2)
          return a, ai, b, bi, t:argmax(), t:argmin(), t:argmax(1), t:argmin(2)
        end, x)
      end
    end
    local x = torch.zeros(3, 200)
    x[2][150], x[2][70] = 0 / 0, 0 / 0
    x[3]:fill_(-math.huge)
    same("special values", 0, function(t) return t:argmax(2), t:argmin(2), t:argmax(1), t:argmax() end, x)
  end)
end)

describe("CUDA scans", function()
  local scans = {
    cumsum = function(x, dim) return x:cumsum(dim) end,
    cumprod = function(x, dim) return (x * 0.1 + 1):cumprod(dim) end,
    logcumsumexp = function(x, dim) return x:logcumsumexp(dim) end,
    cummax = function(x, dim) return x:cummax(dim) end,
    cummin = function(x, dim) return x:cummin(dim) end,
  }
  for _, shape in ipairs(SHAPES) do
    it("are the CPU's for " .. name(shape) .. ", with their gradients", function()
      torch.manual_seed(shape[1] + shape[2])
      local x, projection = torch.randn(shape, { dtype = torch.float64 }), torch.rand(shape, { dtype = torch.float64 })
      for scan, fn in pairs(scans) do
        for dim = 1, 2 do
          same(scan .. " along " .. dim, 1e-10, fn, x, dim)
          same(scan .. " gradient along " .. dim, 1e-8, function(t, p)
            t = t:clone():requires_grad_()
            local y = fn(t, dim)
            return (torch.autograd.grad((y * p):sum() / shape[dim], { t }))
          end, x, projection)
        end
      end
    end)
  end

  it("cut long lines into chunks", function()
    for _, shape in ipairs(LONG) do
      local x, dim = torch.randn(shape, { dtype = torch.float64 }), shape[1] == 1 and 2 or 1
      for scan, fn in pairs(scans) do same(scan .. " " .. name(shape), 1e-9, fn, x, dim) end
      same("gradient", 1e-8, function(t)
        t = (t * 0.01 + 1):requires_grad_()
        return (torch.autograd.grad(t:cumprod(dim):mean() + t:cumsum(dim):mean(), { t }))
      end, x)
    end
  end)

  it("are the CPU's for every dtype", function()
    local x = torch.randn(3, 150)
    for dtype, bound in pairs(BOUND) do
      same("floats " .. tostring(dtype), bound, function(t)
        local most, at = t:cummax(2)
        return t:cumsum(2) / 40, t:cumsum(1), most, at, t:logcumsumexp(2)
      end, x:to(dtype))
    end
    for _, dtype in ipairs { torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool } do
      same("integers " .. tostring(dtype), 0, function(t)
        local least, at = t:cummin(2)
        return t:cumsum(2), t:cumprod(1), least, at
      end, (x * 3):abs():to(dtype))
    end
  end)

  it("keep NaN, infinities and zeros where the CPU has them", function()
    local x = torch.randn(3, 300)
    x[1][100], x[2][200], x[3][70], x[3][250] = 0 / 0, math.huge, 0, 0
    same("special values", 1e-4, function(t)
      local most, at = t:cummax(2)
      local least, there = t:cummin(2)
      return t:cumsum(2), most, at, least, there, t:logcumsumexp(2)
    end, x)
    same("products with zeros", 1e-8, function(t)
      t = (t * 0.1 + 1):requires_grad_()
      local y = t:prod(2):sum() + t:cumprod(2):mean()
      return (torch.autograd.grad(y, { t }))
    end, (torch.randn(3, 500, { dtype = torch.float64 })))
    same("a product's gradient beside a zero", 1e-10, function(t)
      t = t:clone():requires_grad_()
      return (torch.autograd.grad(t:cumprod(2):sum() + t:prod(1):sum(), { t }))
    end, torch.tensor({ { 1.5, 0, 2, 3, 0, 1 }, { 0, 1, 2, 0.5, 3, 1 } }, { dtype = torch.float64 }))
  end)
end)

describe("CUDA normalisation", function()
  local function gradients(fn, ...)
    local leaves = {}
    for k, t in ipairs { ... } do leaves[k] = t:clone():requires_grad_() end
    local y = fn(table.unpack(leaves))
    local ramp = torch.arange(1, y:numel() + 1, { device = y.device }):to(y.dtype):view(y:size()) / y:numel()
    local found = table.pack(torch.autograd.grad((y * ramp):sum(), leaves))
    found[found.n + 1] = y
    return table.unpack(found, 1, found.n + 1)
  end
  local function vectors(n, dtype) return torch.rand(n, { dtype = dtype }) + 0.5, torch.randn(n, { dtype = dtype }) end

  for _, shape in ipairs { { 1, 2 }, { 3, 31 }, { 40, 65 }, { 2, 3000 }, { 300, 8 } } do
    it("by layer, batch and root mean square is the CPU's for " .. name(shape), function()
      for _, dtype in ipairs { torch.float64, torch.float32 } do
        local x = torch.randn(shape, { dtype = dtype }) * 2 + 3
        local w, b = vectors(shape[2], dtype)
        local bound = dtype == torch.float64 and 1e-9 or 2e-4
        same("layer norm", bound, function(...)
          return gradients(function(t, u, v) return F.layer_norm(t, { shape[2] }, u, v, 1e-3) end, ...)
        end, x, w, b)
        same("layer norm of a transposed one", bound, function(t, u)
          return F.layer_norm(transposed(t), { shape[2] }, u, nil, 1e-3), F.layer_norm(t, { shape[2] }, nil, nil, 1e-3)
        end, x, w)
        same("rms norm", bound, function(...)
          return gradients(function(t, u) return F.rms_norm(t, { shape[2] }, u) end, ...)
        end, x, w)
        if shape[1] > 1 then
          same("batch norm", bound, function(t, u, v)
            local mean, var = torch.zeros_like(u), torch.ones_like(u)
            local gx, gw, gb, y = gradients(function(p, q, r)
              return F.batch_norm(p, mean, var, q, r, true, 0.1, 1e-2)
            end, t, u, v)
            return gx, gw, gb, y, mean, var, F.batch_norm(t, mean, var, u, v, false)
          end, x, w, b)
        end
      end
    end)
  end

  it("of images by batch, instance and group is the CPU's", function()
    for _, shape in ipairs { { 2, 4, 3 }, { 3, 6, 5, 7 }, { 2, 4, 70, 40 } } do
      local x = torch.randn(shape, { dtype = torch.float64 }) + 1
      local w, b = vectors(shape[2], torch.float64)
      same("batch norm", 1e-9, function(...)
        return gradients(function(t, u, v) return F.batch_norm(t, nil, nil, u, v, true) end, ...)
      end, x, w, b)
      same("batch norm in evaluation", 1e-9, function(t, u, v)
        return gradients(function(p, q, r) return F.batch_norm(p, v, u, q, r, false) end, t, u, v)
      end, x, w, b)
      same("instance norm", 1e-9, function(...)
        return gradients(function(t, u, v) return F.instance_norm(t, nil, nil, u, v) end, ...)
      end, x, w, b)
      for _, groups in ipairs { 1, 2, shape[2] } do
        same("group norm", 1e-9, function(...)
          return gradients(function(t, u, v) return F.group_norm(t, groups, u, v) end, ...)
        end, x, w, b)
      end
    end
  end)

  it("of 16-bit floats is the CPU's", function()
    local x, w = torch.randn(9, 40), torch.rand(40) + 0.5
    for _, dtype in ipairs { torch.float16, torch.bfloat16 } do
      same(tostring(dtype), BOUND[dtype], function(t, u)
        return F.layer_norm(t, { 40 }, u), F.batch_norm(t, nil, nil, nil, nil, true), F.group_norm(t, 4)
      end, x:to(dtype), w:to(dtype))
    end
  end)
end)

describe("CUDA losses", function()
  local function loss_and_gradient(fn, x)
    x = x:clone():requires_grad_()
    local loss = fn(x)
    return loss, (torch.autograd.grad(loss:sum(), { x }))
  end

  it("of pairs are the CPU's", function()
    for _, n in ipairs { 1, 33, 9000 } do
      for _, dtype in ipairs { torch.float64, torch.bfloat16 } do
        local x, t = torch.randn(n):to(dtype), torch.randn(n):to(dtype)
        local p, q, w = torch.rand(n):to(dtype), torch.rand(n):to(dtype), (torch.rand(n) + 0.5):to(dtype)
        for _, reduction in ipairs { "mean", "sum", "none" } do
          local how = { reduction = reduction }
          local what = ("%d %s %s"):format(n, tostring(dtype), reduction)
          same(what, BOUND[dtype] * 10, function(a, b, u, v, weight)
            local found = {
              F.mse_loss(a, b, how), F.l1_loss(a, b, how),
              F.smooth_l1_loss(a, b, { reduction = reduction, beta = 0.5 }),
              F.huber_loss(a, b, { reduction = reduction, delta = 0.7 }),
              F.binary_cross_entropy(u, v, { reduction = reduction, weight = weight }),
              F.binary_cross_entropy_with_logits(a, v, { reduction = reduction, pos_weight = weight }),
            }
            return table.unpack(found)
          end, x, t, p, q, w)
        end
      end
    end
    same("broadcast", 1e-6, function(a, b)
      return F.mse_loss(a, b, { broadcast = true }), F.l1_loss(a:t(), a:t() * 2)
    end, torch.randn(7, 1), torch.randn(5))
    same("of nothing", 0, function(a) return F.mse_loss(a, a), F.mse_loss(a, a, { reduction = "sum" }) end,
      torch.zeros(0))
  end)

  for _, shape in ipairs { { 3, 4 }, { 40, 33 }, { 5, 3000 }, { 2, 5, 3, 7 }, { 600, 2 } } do
    it("of labels are the CPU's for " .. table.concat(shape, " x "), function()
      local places = { shape[1], table.unpack(shape, 3) }
      for _, dtype in ipairs { torch.float32, torch.float16 } do
        local x = (torch.randn(shape) * 3):to(dtype)
        local w = (torch.rand(shape[2]) + 0.5):to(dtype)
        local target = torch.randint(1, shape[2] + 1, places)
        for _, reduction in ipairs { "mean", "sum", "none" } do
          for _, smoothing in ipairs { 0, 0.2 } do
            same(("%s %s %g"):format(tostring(dtype), reduction, smoothing), BOUND[dtype] * 10, function(t, y, u)
              local how = { reduction = reduction, label_smoothing = smoothing, ignore_index = 2 }
              local a, ga = loss_and_gradient(function(v) return F.cross_entropy(v, y, how) end, t)
              how.weight = u
              local b, gb = loss_and_gradient(function(v) return F.cross_entropy(v, y, how) end, t)
              local c, gc = loss_and_gradient(function(v)
                return F.nll_loss(v, y, { weight = u, reduction = reduction })
              end, t)
              return a, ga, b, gb, c, gc
            end, x, target, w)
          end
        end
      end
    end)
  end
end)

describe("CUDA softmax", function()
  -- In registers of a warp (to 256 and 1024 elements) and of a block (to 4096), in packs and one by one; longer.
  for _, length in ipairs { 1, 8, 31, 256, 257, 1000, 1025, 4096, 4099, 9000 } do
    it("of lines of " .. length .. " is the CPU's, with its gradient", function()
      local x, g = torch.randn(3, length) * 4, torch.randn(3, length)
      for _, dtype in ipairs { torch.float32, torch.float64, torch.bfloat16 } do
        same(tostring(dtype), BOUND[dtype] * 2, function(t, p)
          local leaf = t:clone():requires_grad_()
          local a, b = leaf:softmax(2), leaf:log_softmax(2)
          local c = torch.autograd.grad(((a + b * 0.01) * p):sum(), { leaf })
          return a, b, c, t:t():softmax(1)
        end, x:to(dtype), g:to(dtype))
      end
    end)
  end
end)

describe("CUDA ctc_loss", function()
  local cases = {
    { 5, 2, 4, inputs = { 5, 4 }, targets = { 2, 1 } },
    { 40, 3, 7, inputs = { 40, 30, 0 }, targets = { 10, 0, 4 } }, -- no labels; no time
    { 50, 2, 300, inputs = { 50, 50 }, targets = { 20, 24 } },
  }
  for _, case in ipairs(cases) do
    it(("of %d steps, %d samples and %d classes is the CPU's, with its gradient"):format(case[1], case[2], case[3]),
      function()
        for _, dtype in ipairs { torch.float64, torch.float32 } do
          for _, zero_infinity in ipairs { false, true } do
            local x = torch.randn(case[1], case[2], case[3], { dtype = dtype }):log_softmax(3)
            local labels = torch.randint(1, case[3] + 1, { case[2], math.max(table.unpack(case.targets)) })
            if case[3] == 7 then labels[1][2], labels[1][3] = labels[1][1]:item(), 1 end -- twice; the blank
            same(("%s %s"):format(tostring(dtype), zero_infinity), BOUND[dtype] * 10, function(t, y)
              t = t:clone():requires_grad_()
              local loss = F.ctc_loss(t, y, case.inputs, case.targets,
                { reduction = "none", zero_infinity = zero_infinity })
              return loss, (torch.autograd.grad(loss:sum(), { t }))
            end, x, labels)
          end
        end
      end)
  end
end)
