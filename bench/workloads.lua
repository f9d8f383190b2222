--- The work that the benchmarks time: functions of what a row's args say, that return a function which does the work
-- once, or, where a row says `loops`, as often as it is told. torch_side.py has the same ones.
--
-- Invariant: both sides do the same work on the same shapes, and results are freed at once on both. Tensors are made on
-- the default device with the default dtype, so a row for a GPU or for another dtype needs no other function.

local torch = require "moontorch"
local models = require "models"

local nn, F = torch.nn, torch.nn.functional
local make = {}

-- The dtype that training steps are cast to where it pays, or nil.
local cast

--- What a row wants to be other than usual: dtype, precision (of float32 products), autocast (a dtype).
local function configure(options)
  torch.set_default_dtype(torch[options.dtype or "float32"])
  torch.set_float32_matmul_precision(options.precision or "highest")
  cast = options.autocast and torch[options.autocast]
end

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
  local function loss() return F.cross_entropy(model(x):flatten(1, -2), labels) end
  local dtype, device = cast, x.device.type
  return function()
    optimizer:zero_grad()
    local l = dtype and torch.autocast(device, { dtype = dtype }, loss) or loss()
    l:backward()
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
function make.mnist_cnn_step(batch, width)
  return classifier(models.mnist_cnn(width), torch.randn(batch, 1, 28, 28), 10)
end
function make.resnet_step(batch, width)
  return classifier(models.resnet18(10, width), torch.randn(batch, 3, 32, 32), 10)
end
function make.gpt_step(layers, width, length, batch, vocabulary, tied)
  local model = models.gpt { layers = layers, width = width, heads = width // 64, length = length,
    vocabulary = vocabulary, tied = tied == 1 }
  return classifier(model, torch.randint(1, vocabulary + 1, { batch, length }), vocabulary, length)
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

--- A function of the repeats that frees each result at once.
local function repeated(once)
  return function(repeats)
    for _ = 1, repeats do
      local result <close> = once() -- luacheck: ignore
    end
  end
end

return { make = make, configure = configure, repeated = repeated }
