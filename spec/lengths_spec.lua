--- Kernels take long rows in groups and short ones element by element: here every length around those limits is held
-- against the plain definition, so that no path is used by large tensors alone.
local torch = require "moontorch"

local F = torch.nn.functional
local NAN = 0 / 0

local function close(expected, got, tolerance, what)
  assert(#expected == #got, what)
  for i, e in ipairs(expected) do
    local g = got[i]
    local same = e == g or (e ~= e and g ~= g) or math.abs(e - g) <= tolerance * (1 + math.abs(e))
    if not same then error(("%s: element %d is %s, expected %s"):format(what, i, g, e), 0) end
  end
end

-- The position of the largest (least) of a list: the first of equals, the first NaN.
local function extreme(list, least)
  local at = 1
  for k = 2, #list do
    local best, v = list[at], list[k]
    if best == best and (v ~= v or (least and v < best) or (not least and v > best)) then at = k end
  end
  return at
end

describe("the positions of extremes", function()
  for _, dtype in ipairs { "float32", "float64", "int64", "float16" } do
    it("in rows of 1 to 200 of " .. dtype, function()
      torch.manual_seed(1)
      for n = 1, 200 do
        local x = torch.randint(0, 60, { 4, n }):to(dtype)
        x[{ 2, n }] = 99
        if x:is_floating_point() then
          x[{ 3, n // 2 + 1 }] = NAN
          x[{ 4, n }] = NAN
        end
        for _, name in ipairs { "max", "min" } do
          local values, positions = x[name](x, 2)
          for r = 1, 4 do
            local row = x[r]:tolist()
            local at = extreme(row, name == "min")
            assert.equal(at, positions[r]:item(), ("%s of row %d of %d"):format(name, r, n))
            close({ row[at] }, { values[r]:item() }, 0, name)
          end
        end
      end
    end)
  end
end)

-- Largest, its position in the plane, and mean of each window of a plane (h lists of w numbers).
local function pooled(plane, kernel, stride, pad, dilation)
  local h, w = #plane, #plane[1]
  local function results(n) return (n + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 end
  local largest, position, mean = {}, {}, {}
  for i = 0, results(h) - 1 do
    for j = 0, results(w) - 1 do
      local values, places, sum = {}, {}, 0
      for a = 0, kernel - 1 do
        for b = 0, kernel - 1 do
          local y, x = i * stride - pad + a * dilation, j * stride - pad + b * dilation
          if y >= 0 and y < h and x >= 0 and x < w then
            values[#values + 1], places[#places + 1] = plane[y + 1][x + 1], y * w + x + 1
            sum = sum + plane[y + 1][x + 1]
          end
        end
      end
      local at = extreme(values)
      largest[#largest + 1], position[#position + 1] = values[at], places[at]
      mean[#mean + 1] = sum / kernel ^ 2
    end
  end
  return largest, position, mean
end

describe("pooling of lines", function()
  for _, dtype in ipairs { "float32", "float64" } do
    it("of 1 to 700 " .. dtype, function()
      torch.manual_seed(2)
      for _, w in ipairs { 5, 15, 16, 17, 18, 19, 33, 64, 130, 260, 520, 521, 700 } do
        for _, o in ipairs { { 2, 2, 0, 1 }, { 3, 2, 1, 1 }, { 3, 1, 1, 1 }, { 2, 3, 0, 1 }, { 3, 1, 0, 2 } } do
          local kernel, stride, pad, dilation = table.unpack(o)
          local x = torch.randint(-9, 9, { 1, 1, 6, w }):to(dtype)
          x[{ 1, 1, 3, w // 2 + 1 }] = NAN
          local what = ("%d wide, %d by %d, padding %d, dilation %d"):format(w, kernel, stride, pad, dilation)
          local largest, position, mean = pooled(x[{ 1, 1 }]:tolist(), kernel, stride, pad, dilation)
          local values, places = F.max_pool2d(x, kernel, stride, pad, dilation, { return_indices = true })
          close(largest, values:flatten():tolist(), 0, what)
          close(position, places:flatten():tolist(), 0, what .. ", positions")
          if dilation == 1 then
            close(mean, F.avg_pool2d(x, kernel, stride, pad):flatten():tolist(), 1e-6, what .. ", mean")
          end
        end
      end
    end)
  end
end)

describe("rows moved by index", function()
  for _, dtype in ipairs { "float32", "float64", "int64", "float16" } do
    it("of 1 to 70 " .. dtype, function()
      torch.manual_seed(3)
      local index = torch.tensor { 3, 1, 3, 2 }
      for n = 1, 70 do
        local x, s = torch.randint(-9, 9, { 3, n }):to(dtype), torch.randint(-9, 9, { 4, n }):to(dtype)
        local rows, added = x:index_select(1, index), x:clone()
        for i, at in ipairs(index:tolist()) do
          assert.is_true(rows[i]:equal(x[at]))
          added[at] = added[at] + s[i]
        end
        assert.is_true(x:index_add(1, index, s):equal(added), n)
        local places = torch.randint(1, n + 1, { 3, n })
        local taken, from, to = x:gather(2, places):tolist(), x:tolist(), places:tolist()
        for r = 1, 3 do
          for k = 1, n do assert(taken[r][k] == from[r][to[r][k]], n) end
        end
      end
    end)
  end
end)

it("distances of rows of 1 to 600 are norms of differences", function()
  torch.manual_seed(4)
  for _, n in ipairs { 1, 2, 3, 4, 5, 15, 16, 17, 31, 47, 48, 49, 64, 255, 256, 257, 300, 600 } do
    local a, b = torch.randn(3, n, { dtype = torch.float64 }), torch.randn(2, n, { dtype = torch.float64 })
    for _, p in ipairs { 0, 0.5, 1, 2, 3, math.huge } do
      local expected = {}
      for i = 1, 3 do
        for j = 1, 2 do expected[#expected + 1] = (a[i] - b[j]):norm(p):item() end
      end
      for dtype, tolerance in pairs { float64 = 1e-12, float32 = 1e-4 } do
        local got = torch.cdist(a:to(dtype), b:to(dtype), p, { compute_mode = "donot_use_mm_for_euclid_dist" })
        close(expected, got:flatten():tolist(), tolerance, ("%d elements, p = %s, %s"):format(n, p, dtype))
      end
    end
  end
end)

it("running sums and products of float32 rows are those of float64", function()
  torch.manual_seed(8)
  for n = 1, 80 do
    local x, y = torch.randint(-99, 100, { 3, n }):float(), torch.rand(3, n) + 0.5
    assert.is_true(x:cumsum(2):double():equal(x:double():cumsum(2)), n)
    close(y:double():cumprod(2):flatten():tolist(), y:cumprod(2):flatten():tolist(), 1e-7, "cumprod")
    y[{ 2, n // 2 + 1 }] = NAN
    local sum = y:cumsum(2)
    for k = 1, n do assert.equal(k > n // 2, sum[{ 2, k }]:isnan():item()) end
    y[{ 2, n // 2 + 1 }] = 0
    local product = y:cumprod(2)
    for k = 1, n do assert.equal(k > n // 2, product[{ 2, k }]:item() == 0) end
  end
end)

-- Positions of a list in order; equals stay in theirs, NaN is the greatest.
local function in_order(list, descending)
  local at = {}
  for k = 1, #list do at[k] = k end
  local function less(v, w) return v == v and (w ~= w or v < w) end
  table.sort(at, function(a, b)
    local v, w = list[a], list[b]
    if descending then v, w = w, v end
    if less(v, w) then return true end
    return not less(w, v) and a < b
  end)
  return at
end

describe("sorting and the first of a line", function()
  for _, dtype in ipairs { "float32", "float64", "int64", "uint8", "float16" } do
    it("of 1 to 700 " .. dtype, function()
      torch.manual_seed(9)
      local lengths = { 127, 128, 129, 191, 192, 193, 511, 512, 700 }
      for n = 1, 70 do lengths[#lengths + 1] = n end
      for _, n in ipairs(lengths) do
        local x = torch.randint(0, n, { n }):to(dtype)
        if x:is_floating_point() and n % 3 == 0 then x[n // 2 + 1], x[n] = NAN, NAN end
        local list = x:tolist()
        for _, descending in ipairs { false, true } do
          local at = in_order(list, descending)
          local _, order = x:sort(1, descending, { stable = true })
          assert.same(at, order:tolist(), n)
          for _, k in ipairs { 1, 3, n // 64, n // 2 } do
            if k >= 1 and k <= n then
              local values, places = x:topk(k, 1, descending)
              local expected = {}
              for i = 1, k do expected[i] = list[at[i]] end
              close(expected, values:tolist(), 0, ("topk %d of %d"):format(k, n))
              close(expected, x:gather(1, places):tolist(), 0, "places of topk")
            end
          end
        end
      end
    end)
  end
end)

describe("short rows of every length, copied from", function()
  for _, dtype in ipairs { "uint8", "int16", "float32", "float64" } do
    it("parts, backwards and expanded: " .. dtype, function()
      torch.manual_seed(10)
      local wide = torch.randint(0, 100, { 3, 5, 300 }):to(dtype)
      for n = 1, 270 do
        local part = wide[{ {}, {}, { 2, n + 1 } }]
        local copy, back = part:contiguous(), part:flip(3)
        local first = part[{ {}, {}, { 1, 1 } }]:expand(3, 5, n):contiguous()
        local cat = torch.cat({ part, part }, 3)
        for a = 1, 3, 2 do
          local list, row, from = part[{ a, 4 }]:tolist(), copy[{ a, 4 }]:tolist(), back[{ a, 4 }]:tolist()
          local same, twice = first[{ a, 4 }]:tolist(), cat[{ a, 4 }]:tolist()
          assert(#row == n and #from == n and #same == n and #twice == 2 * n)
          for k = 1, n do
            local v = list[k]
            assert(row[k] == v and from[n + 1 - k] == v and same[k] == list[1], n)
            assert(twice[k] == v and twice[n + k] == v, n)
          end
        end
      end
    end)
  end
end)

it("operands that are broadcast over rows of 1 to 140, and of 1100", function()
  torch.manual_seed(12)
  local lengths = { 1023, 1024, 1025, 1100 }
  for n = 1, 140 do lengths[#lengths + 1] = n end
  for _, n in ipairs(lengths) do
    local a = torch.randint(-9, 10, { 3, 7, n })
    for _, shape in ipairs { { n }, { 7, 1 }, { 3, 1, n }, { 1, 7, n }, { 3, 1, 1 }, { 1, 1, n } } do
      local b = torch.randint(-9, 10, shape)
      local full = b:expand(3, 7, n):contiguous()
      for _, dtype in ipairs { "float32", "float64", "int16" } do
        local x, y, z = a:to(dtype), b:to(dtype), full:to(dtype)
        assert.is_true((x - y):equal(x - z), n)
        assert.is_true((y - x):equal(z - x), n)
        assert.is_true(torch.where(y:gt(0), x, y):equal(torch.where(z:gt(0), x, z)), n)
        x:sub_(y)
        assert.is_true(x:equal(a:to(dtype) - z), n)
      end
    end
  end
end)

describe("what is not zero", function()
  for _, dtype in ipairs { "bool", "int16", "int32", "int64", "float16", "float32", "float64" } do
    it("of 1 to 600 " .. dtype, function()
      torch.manual_seed(11)
      for _, n in ipairs { 1, 2, 30, 255, 256, 257, 511, 512, 513, 600 } do
        local x = torch.randint(0, 2, { 3, n }):to(dtype)
        if x:is_floating_point() then x[{ 1, 1 }], x[{ 2, n }] = -0.0, NAN end
        local expected, values, filled = {}, {}, {}
        for r, row in ipairs(x:double():tolist()) do
          for k, v in ipairs(row) do
            if v ~= 0 then
              expected[#expected + 1] = { r, k }
              values[#values + 1] = v
            end
            filled[#filled + 1] = v ~= 0 and 3 or r
          end
        end
        assert.same(expected, x:nonzero():tolist())
        local mask, rows = x:ne(0), torch.arange(1, 4):unsqueeze(2):expand(3, n)
        close(values, x[mask]:double():tolist(), 0, dtype)
        assert.same(filled, rows:masked_fill(mask, 3):flatten():tolist())
        assert.same(filled, rows:contiguous():masked_fill_(mask, 3):flatten():tolist())
      end
    end)
  end
end)

it("running sums and products of 1 to 9 rows side by side", function()
  torch.manual_seed(5)
  for rows = 1, 9 do
    for _, n in ipairs { 1, 2, 7, 40 } do
      local x = torch.randint(-2, 3, { rows, n }):double()
      local list, sums, products = x:tolist(), {}, {}
      for r = 1, rows do
        local sum, product = 0, 1
        for k = 1, n do
          sum, product = sum + list[r][k], product * list[r][k]
          sums[#sums + 1], products[#products + 1] = sum, product
        end
      end
      close(sums, x:cumsum(2):flatten():tolist(), 0, "cumsum")
      close(products, x:cumprod(2):flatten():tolist(), 0, "cumprod")
    end
  end
end)

it("fills of 1 to 140 elements, packed and apart", function()
  for _, dtype in ipairs { "bool", "uint8", "int16", "float16", "float32", "int64", "float64" } do
    for n = 1, 140 do
      local x = torch.zeros(n + 2, 2):to(dtype)
      local line, column = torch.zeros(n + 2):to(dtype), x[{ { 2, n + 1 }, 1 }]
      line[{ { 2, n + 1 } }]:fill_(1)
      column:fill_(1)
      assert.equal(n, line:double():sum():item())
      assert.equal(n, column:double():sum():item())
      assert.equal(n, x:double():sum():item())
    end
  end
end)

it("layer norm, softmax and cross entropy of rows of 1 to 70, and around blocks of 512", function()
  torch.manual_seed(7)
  local lengths = { 511, 512, 513, 527, 528, 1023, 1024, 1025, 1040, 1500 }
  for n = 1, 70 do lengths[#lengths + 1] = n end
  for _, n in ipairs(lengths) do
    local x, w, b = torch.randn(3, n):double() * 3, torch.randn(n):double(), torch.randn(n):double()
    local labels = torch.randint(1, n + 1, { 3 })
    local mean, e = x:mean(2, { keepdim = true }), (x - x:amax(2, { keepdim = true })):exp()
    local var, share = (x - mean):pow(2):mean(2, { keepdim = true }), e / e:sum(2, { keepdim = true })
    local loss = share:gather(2, labels:unsqueeze(2)):log():neg()
    for dtype, tolerance in pairs { float64 = 1e-12, float32 = 2e-5 } do
      local function check(expected, got, what)
        close(expected:flatten():tolist(), got:double():flatten():tolist(), tolerance, ("%s of %d"):format(what, n))
      end
      local y = x:to(dtype)
      check((x - mean) / (var + 1e-5):sqrt() * w + b, F.layer_norm(y, { n }, w:to(dtype), b:to(dtype)), "layer_norm")
      check(share, F.softmax(y, 2), "softmax")
      check(share:log(), F.log_softmax(y, 2), "log_softmax")
      check(loss, F.cross_entropy(y, labels, { reduction = "none" }), "cross_entropy")
    end
  end
end)

describe("a fused step is the step that autograd can record:", function()
  -- There the rates are tensors of the default dtype.
  before_each(function() torch.set_default_dtype(torch.float64) end)
  after_each(function() torch.set_default_dtype(torch.float32) end)
  local options = {
    SGD = { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.1 },
    Adam = { lr = 0.1, weight_decay = 0.1, amsgrad = true }, AdamW = { lr = 0.1 }, Adadelta = { weight_decay = 0.1 },
    Adagrad = { lr = 0.1, lr_decay = 0.1 }, Adamax = { lr = 0.1, weight_decay = 0.1 },
    NAdam = { lr = 0.1, weight_decay = 0.1 },
    RAdam = { lr = 0.1, betas = { 0.4, 0.9 }, weight_decay = 0.1, decoupled_weight_decay = true }, Rprop = {},
    RMSprop = { lr = 0.1, momentum = 0.9, centered = true }, ASGD = { lr = 0.1, t0 = 2, weight_decay = 0.1 },
  }
  for name, given in pairs(options) do
    it(name .. " of 1 to 40 elements", function()
      torch.manual_seed(6)
      for _, dtype in ipairs { "float32", "float64" } do
        for _, n in ipairs { 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 40 } do
          local start, grads, ends = torch.randn(n):to(dtype), torch.randn(6, n):to(dtype), {}
          for k, differentiable in ipairs { false, true } do
            local p, copy = start:clone(), { differentiable = differentiable, maximize = n % 2 == 0 }
            for key, value in pairs(given) do copy[key] = value end
            local optimizer = torch.optim[name]({ p }, copy)
            for i = 1, 6 do
              p.grad = grads[i]:clone()
              optimizer:step()
            end
            ends[k] = p:tolist()
          end
          close(ends[2], ends[1], dtype == "float64" and 1e-12 or 2e-5, ("%s, %d of %s"):format(name, n, dtype))
        end
      end
    end)
  end
end)

-- A convolution as a sum over taps of products of slices.
local function convolved(x, w, stride, pad, dilation, groups)
  local function results(d) return (x:size(d) + 2 * pad - dilation * (w:size(d) - 1) - 1) // stride + 1 end
  local n, h, width, padded, sum = x:size(1), results(3), results(4), F.pad(x, { pad, pad, pad, pad }), nil
  local from, to = x:size(2) // groups, w:size(1) // groups
  for i = 0, w:size(3) - 1 do
    for j = 0, w:size(4) - 1 do
      local top, left, parts = i * dilation + 1, j * dilation + 1, {}
      local slice = padded[{ {}, {}, { top, top + (h - 1) * stride, stride },
        { left, left + (width - 1) * stride, stride } }]:reshape(n, x:size(2), h * width)
      for g = 1, groups do
        local tap = w[{ { (g - 1) * to + 1, g * to }, {}, i + 1, j + 1 }]
        parts[g] = torch.matmul(tap, slice:narrow(2, (g - 1) * from + 1, from))
      end
      sum = (sum or 0) + torch.cat(parts, 2)
    end
  end
  return sum:view(n, w:size(1), h, width)
end

-- Result and both gradients of f(x, w), flat, in double; the gradient of the result is the same for both sides.
local function directions(f, x, w, dtype)
  x, w = x:to(dtype):requires_grad_(), w:to(dtype):requires_grad_()
  local y = f(x, w)
  local ramp = (torch.arange(1, y:numel() + 1, { dtype = torch.float64 }) % 7 - 3):view(y.shape):to(dtype)
  local gx, gw = torch.autograd.grad(y, { x, w }, ramp)
  return y:double(), gx:double(), gw:double()
end

-- o: channels in and out, groups, kernel (two sizes), stride, padding, dilation.
local function check_convolution(o, batch, h, width)
  local x = torch.randn(batch, o[1], h, width, { dtype = torch.float64 })
  local w = torch.randn(o[2], o[1] // o[3], o[4], o[5], { dtype = torch.float64 })
  local function plain(a, b) return convolved(a, b, o[6], o[7], o[8], o[3]) end
  local function ours(a, b) return F.conv2d(a, b, nil, o[6], o[7], o[8], o[3]) end
  local expected = { directions(plain, x, w, "float64") }
  for dtype, tolerance in pairs { float64 = 1e-12, float32 = 1e-5 } do
    for k, got in ipairs { directions(ours, x, w, dtype) } do
      local apart = (got - expected[k]):abs():max():item() / (1 + expected[k]:abs():max():item())
      local what = ({ "result", "gradient of the input", "gradient of the weight" })[k]
      if apart > tolerance or apart ~= apart then
        error(("%s, %s, of %dx%d, %s: apart by %g"):format(what, dtype, h, width, table.concat(o, " "), apart), 0)
      end
    end
  end
  local a, b = x:mul(3):to("int64"), w:mul(3):to("int64")
  assert.is_true(ours(a, b):equal(convolved(a:double(), b:double(), o[6], o[7], o[8], o[3]):to("int64")), "int64")
end

it("depthwise convolutions of planes 1 to 1100 wide", function()
  torch.manual_seed(8)
  for _, o in ipairs { { 3, 3, 3, 3, 3, 1, 1, 1 }, { 2, 2, 2, 5, 5, 1, 2, 1 }, { 2, 2, 2, 3, 3, 2, 1, 1 },
    { 2, 2, 2, 1, 4, 1, 0, 1 }, { 2, 2, 2, 4, 2, 3, 1, 1 }, { 2, 2, 2, 3, 3, 1, 2, 2 }, { 2, 2, 2, 2, 2, 2, 0, 1 } } do
    local h, width = math.max(1, (o[4] - 1) * o[8] + 1 - 2 * o[7]), math.max(1, (o[5] - 1) * o[8] + 1 - 2 * o[7])
    for _, more in ipairs { 0, 1, 2, 3, 6, 7, 8, 9, 13, 14, 15, 16, 17, 30, 31, 32, 33, 47 } do
      check_convolution(o, 2, h + more % 7, width + more)
    end
    check_convolution(o, 1, h + 40, width + 150) -- several windows one above the other,
    check_convolution(o, 1, h + 5, width + 1099) -- and side by side
  end
end)

it("convolutions of images of 1 to 12 pixels in groups of few and of many channels", function()
  torch.manual_seed(9)
  for _, o in ipairs { { 3, 20, 1, 3, 3, 1, 1, 1 }, { 4, 6, 2, 3, 3, 2, 1, 1 }, { 5, 17, 1, 1, 1, 2, 0, 1 },
    { 4, 30, 2, 2, 3, 1, 1, 1 }, { 3, 1, 1, 3, 3, 1, 1, 1 }, { 2, 9, 1, 3, 3, 3, 2, 2 },
    { 20, 6, 1, 3, 3, 2, 1, 1 } } do
    for _, size in ipairs { { 3, 3 }, { 4, 4 }, { 3, 9 }, { 7, 5 }, { 8, 8 }, { 12, 12 } } do
      for _, batch in ipairs { 1, 3, 7 } do check_convolution(o, batch, size[1], size[2]) end
    end
  end
end)

it("an infinity reaches the gradient of no tap that does not meet it", function()
  for _, size in ipairs { { 1, 1 }, { 2, 3 }, { 5, 16 }, { 4, 19 }, { 6, 40 } } do
    for _, at in ipairs { { 1, 1 }, size } do
      local x = torch.ones(1, 2, size[1], size[2], { dtype = torch.float64 })
      x[{ 1, 1, at[1], at[2] }] = math.huge
      local w = torch.ones(2, 1, 3, 3, { dtype = torch.float64 })
      for _, dtype in ipairs { "float32", "float64" } do
        local a, b = x:to(dtype), w:to(dtype):requires_grad_()
        local expected = torch.autograd.grad(convolved(a, b, 1, 1, 1, 2):sum(), { b })
        assert.is_true(torch.autograd.grad(F.conv2d(a, b, nil, 1, 1, 1, 2):sum(), { b }):equal(expected),
          ("%s, %dx%d"):format(dtype, size[1], size[2]))
      end
    end
  end
end)

it("a convolution's gradients are the same for every number of threads", function()
  local before = torch.get_num_threads()
  local guard <close> = setmetatable({}, { __close = function() torch.set_num_threads(before) end }) -- luacheck: ignore
  torch.manual_seed(10)
  for _, o in ipairs { { 3, 64, 64, 32, 1 }, { 8, 16, 2, 64, 1 }, { 3, 40, 40, 30, 40 }, { 9, 30, 40, 8, 1 } } do
    local x = torch.randn(o[1], o[2], o[4], o[4], { requires_grad = true })
    local w, first = torch.randn(o[3], o[2] // o[5], 3, 3, { requires_grad = true }), nil
    for _, count in ipairs { 1, 2, 5 } do
      torch.set_num_threads(count)
      local y = F.conv2d(x, w, nil, 1, 1, 1, o[5])
      local gx, gw = torch.autograd.grad((y * y):sum(), { x, w })
      first = first or { y, gx, gw }
      for k, t in ipairs { y, gx, gw } do
        assert.is_true(t:equal(first[k]), ("%d of %s with %d threads"):format(k, table.concat(o, " "), count))
      end
    end
  end
end)
