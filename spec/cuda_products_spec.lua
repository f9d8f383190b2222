--- Products, convolution, pooling and resampling on a GPU at sizes that samples do not reach, against the CPU;
-- the modes of torch.backends; libraries that are missing or fail.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"
local F = torch.nn.functional

if gpu.missing(describe, it, "CUDA products") then return end

local TOLERANCE = {
  [torch.float64] = 1e-12, [torch.float32] = 1e-5, [torch.float16] = 2e-3, [torch.bfloat16] = 1.6e-2,
}

-- Of what is largest in the one that is wanted.
local function close(got, wanted, dtype, what)
  assert.is_true(got.is_cuda, what)
  assert.same(wanted:size(), got:size(), what)
  if wanted:numel() == 0 then return end
  got, wanted = got:detach():cpu():double(), wanted:detach():double()
  local scale = math.max(wanted:abs():max():item(), 1)
  local off = (got - wanted):abs():max():item() / scale
  assert.is_true(off <= TOLERANCE[dtype], ("%s: off by %g of %g"):format(what, off, scale))
end

-- f of the tensors and its gradients on both sides. `layout` makes of each tensor on the device what f gets.
local function compare(what, dtype, shapes, f)
  local host, device = {}, {}
  for k, shape in ipairs(shapes) do
    host[k] = torch.randn(shape):to(dtype):requires_grad_()
    device[k] = host[k]:detach():cuda():requires_grad_()
  end
  local wanted, got = f(table.unpack(host)), f(table.unpack(device))
  close(got, wanted, dtype, what)
  local weight = torch.randn(wanted:size()):to(dtype)
  local wanted_grads = table.pack(torch.autograd.grad((wanted * weight):sum(), host))
  local grads = table.pack(torch.autograd.grad((got * weight:cuda()):sum(), device))
  for k = 1, #shapes do close(grads[k], wanted_grads[k], dtype, what .. ", gradient " .. k) end
end

local DTYPES = { torch.float64, torch.float32, torch.float16, torch.bfloat16 }

