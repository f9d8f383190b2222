--- What `make bench` times: each row names a workload, what it costs at least, and what it must reach.
--
-- A row: { group, title, key, args…, and
--   flops   operations that the mathematics asks for, or nil        f64  they are float64
--   bytes   memory traffic that it cannot avoid, or nil             stream  which loop of bench/machine.c moves it
--   least   the share of the nearer limit that must be reached      most    the share of PyTorch's time allowed
--   threads "one" where it is timed so only                         loops   the work is a function of the repeats }
-- `key` is a function of this file and of torch_side.py; it takes args and returns a function that does the work once.
-- Invariant: both sides do the same work on the same shapes, and results are freed at once on both.

local torch = require "moontorch"
local models = require "models"

local nn, F = torch.nn, torch.nn.functional
local BIG = 1 << 24

local make = {}

local function each(n, f)
  local list = {}
  for k = 1, n do list[k] = f() end
  return list
end

-- A function that gives the gradients of y by `inputs` again and again.
local function gradients(y, inputs)
  local gy = torch.randn_like(y)
  return function()
    for _, g in ipairs { torch.autograd.grad(y, inputs, gy, { retain_graph = true }) } do g:free() end
  end
end

-- Both directions of a function of tensors.
local function forward(f, ...)
  local inputs = { ... }
  return function() return (f(table.unpack(inputs))) end
end
local function backward(f, ...)
  local inputs = { ... }
  for _, t in ipairs(inputs) do t:requires_grad_() end
  return gradients((f(table.unpack(inputs))), inputs)
end
local direction = { forward = forward, backward = backward }

function make.matmul(n) return forward(torch.matmul, torch.randn(n, n), torch.randn(n, n)) end
function make.matmul_f64(n)
  local a = torch.randn(n, n, { dtype = torch.float64 })
  return forward(torch.matmul, a, a:clone())
end
function make.matmul_half(name, n)
  return forward(torch.matmul, torch.randn(n, n):to(torch[name]), torch.randn(n, n):to(torch[name]))
end
function make.linear_gradients(m, k, n)
  local x, w = torch.randn(m, k, { requires_grad = true }), torch.randn(n, k, { requires_grad = true })
  local gy = torch.randn(m, n)
  return function()
    local y <close> = F.linear(x, w)
    for _, g in ipairs { torch.autograd.grad(y, { x, w }, gy) } do g:free() end
  end
end
function make.matvec(n) return forward(torch.mv, torch.randn(n, n), torch.randn(n)) end
function make.bmm(b, n) return forward(torch.bmm, torch.randn(b, n, n), torch.randn(b, n, n)) end

function make.unary(name, n)
  local x, f = torch.randn(n), torch[name] or F[name]
  return function() return f(x) end
end
function make.binary(name, n) return forward(torch[name], torch.randn(n), torch.randn(n)) end
function make.copy(n)
  local x, y = torch.randn(n), torch.empty(n)
  return function() y:copy_(x) end
end
function make.fill(n)
  local x = torch.empty(n)
  return function() x:fill_(1) end
end
function make.transpose_copy(n)
  local x = torch.randn(n, n):t()
  return function() return x:contiguous() end
end
function make.reduce(name, n, m, dim)
  local x = m > 1 and torch.randn(n, m) or torch.randn(n)
  local f = torch[name]
  if dim == 0 then return function() return f(x) end end
  return function()
    local a, b = f(x, dim)
    a:free()
    if b then b:free() end
  end
end

function make.softmax(way, n, m)
  return direction[way](function(x) return F.softmax(x, -1) end, torch.randn(n, m))
end
function make.layer_norm(way, n, m)
  return direction[way](function(x, w, b) return F.layer_norm(x, { m }, w, b) end, torch.randn(n, m), torch.ones(m),
    torch.zeros(m))
end
function make.batch_norm(way, b, c, s)
  return direction[way](function(x, w, v) return F.batch_norm(x, nil, nil, w, v, true) end, torch.randn(b, c, s, s),
    torch.ones(c), torch.zeros(c))
end
function make.cross_entropy(way, n, m)
  local labels = torch.randint(1, m + 1, { n })
  return direction[way](function(x) return F.cross_entropy(x, labels) end, torch.randn(n, m))
end

