--- What the benchmarks time: each row names a workload (workloads.lua), what it costs at least, and what it must reach.
--
-- A row: { group, title, key, args…, and
--   flops   operations that the mathematics asks for, or nil        peak    which limit they are held against (f32)
--   bytes   memory traffic that it cannot avoid, or nil             stream  which limit moves it
--   least   the share of the nearer limit that must be reached      most    the share of PyTorch's time allowed
--   threads "one" where it is timed so only                         loops   the work is a function of the repeats
--   items   how many it treats, and what: {8192, "tokens"}          host    the caller's time counts, not the device's
--   options what is other than usual: dtype, precision, autocast (see configure in workloads.lua) }
-- cpu() is what `make bench` times, cuda(tiny) what `make bench-cuda` does; tiny: sizes that take no time, to see that
-- a row runs.

local models = require "models"

local rows
local function row(group, title, key, args, r)
  r = r or {}
  r.group, r.title, r.key, r.args, r.options = group, title, key, args, r.options or {}
  rows[#rows + 1] = r
end

local function with(fields, more)
  for k, v in pairs(more or {}) do fields[k] = v end
  return fields
end

-- A convolution's two rows; images are squares.
local function convolution(title, more, b, c, out, size, kernel, groups)
  local flops = 2 * b * out * (c // groups) * size ^ 2 * kernel ^ 2
  local bytes = 4 * b * (c + out) * size ^ 2
  row("conv", title .. ", forward", "conv", { "forward", b, c, out, size, kernel, groups },
    with({ flops = flops, bytes = bytes, stream = "copy" }, more))
  row("conv", title .. ", both gradients", "conv", { "backward", b, c, out, size, kernel, groups },
    with({ flops = 2 * flops, bytes = 2 * bytes, stream = "copy" }, more))
end

local function recurrent(kind, t, b, n, h, more)
  local gates = kind == "LSTM" and 4 or 3
  for i, way in ipairs { "forward", "backward" } do
    row("recurrent", ("%s %dx%dx%d to %d, %s"):format(kind, t, b, n, h, way), "recurrent", { kind, way, t, b, n, h },
      with({ flops = i * 2 * t * b * gates * h * (n + h) }, more))
  end
end

local function attention(b, heads, length, width, causal, more)
  for _, way in ipairs { "forward", "backward" } do
    local products = way == "forward" and 2 or 5
    row("attention", ("attention %dx%dx%dx%d%s, %s"):format(b, heads, length, width, causal == 1 and ", causal" or "",
      way), "attention", { way, b, heads, length, width, causal },
      with({ flops = products * 2 * b * heads * length ^ 2 * width / (causal + 1) }, more))
  end
end

-- Both directions of softmax and layer norm.
local function normalised(n, m, more)
  for _, name in ipairs { "softmax", "layer_norm" } do
    row("norm", ("%s of %dx%d, forward"):format(name, n, m), name, { "forward", n, m },
      with({ bytes = 8 * n * m, stream = "copy" }, more))
    row("norm", ("%s of %dx%d, backward"):format(name, n, m), name, { "backward", n, m },
      with({ bytes = 12 * n * m, stream = "add" }, more))
  end
end

-- `make bench` --------------------------------------------------------------------------------------------------------

local function cpu()
  local BIG, TABLE = 1 << 24, 4096 * 1024
  rows = {}
  for i, n in ipairs { 64, 128, 256, 512, 1024, 2048 } do
    row("matmul", "matmul " .. n, "matmul", { n },
      { flops = 2 * n ^ 3, least = ({ 0.75, 0.85, 0.9, 0.92, 0.92, 0.92 })[i] })
  end
  row("matmul", "matmul 512, float64", "matmul_f64", { 512 }, { flops = 2 * 512 ^ 3, peak = "f64" })
  -- bfloat16 may pass float32's limit: some processors multiply it in pairs.
  for _, name in ipairs { "bfloat16", "float16" } do
    row("matmul", "matmul 1024, " .. name, "matmul_half", { name, 1024 }, { flops = 2 * 1024 ^ 3 })
  end
  row("matmul", "64x784x128 and its two gradients", "linear_gradients", { 64, 784, 128 },
    { flops = 6 * 64 * 784 * 128, least = 0.8 })
  row("matmul", "bmm 64 of 64x64", "bmm", { 64, 64 }, { flops = 2 * 64 ^ 4 })
  row("matmul", "matrix-vector 4096", "matvec", { 4096 }, { bytes = 4 * 4096 ^ 2, stream = "read", least = 0.85 })

  for _, name in ipairs { "add", "mul" } do
    row("pointwise", name .. " of 16M", "binary", { name, BIG }, { bytes = 12 * BIG, stream = "add", least = 0.9 })
  end
  row("pointwise", "relu of 16M", "unary", { "relu", BIG }, { bytes = 8 * BIG, stream = "copy", least = 0.9 })
  row("pointwise", "copy of 16M", "copy", { BIG }, { bytes = 8 * BIG, stream = "copy", least = 0.9 })
  row("pointwise", "fill of 16M", "fill", { BIG }, { bytes = 4 * BIG, stream = "fill", least = 0.9 })
  for _, name in ipairs { "exp", "tanh", "sigmoid", "gelu", "log", "sin", "erf" } do
    row("pointwise", name .. " of 16M", "unary", { name, BIG },
      { bytes = 8 * BIG, stream = "copy", least_all = ({ exp = 0.6, tanh = 0.6, sigmoid = 0.6, gelu = 0.6 })[name] })
  end
  for _, name in ipairs { "sum", "max", "mean" } do
    row("reduce", name .. " of 16M", "reduce", { name, BIG, 1, 0 }, { bytes = 4 * BIG, stream = "read", least = 0.85 })
    for dim = 1, 2 do
      row("reduce", ("%s of 4096x4096, dim %d"):format(name, dim), "reduce", { name, 4096, 4096, dim },
        { bytes = 4 * 4096 ^ 2, stream = "read", least = 0.85 })
    end
  end
  row("copy", "transposed copy of 4096x4096", "transpose_copy", { 4096 },
    { bytes = 8 * 4096 ^ 2, stream = "copy", least = 0.6 })

  normalised(4096, 1024, { least = 0.7 })
  row("norm", "batch norm 32x64x56x56, forward", "batch_norm", { "forward", 32, 64, 56 },
    { bytes = 12 * 32 * 64 * 56 ^ 2, stream = "add" })
  row("norm", "batch norm 32x64x56x56, backward", "batch_norm", { "backward", 32, 64, 56 },
    { bytes = 20 * 32 * 64 * 56 ^ 2, stream = "add" })
  row("norm", "cross entropy of 4096x1024, forward", "cross_entropy", { "forward", 4096, 1024 },
    { bytes = 4 * TABLE, stream = "read" })
  row("norm", "cross entropy of 4096x1024, backward", "cross_entropy", { "backward", 4096, 1024 },
    { bytes = 8 * TABLE, stream = "copy" })

  convolution("conv 3x3, 64 to 64, 56x56, batch 8", { least = 0.75 }, 8, 64, 64, 56, 3, 1)
  convolution("conv 1x1, 64 to 256, 56x56, batch 8", { least = 0.75 }, 8, 64, 256, 56, 1, 1)
  convolution("depthwise 3x3, 128, 56x56, batch 8", { least = 0.75 }, 8, 128, 128, 56, 3, 128)
  for _, way in ipairs { "forward", "backward" } do
    row("conv", "max pool 2x2, 32x64x56x56, " .. way, "max_pool", { way, 32, 64, 56 },
      { bytes = (way == "forward" and 5 or 6) * 32 * 64 * 56 ^ 2, stream = "copy" })
  end

  recurrent("LSTM", 50, 32, 128, 256, { least = 0.65 })
  recurrent("GRU", 50, 32, 128, 256)
  attention(4, 8, 256, 64, 0, { least = 0.6 })
  attention(4, 8, 256, 64, 1)

  row("model", "MNIST CNN step, batch 64", "mnist_cnn_step", { 64, 32 },
    { flops = 64 * models.mnist_cnn_flops(32), least = 0.6 })
  row("model", "ResNet-18 step, 32x32, batch 32", "resnet_step", { 32, 64 },
    { flops = 32 * models.resnet18_flops(64), least = 0.6 })
  row("model", "GPT step, 6 layers of 384, 256 long, batch 8", "gpt_step", { 6, 384, 256, 8, 65, 0 },
    { flops = 8 * 256 * models.gpt_flops { layers = 6, width = 384, length = 256, vocabulary = 65 }, least = 0.65 })
  row("model", "step of 784-256-128-10, batch 64, Adam", "mlp_step", { 64, 784, 256, 128, 10 })
  row("model", "Adam step over 10M", "adam_step", { 10000000 }, { bytes = 7 * 4 * 1e7, stream = "add", least = 0.85 })

  row("other", "randn and sort of 1M", "sort", { 1000000 }, { threads = "one" })
  row("other", "topk 10 of 256x10000", "topk", { 256, 10000, 10 }, { bytes = 4 * 2560000, stream = "read" })
  row("other", "cumsum of 4096x1024, dim 2", "cumsum", { 4096, 1024, 2 }, { bytes = 8 * TABLE, stream = "copy" })
  row("other", "gather of 4096x1024, dim 2", "gather", { 4096, 1024 }, { bytes = 16 * TABLE, stream = "add" })
  row("other", "embedding 10000x256, 32768 rows, forward", "embedding", { "forward", 10000, 256, 32768 },
    { bytes = 8 * 32768 * 256, stream = "copy" })
  row("other", "embedding 10000x256, 32768 rows, backward", "embedding", { "backward", 10000, 256, 32768 },
    { bytes = 8 * 32768 * 256, stream = "copy" })

  row("call", "add of 4 elements", "add_small", { 4 }, { most = 0.2, threads = "one", loops = true })
  row("call", "add, sum and backward of 4 elements", "recorded", { 4 },
    { most = 0.15, threads = "one", loops = true })
  row("call", "forward of 16-64-64-4, tanh, batch 1", "mlp_forward", { 16, 64, 64, 4 },
    { most = 0.15, threads = "one", loops = true })
  row("call", "step of 32-64-64-8, batch 16, Adam", "mlp_step", { 16, 32, 64, 64, 8 }, { most = 0.1, threads = "one" })
  return rows
end

-- `make bench-cuda` ---------------------------------------------------------------------------------------------------

local AT_LEAST = 0.85 -- of the device's copying
local function cuda(tiny)
  rows = {}
  local function size(n, small) return tiny and small or n end
  local BIG, ROWS, COLUMNS = size(1 << 27, 100), size(16384, 5), size(4096, 20)
  local function moved(bytes) return { bytes = bytes, stream = "copy", least = AT_LEAST, most = 1 } end
  local count = tiny and BIG .. "" or (BIG >> 20) .. "M"

  row("pointwise", "copy of " .. count, "copy", { BIG }, moved(8 * BIG))
  row("pointwise", "add of " .. count, "binary", { "add", BIG }, moved(12 * BIG))
  row("pointwise", "gelu of " .. count, "unary", { "gelu", BIG }, moved(8 * BIG))
  row("pointwise", "gelu of " .. count .. ", bfloat16", "unary", { "gelu", BIG },
    with(moved(4 * BIG), { options = { dtype = "bfloat16" } }))
  normalised(ROWS, COLUMNS, { stream = "copy", least = AT_LEAST, most = 1 })
  local side = size(8192, 9)
  row("copy", ("transposed copy of %dx%d"):format(side, side), "transpose_copy", { side }, moved(8 * side ^ 2))

  for _, n in ipairs { size(4096, 8), size(8192, 16) } do
    for _, kind in ipairs { "float32", "TF32", "bfloat16" } do
      row("matmul", ("matmul %d, %s"):format(n, kind), "matmul", { n },
        { flops = 2 * n ^ 3, peak = kind, most = 1 / 0.97,
          options = { precision = kind == "TF32" and "high" or nil, dtype = kind == "bfloat16" and kind or nil } })
    end
  end

  local half = { peak = "bfloat16", most = 1, options = { dtype = "bfloat16" } }
  local batch, image = size(64, 1), size(56, 6)
  for _, kind in ipairs { "TF32", "bfloat16" } do -- cuDNN multiplies float32 so, unless it is told not to
    local more = { peak = kind, most = 1, stream = "copy", options = kind == "bfloat16" and half.options or nil }
    local bytes = kind == "bfloat16" and 2 or 4
    local function conv(title, c, out, kernel, groups)
      title = ("%s %dx%d, %d to %d, %dx%d, batch %d, %s"):format(title, kernel, kernel, c, out, image, image, batch,
        kind)
      convolution(title, more, batch, c, out, image, kernel, groups)
      for k = #rows - 1, #rows do rows[k].bytes = rows[k].bytes / 4 * bytes end
    end
    conv("conv", size(64, 3), size(64, 4), 3, 1)
    conv("conv", size(64, 3), size(256, 5), 1, 1)
    conv("depthwise", size(128, 6), size(128, 6), 3, size(128, 6))
    local before = #rows
    recurrent("LSTM", size(100, 2), size(64, 2), size(512, 5), size(512, 4), more)
    for k = before + 1, #rows do
      rows[k].title, rows[k].stream = rows[k].title .. ", " .. kind, nil
    end
  end
  for causal = 0, 1 do
    attention(size(8, 1), size(16, 2), size(2048, 7), size(64, 8), causal, half)
  end

  local function model(title, key, args, n, what, flops)
    row("model", title .. ", bfloat16 autocast", key, args,
      { flops = n * flops, peak = "bfloat16", items = { n, what }, most = 1, options = { autocast = "bfloat16" } })
  end
  local images, width = size(512, 1), size(32, 2)
  model("MNIST CNN step, batch " .. images, "mnist_cnn_step", { images, width }, images, "images",
    models.mnist_cnn_flops(width))
  images, width = size(256, 2), size(64, 2)
  model("ResNet-18 step, 32x32, batch " .. images, "resnet_step", { images, width }, images, "images",
    models.resnet18_flops(width))
  local o = { layers = size(12, 1), width = size(768, 64), length = size(1024, 5) }
  o.vocabulary = size(50257, 11)
  batch = size(8, 1)
  model(("GPT-2 step, %d layers of %d, %d long, batch %d"):format(o.layers, o.width, o.length, batch), "gpt_step",
    { o.layers, o.width, o.length, batch, o.vocabulary, 1 }, batch * o.length, "tokens", models.gpt_flops(o))
  local count_adam = size(100000000, 100)
  row("model", ("Adam step over %d"):format(count_adam), "adam_step", { count_adam }, moved(7 * 4 * count_adam))

  row("call", "launching an add of 4 elements", "add_small", { 4 }, { most = 1 / 3, loops = true, host = true })
  return rows
end

return { cpu = cpu, cuda = cuda }