describe("CUDA products", function()
  it("are the CPU's for every layout of the factors", function()
    torch.manual_seed(1)
    for _, dtype in ipairs(DTYPES) do
      for _, size in ipairs { { 33, 17, 65 }, { 1, 40, 7 }, { 40, 1, 7 }, { 5, 40, 1 }, { 3, 0, 4 } } do
        local m, k, n = table.unpack(size)
        local name = ("%s %dx%dx%d"):format(tostring(dtype), m, k, n)
        compare(name, dtype, { { m, k }, { k, n } }, function(a, b) return a:mm(b) end)
        compare(name .. " turned", dtype, { { k, m }, { n, k } }, function(a, b) return a:t():mm(b:t()) end)
        compare(name .. " apart", dtype, { { m, k, 2 }, { k, n, 2 } }, function(a, b)
          return a:select(3, 1):mm(b:select(3, 2))
        end)
        compare(name .. " from the middle", dtype, { { m, k + 3 }, { k + 1, n } }, function(a, b)
          return a:narrow(2, 2, k):mm(b:narrow(1, 2, k))
        end)
        compare(name .. " repeated", dtype, { { 1, k }, { k, n } }, function(a, b) return a:expand(m, k):mm(b) end)
      end
      compare("vectors", dtype, { { 50 }, { 50 } }, function(a, b) return a:dot(b) end)
      compare("matrix and vector", dtype, { { 20, 50 }, { 50 } }, function(a, b) return a:mv(b) end)
      compare("vector and matrix", dtype, { { 20 }, { 20, 30 } }, function(a, b) return a:matmul(b) end)
    end
  end)

  it("broadcast batches without copies", function()
    torch.manual_seed(2)
    for _, dtype in ipairs(DTYPES) do
      compare("bmm", dtype, { { 6, 9, 5 }, { 6, 5, 7 } }, function(a, b) return a:bmm(b) end)
      compare("bmm turned", dtype, { { 6, 5, 9 }, { 6, 7, 5 } }, function(a, b)
        return a:transpose(2, 3):bmm(b:transpose(2, 3))
      end)
      compare("heads", dtype, { { 2, 9, 3, 4 }, { 2, 8, 3, 4 } }, function(a, b)
        return a:permute(1, 3, 2, 4):matmul(b:permute(1, 3, 4, 2))
      end)
      compare("one for all", dtype, { { 3, 2, 9, 5 }, { 5, 7 } }, function(a, b) return a:matmul(b) end)
      compare("two broadcasts", dtype, { { 3, 1, 9, 5 }, { 2, 5, 7 } }, function(a, b) return a:matmul(b) end)
    end
  end)

  it("add, scale, and take a bias", function()
    torch.manual_seed(3)
    for _, dtype in ipairs(DTYPES) do
      for _, shape in ipairs { { 70 }, { 1 }, { 30, 70 }, { 30, 1 } } do
        compare("addmm", dtype, { shape, { 30, 20 }, { 20, 70 } }, function(c, a, b)
          return torch.addmm(c, a, b)
        end)
        compare("addmm scaled", dtype, { shape, { 30, 20 }, { 20, 70 } }, function(c, a, b)
          return torch.addmm(c, a, b, { beta = 0.5, alpha = 2 })
        end)
      end
      compare("addmv", dtype, { { 30 }, { 30, 20 }, { 20 } }, function(c, a, b) return torch.addmv(c, a, b) end)
      compare("baddbmm", dtype, { { 7 }, { 4, 3, 5 }, { 4, 5, 7 } }, function(c, a, b)
        return torch.baddbmm(c, a, b, { beta = 2 })
      end)
      compare("linear", dtype, { { 4, 9, 20 }, { 33, 20 }, { 33 } }, F.linear)
      compare("linear, odd addresses", dtype, { { 9, 21 }, { 33, 21 }, { 34 } }, function(x, w, b)
        return F.linear(x:narrow(2, 2, 20), w:narrow(2, 2, 20), b:narrow(1, 2, 33))
      end)
    end
    local nothing = torch.full({ 2, 2 }, 0 / 0):cuda()
    assert.same({ { 2, 2 }, { 2, 2 } },
      torch.addmm(nothing, torch.ones(2, 2):cuda(), torch.ones(2, 2):cuda(), { beta = 0 }):cpu():tolist())
  end)

  it("keep whole numbers exact", function()
    local a, b = torch.randint(-9, 9, { 6, 5 }), torch.randint(-9, 9, { 5, 4 })
    assert.is_true(torch.equal(a:mm(b), a:cuda():mm(b:cuda()):cpu()))
  end)

  it("pool, resample and attend", function()
    torch.manual_seed(4)
    for _, dtype in ipairs(DTYPES) do
      compare("max_pool2d", dtype, { { 2, 3, 20, 21 } }, function(x) return (F.max_pool2d(x, 3, 2, 1)) end)
      compare("max_pool1d with gaps", dtype, { { 2, 3, 40 } }, function(x)
        return (F.max_pool1d(x, { kernel_size = 4, stride = 3, padding = 2, dilation = 2, ceil_mode = true }))
      end)
      compare("avg_pool2d", dtype, { { 2, 3, 20, 21 } }, function(x)
        return F.avg_pool2d(x, { kernel_size = { 3, 5 }, stride = 2, padding = { 1, 2 }, ceil_mode = true })
      end)
      compare("adaptive_avg_pool2d", dtype, { { 2, 3, 20, 21 } }, function(x)
        return F.adaptive_avg_pool2d(x, { 7, 5 })
      end)
      compare("adaptive_max_pool2d", dtype, { { 2, 3, 20, 21 } }, function(x)
        return (F.adaptive_max_pool2d(x, { 7, 5 }))
      end)
      for _, mode in ipairs { "nearest", "bilinear", "bicubic" } do
        compare("interpolate " .. mode, dtype, { { 1, 2, 9, 10 } }, function(x)
          return F.interpolate(x, { size = { 13, 6 }, mode = mode })
        end)
      end
      compare("attention", dtype, { { 2, 3, 17, 8 }, { 2, 3, 19, 8 }, { 2, 3, 19, 5 } },
        F.scaled_dot_product_attention)
    end
  end)

  it("add gradients of windows that overlap in one order when that is asked for", function()
    local x = torch.randn(2, 3, 30):cuda():requires_grad_()
    torch.use_deterministic_algorithms(true)
    local ok, why = pcall(function()
      local y = F.max_pool1d(x, 5, 1)
      local wanted = torch.autograd.grad(F.max_pool1d(x:cpu(), 5, 1):sum(), x)
      close(torch.autograd.grad(y:sum(), x), wanted:cpu(), torch.float32, "overlapping windows")
    end)
    torch.use_deterministic_algorithms(false)
    assert.is_true(ok, why)
  end)

  it("tell of a position that is none when somebody waits", function()
    local x = torch.randn(1, 1, 4):cuda()
    local index = torch.tensor({ { { 1, 2, 3, 99 } } }):cuda()
    local ok, why = pcall(function() return F.max_unpool1d(x, index, 2):cpu() end)
    assert.is_false(ok)
    assert.is_truthy(why:find("99", 1, true), why)
    assert.equal(4, x:cpu():numel())
  end)
end)