function make.conv(way, b, c, out, size, kernel, groups)
  return direction[way](function(x, w) return F.conv2d(x, w, nil, 1, kernel // 2, 1, groups) end,
    torch.randn(b, c, size, size), torch.randn(out, c // groups, kernel, kernel))
end
function make.max_pool(way, b, c, size)
  return direction[way](function(x) return F.max_pool2d(x, 2) end, torch.randn(b, c, size, size))
end
function make.recurrent(kind, way, t, b, n, h)
  local layer, x = nn[kind](n, h), torch.randn(t, b, n, { requires_grad = way == "backward" })
  if way == "forward" then
    for _, p in ipairs(layer:parameters()) do p:requires_grad_(false) end
    return function()
      local y, state = layer(x)
      y:free()
      for _, s in ipairs(torch.is_tensor(state) and { state } or state) do s:free() end
    end
  end
  local inputs = layer:parameters()
  table.insert(inputs, 1, x)
  return gradients((layer(x)), inputs)
end
function make.attention(way, b, heads, length, width, causal)
  return direction[way](function(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, { is_causal = causal == 1 })
  end, table.unpack(each(3, function() return torch.randn(b, heads, length, width) end)))
end

-- A training step of a model: labels from 1.
local function step(model, x, labels, optimizer)
  return function()
    optimizer:zero_grad()
    local y = model(x)
    F.cross_entropy(y:flatten(1, -2), labels):backward()
    optimizer:step()
  end
end
local function classifier(model, x, classes, ...)
  local count = x:size(1) * (select("#", ...) > 0 and ... or 1)
  return step(model, x, torch.randint(1, classes + 1, { count }), torch.optim.Adam(model:parameters()))
end
function make.mlp_step(batch, ...)
  local sizes = { ... }
  return classifier(models.mlp(sizes, nn.ReLU), torch.randn(batch, sizes[1]), sizes[#sizes])
end
function make.mnist_cnn_step(batch) return classifier(models.mnist_cnn(), torch.randn(batch, 1, 28, 28), 10) end
function make.resnet_step(batch) return classifier(models.resnet18(10), torch.randn(batch, 3, 32, 32), 10) end
function make.gpt_step(layers, width, length, batch)
  local model = models.gpt { layers = layers, width = width, heads = width // 64, length = length, vocabulary = 65 }
  return classifier(model, torch.randint(1, 66, { batch, length }), 65, length)
end
function make.adam_step(count)
  local list = each(10, function() return nn.Parameter(torch.randn(count // 10)) end)
  for _, p in ipairs(list) do p.grad = torch.randn_like(p.data) end
  local optimizer = torch.optim.Adam(list)
  return function() optimizer:step() end
end

function make.sort(n)
  return function()
    local x <close> = torch.randn(n)
    local a, b = x:sort()
    a:free()
    b:free()
  end
end
function make.topk(n, m, k)
  local x = torch.randn(n, m)
  return function()
    local a, b = x:topk(k)
    a:free()
    b:free()
  end
end
function make.cumsum(n, m, dim) return forward(function(x) return torch.cumsum(x, dim) end, torch.randn(n, m)) end
function make.gather(n, m)
  return forward(function(x, i) return torch.gather(x, 2, i) end, torch.randn(n, m), torch.randint(1, m + 1, { n, m }))
end
function make.embedding(way, rows, width, count)
  local index = torch.randint(1, rows + 1, { count })
  return direction[way](function(w) return F.embedding(index, w) end, torch.randn(rows, width))
end

-- So short that the loop is theirs: these return a function of the number of repeats.
function make.add_small(n)
  local a, b = torch.ones(n), torch.ones(n)
  return function(repeats)
    for _ = 1, repeats do
      local c = a + b -- luacheck: ignore
    end
  end
end
function make.recorded(n)
  local x, b = torch.ones(n, { requires_grad = true }), torch.ones(n)
  return function(repeats)
    for _ = 1, repeats do (x + b):sum():backward() end
  end
end
function make.mlp_forward(...)
  local sizes = { ... }
  local model, x = models.mlp(sizes, nn.Tanh), torch.randn(1, sizes[1])
  return function(repeats)
    local guard <close> = torch.no_grad() -- luacheck: ignore
    for _ = 1, repeats do model(x) end
  end
end

-- The rows ------------------------------------------------------------------------------------------------------------

local rows = {}
local function row(group, title, key, args, r)
  r = r or {}
  r.group, r.title, r.key, r.args = group, title, key, args
  rows[#rows + 1] = r
end

for i, n in ipairs { 64, 128, 256, 512, 1024, 2048 } do
  row("matmul", "matmul " .. n, "matmul", { n },
    { flops = 2 * n ^ 3, least = ({ 0.75, 0.85, 0.9, 0.92, 0.92, 0.92 })[i] })
end
row("matmul", "matmul 512, float64", "matmul_f64", { 512 }, { flops = 2 * 512 ^ 3, f64 = true })
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

local TABLE = 4096 * 1024
for _, name in ipairs { "softmax", "layer_norm" } do
  row("norm", name .. " of 4096x1024, forward", name, { "forward", 4096, 1024 },
    { bytes = 8 * TABLE, stream = "copy", least = 0.7 })
  row("norm", name .. " of 4096x1024, backward", name, { "backward", 4096, 1024 },
    { bytes = 12 * TABLE, stream = "add", least = 0.7 })
end
row("norm", "batch norm 32x64x56x56, forward", "batch_norm", { "forward", 32, 64, 56 },
  { bytes = 12 * 32 * 64 * 56 ^ 2, stream = "add" })
row("norm", "batch norm 32x64x56x56, backward", "batch_norm", { "backward", 32, 64, 56 },
  { bytes = 20 * 32 * 64 * 56 ^ 2, stream = "add" })
row("norm", "cross entropy of 4096x1024, forward", "cross_entropy", { "forward", 4096, 1024 },
  { bytes = 4 * TABLE, stream = "read" })
row("norm", "cross entropy of 4096x1024, backward", "cross_entropy", { "backward", 4096, 1024 },
  { bytes = 8 * TABLE, stream = "copy" })

local function convolution(title, least, b, c, out, size, kernel, groups)
  local flops = 2 * b * out * (c // groups) * size ^ 2 * kernel ^ 2
  local bytes = 4 * b * (c + out) * size ^ 2
  row("conv", title .. ", forward", "conv", { "forward", b, c, out, size, kernel, groups },
    { flops = flops, bytes = bytes, stream = "copy", least = least })
  row("conv", title .. ", both gradients", "conv", { "backward", b, c, out, size, kernel, groups },
    { flops = 2 * flops, bytes = 2 * bytes, stream = "copy", least = least })
end
convolution("conv 3x3, 64 to 64, 56x56, batch 8", 0.75, 8, 64, 64, 56, 3, 1)
convolution("conv 1x1, 64 to 256, 56x56, batch 8", 0.75, 8, 64, 256, 56, 1, 1)
convolution("depthwise 3x3, 128, 56x56, batch 8", 0.75, 8, 128, 128, 56, 3, 128)
for _, way in ipairs { "forward", "backward" } do
  row("conv", "max pool 2x2, 32x64x56x56, " .. way, "max_pool", { way, 32, 64, 56 },
    { bytes = (way == "forward" and 5 or 6) * 32 * 64 * 56 ^ 2, stream = "copy" })
end

for _, kind in ipairs { "LSTM", "GRU" } do
  local gates = kind == "LSTM" and 4 or 3
  for i, way in ipairs { "forward", "backward" } do
    row("recurrent", ("%s 50x32x128 to 256, %s"):format(kind, way), "recurrent", { kind, way, 50, 32, 128, 256 },
      { flops = i * 2 * 50 * 32 * gates * 256 * (128 + 256), least = kind == "LSTM" and 0.65 or nil })
  end
end
for causal = 0, 1 do
  for _, way in ipairs { "forward", "backward" } do
    local products = way == "forward" and 2 or 5
    row("attention", ("attention 4x8x256x64%s, %s"):format(causal == 1 and ", causal" or "", way), "attention",
      { way, 4, 8, 256, 64, causal },
      { flops = products * 2 * 4 * 8 * 256 ^ 2 * 64 / (causal + 1), least = causal == 0 and 0.6 or nil })
  end
end

-- Operations of a step: forward, and the two gradients of each product but the first layer's by its input.
local CNN = 2 * 64 * (2 * 32 * 9 * 26 ^ 2 + 3 * 64 * 32 * 9 * 24 ^ 2 + 3 * 9216 * 128 + 3 * 128 * 10)
row("model", "MNIST CNN step, batch 64", "mnist_cnn_step", { 64 }, { flops = CNN, least = 0.6 })
row("model", "ResNet-18 step, 32x32, batch 32", "resnet_step", { 32 },
  { flops = 32 * models.resnet18_flops(), least = 0.6 })
row("model", "GPT step, 6 layers of 384, 256 long, batch 8", "gpt_step", { 6, 384, 256, 8 },
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

return { make = make, rows = rows }
