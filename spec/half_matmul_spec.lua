-- Products of 16-bit floats: summed in float32 and rounded once, for every transpose, batch and number of threads.
--
-- The bound follows from that: half a step of the exact result, and k roundings of float32 of the sum of magnitudes.
local torch = require "moontorch"
local F = torch.nn.functional

local STEP = { float16 = 2 ^ -11, bfloat16 = 2 ^ -8 }
-- Half of the distance of the smallest numbers: float16's sums may end among them.
local LEAST = { float16 = 2 ^ -25, bfloat16 = 2 ^ -134 }

local function draw(dtype, ...)
  return torch.randn(...):to(torch[dtype])
end

-- `got` against the product of a and b plus `added`, all in float64.
local function check(dtype, got, a, b, added, what)
  assert.equal(torch[dtype], got.dtype)
  a, b = a:double(), b:double()
  local want, size = torch.matmul(a, b), torch.matmul(a:abs(), b:abs())
  if added then want, size = want + added:double(), size + added:double():abs() end
  local k = a:size(-1)
  local bound = want:abs() * STEP[dtype] + size * ((k + 2) * 2 ^ -24 * 1.01) + LEAST[dtype]
  local worst = ((got:double() - want):abs() - bound):max():item()
  assert.is_true(worst <= 0, what .. ": beyond the bound by " .. worst)
end

-- Lays out a matrix as its name says, with the same values.
local layouts = {
  rows = function(x) return x end,
  columns = function(x) return x:transpose(-1, -2):contiguous():transpose(-1, -2) end,
  gaps = function(x) return torch.stack({ x, x }, -1):select(-1, 1) end,
}

describe("products of 16-bit floats", function()
  before_each(function() torch.manual_seed(3) end)

  for _, dtype in ipairs { "bfloat16", "float16" } do
    for _, s in ipairs { { 1, 1, 1 }, { 1, 37, 2051 }, { 37, 1, 129 }, { 1, 2100, 33 }, { 5, 100, 67 }, { 8, 9, 2500 },
      { 17, 33, 31 }, { 29, 65, 129 }, { 113, 131, 1031 }, { 65, 1057, 35 }, { 2060, 31, 18 } } do
      local m, n, k = table.unpack(s)
      it(("%s: %d x %d over %d, every layout"):format(dtype, m, n, k), function()
        local a, b = draw(dtype, m, k), draw(dtype, k, n)
        for name_a, lay_a in pairs(layouts) do
          for name_b, lay_b in pairs(layouts) do
            check(dtype, torch.matmul(lay_a(a), lay_b(b)), a, b, nil, name_a .. " x " .. name_b)
          end
        end
      end)
    end

    it(dtype .. ": with a bias, an addend, a batch", function()
      local x, w, bias = draw(dtype, 3, 19, 70), draw(dtype, 45, 70), draw(dtype, 45)
      check(dtype, F.linear(x, w, bias), x, w:t(), bias, "linear")
      local c, a, b = draw(dtype, 40, 50), draw(dtype, 40, 60), draw(dtype, 60, 50)
      check(dtype, torch.addmm(c, a, b), a, b, c, "addmm")
      local p, q = draw(dtype, 6, 21, 34), draw(dtype, 6, 34, 43)
      check(dtype, torch.bmm(p, q), p, q, nil, "bmm")
      check(dtype, torch.bmm(layouts.columns(p), layouts.columns(q)), p, q, nil, "bmm of transposes")
      local image, kernel, shift = draw(dtype, 2, 24, 9, 7), draw(dtype, 30, 24, 1, 1), draw(dtype, 30)
      check(dtype, F.conv2d(image, kernel, shift):flatten(3), kernel:view(30, 24), image:flatten(3), shift:view(30, 1),
        "conv2d of 1 x 1")
    end)

    it(dtype .. ": gradients are the products", function()
      local a = draw(dtype, 35, 66):requires_grad_()
      local b = draw(dtype, 66, 41):requires_grad_()
      local gy = draw(dtype, 35, 41)
      torch.matmul(a, b):backward(gy)
      check(dtype, a.grad, gy, b:detach():t(), nil, "gradient of the left factor")
      check(dtype, b.grad, a:detach():t(), gy, nil, "gradient of the right factor")
    end)

    it(dtype .. ": the same bits for every number of threads", function()
      local before = torch.get_num_threads()
      local shapes = { { 300, 200, 1500 }, { 1, 3000, 700 }, { 3000, 4, 700 }, { 130, 90, 64 } }
      for _, s in ipairs(shapes) do
        local a, b = draw(dtype, s[1], s[3]), draw(dtype, s[3], s[2])
        local results = {}
        for threads = 1, 3 do
          torch.set_num_threads(threads)
          results[threads] = torch.matmul(a, b)
        end
        torch.set_num_threads(before)
        assert.is_true(torch.equal(results[1], results[2]) and torch.equal(results[1], results[3]))
      end
    end)

    it(dtype .. ": what lies beside a window is not read", function()
      for _, size in ipairs { { 40, 63 }, { 39, 64 }, { 41, 65 } } do
        local m, k = table.unpack(size)
        local whole = torch.full({ m + 1, k + 1 }, 0 / 0, { dtype = torch[dtype] })
        local a, b = draw(dtype, m, k), draw(dtype, k, 48)
        whole:narrow(1, 1, m):narrow(2, 1, k):copy_(a)
        check(dtype, torch.matmul(whole:narrow(1, 1, m):narrow(2, 1, k), b), a, b, nil, ("%d x %d"):format(m, k))
      end
    end)

    it(dtype .. ": infinity and NaN come through, alone in their row", function()
      local a, b = torch.zeros(40, 64, { dtype = torch[dtype] }), torch.ones(64, 40, { dtype = torch[dtype] })
      a[{ 3, 5 }] = math.huge
      a[{ 7, 64 }] = 0 / 0
      local y = torch.matmul(a, b)
      assert.is_true(y[3]:isinf():all():item() and y[7]:isnan():all():item())
      assert.equal(38 * 40, torch.isfinite(y):sum():item())
    end)
  end
end)