local CONVOLUTIONS = {
  { "1 dim", { 3, 4, 50 }, { 6, 4, 5 }, 6, F.conv1d, { stride = 2, padding = 3, dilation = 2 } },
  { "2 dims", { 2, 4, 13, 14 }, { 6, 4, 3, 3 }, 6, F.conv2d, { padding = 1 } },
  { "strides and groups", { 2, 4, 13, 14 }, { 6, 2, 3, 2 }, 6, F.conv2d,
    { stride = { 2, 3 }, padding = { 1, 0 }, dilation = { 1, 2 }, groups = 2 } },
  { "one result", { 2, 4, 5, 9 }, { 6, 4, 4, 3 }, 6, F.conv2d, { stride = 3, padding = 0 } },
  { "depthwise", { 2, 6, 13, 14 }, { 12, 1, 3, 3 }, 12, F.conv2d, { padding = 1, groups = 6 } },
  { "3 dims", { 2, 3, 5, 6, 7 }, { 4, 3, 2, 3, 3 }, 4, F.conv3d, { stride = { 1, 2, 1 }, padding = { 0, 1, 1 } } },
  { "3 dims with gaps", { 2, 3, 5, 6, 7 }, { 4, 3, 2, 2, 3 }, 4, F.conv3d, { dilation = { 1, 2, 1 } } },
  { "transposed", { 2, 4, 7, 6 }, { 4, 5, 3, 3 }, 5, F.conv_transpose2d,
    { stride = { 2, 3 }, padding = 1, output_padding = { 1, 2 } } },
  { "transposed past its stride", { 2, 4, 7, 6 }, { 4, 5, 3, 3 }, 5, F.conv_transpose2d,
    { stride = 1, padding = 0, output_padding = 1, dilation = 2 } },
  { "transposed in groups", { 2, 4, 9 }, { 4, 3, 4 }, 6, F.conv_transpose1d, { stride = 2, groups = 2 } },
}

local function convolve(title, dtypes)
  torch.manual_seed(5)
  for _, case in ipairs(CONVOLUTIONS) do
    local name, x, w, channels, f, options = table.unpack(case)
    for _, dtype in ipairs(dtypes) do
      compare(title .. name .. " in " .. tostring(dtype), dtype, { x, w, { channels } }, function(a, b, c)
        local given = { bias = c }
        for key, value in pairs(options) do given[key] = value end
        return f(a, b, given)
      end)
    end
  end
end

describe("CUDA convolution", function()
  it("is the CPU's, gradients too", function()
    convolve("", DTYPES)
  end)

  it("is the same by our own kernels", function()
    torch.backends.cudnn.flags({ enabled = false }, function() convolve("own: ", DTYPES) end)
    assert.is_true(torch.backends.cudnn.enabled)
  end)

  it("is the same when algorithms are measured, or are to be repeatable", function()
    torch.backends.cudnn.flags({ enabled = true, benchmark = true }, function()
      convolve("measured: ", { torch.float32 })
    end)
    torch.backends.cudnn.flags({ enabled = true, deterministic = true, allow_tf32 = false }, function()
      convolve("repeatable: ", { torch.float32 })
    end)
  end)

  it("trains a small network as the CPU does", function()
    local function losses(device)
      torch.manual_seed(6)
      local nn = torch.nn
      local model = nn.Sequential(nn.Conv2d(1, 4, 3, { padding = 1 }), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(4 * 4 * 4, 3))
      local x, y = torch.randn(5, 1, 8, 8), torch.tensor { 1, 2, 3, 1, 2 }
      model:to(device)
      x, y = x:to(device), y:to(device)
      local optimizer, all = torch.optim.SGD(model:parameters(), { lr = 0.1, momentum = 0.9 }), {}
      for k = 1, 4 do
        optimizer:zero_grad()
        local loss = F.cross_entropy(model(x), y)
        loss:backward()
        optimizer:step()
        all[k] = loss:item()
      end
      return all
    end
    local wanted, got = losses("cpu"), losses("cuda")
    for k = 1, 4 do assert.is_true(math.abs(wanted[k] - got[k]) <= 1e-5, ("step %d"):format(k)) end
  end)
end)

describe("CUDA products in TF32", function()
  it("are exact where few bits suffice", function()
    torch.backends.cuda.matmul.allow_tf32 = true
    local ok, why = pcall(compare, "TF32", torch.float32, { { 8, 8 }, { 8, 8 } }, function(a, b)
      return a:round():clamp(-4, 4):mm(b:round():clamp(-4, 4))
    end)
    torch.backends.cuda.matmul.allow_tf32 = false
    assert.is_true(ok, why)
  end)
end)

-- Another process of the stand-in, with these settings; what it prints.
local function elsewhere(settings, code)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write('local torch = require "moontorch"\nlocal F = torch.nn.functional\n', code)
  file:close()
  local pipe = assert(io.popen(("%s lua5.4 %s 2>&1"):format(settings, path)))
  local text = pipe:read("a")
  local ok = pipe:close()
  os.remove(path)
  return text, ok
end

local FAILING = [[
  local x, w, b = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3), torch.randn(4)
  local function all()
    local on = { x:cuda(), w:cuda(), b:cuda() }
    local y = F.conv2d(on[1], on[2], on[3])
    return F.linear(y, torch.ones(2, 3):cuda(), torch.ones(2):cuda()):cpu()
  end
  local wanted = F.linear(F.conv2d(x, w, b), torch.ones(2, 3), torch.ones(2))
  local ok, got = pcall(all)
  if ok then print((got - wanted):abs():max():item() < 1e-4) else print("failed: " .. got) end
  if not torch.cuda.is_available() then return print "no device" end
  print((all() - wanted):abs():max():item() < 1e-4)
  collectgarbage() collectgarbage()
  print("held: " .. torch.cuda.memory_allocated())
]]

if os.getenv("STANDIN_LAZY") then describe("Libraries", function()
  it("are named when they are missing", function()
    local text = elsewhere("STANDIN_MISSING=libcublas.", [[
      local ok, why = pcall(function() return torch.ones(2, 2):cuda():mm(torch.ones(2, 2):cuda()) end)
      print(ok, why)
      print(torch.ones(2, 2):cuda():add(1):sum():item())]])
    assert.is_truthy(text:find("false", 1, true), text)
    assert.is_truthy(text:find("cuBLAS is missing: cannot open libcublas.so.13", 1, true), text)
    assert.is_truthy(text:find("CUDA toolkit", 1, true), text)
    assert.is_truthy(text:find("\n8.0", 1, true), text)
  end)

  it("give way to our own kernels where that is possible", function()
    for _, missing in ipairs { "libcudnn", "libcublasLt" } do
      local text = elsewhere("STANDIN_MISSING=" .. missing, FAILING .. "print(torch.backends.cudnn.version())")
      assert.is_truthy(text:find("true\ntrue\nheld: 0\n", 1, true), text)
      assert.is_truthy(text:find(missing == "libcudnn" and "nil\n$" or "91000\n$"), text)
    end
  end)

  it("may fail at any call, and the next one works", function()
    if os.getenv("STANDIN_LAZY") == "1" then return end
    local text = elsewhere("STANDIN_COUNT=1", FAILING)
    local calls = math.tointeger(text:match("stand%-in: (%d+) calls")) // 2
    local failures = 0
    for n = 1, calls, 2 do
      text = elsewhere("STANDIN_FAIL=" .. n, FAILING)
      if text:find("failed: ", 1, true) then
        failures = failures + 1
        assert.is_truthy(text:find("CUDA error") or text:find("cuDNN error") or text:find("out of memory") or
          text:find("no device", 1, true), text)
      end
      assert.is_truthy(text:find("true\nheld: 0\n", 1, true) or text:find("no device", 1, true), n .. ": " .. text)
    end
    assert.is_true(failures > 10)
  end)
end) end
