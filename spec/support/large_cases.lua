--- Calls of such sizes that threads share their work, or that a path for large or odd sizes takes them: {name, make}
-- as in determinism.lua. Each also gives the gradients of its inputs, where it has any.
local torch = require "moontorch"
local nn, F = torch.nn, torch.nn.functional

local cases = {}

local function add(name, make) cases[#cases + 1] = { name = name, make = make } end

local function normal(...) return torch.randn(...) end

-- run() of a function of some tensors: its results, then the gradients of the float inputs.
local function differentiated(inputs, fn)
  return function()
    local leaves, given = {}, {}
    for k, t in ipairs(inputs) do
      given[k] = t.dtype.is_floating_point and t:detach():requires_grad_() or t
      if t.dtype.is_floating_point then leaves[#leaves + 1] = given[k] end
    end
    torch.manual_seed(3)
    local out = table.pack(fn(table.unpack(given)))
    local heads, grads = {}, {}
    torch.manual_seed(4)
    for k = 1, out.n do
      if torch.is_tensor(out[k]) and out[k].requires_grad then
        heads[#heads + 1] = out[k]
        grads[#grads + 1] = torch.randn(out[k].shape, { dtype = out[k].dtype })
      end
    end
    local got = table.pack(torch.autograd.grad(heads, leaves, { grad_outputs = grads, allow_unused = true,
      materialize_grads = true }))
    table.move(got, 1, got.n, out.n + 1, out)
    out.n = out.n + got.n
    return out
  end
end

-- A case whose inputs are randn of these shapes, and its gradients.
local function of(name, shapes, fn)
  add(name, function()
    torch.manual_seed(1)
    local inputs = {}
    for k, shape in ipairs(shapes) do inputs[k] = normal(shape) end
    return differentiated(inputs, fn)
  end)
end

-- Products -----------------------------------------------------------------------------------------------------------

for _, s in ipairs {
  { 257, 129, 511 }, { 1, 5000, 700 }, { 700, 5000, 1 }, { 3, 3000, 64 }, { 65, 4100, 33 }, { 1000, 30, 1000 },
  { 31, 1027, 2051 }, { 128, 2048, 128 },
} do
  local m, k, n = s[1], s[2], s[3]
  of(("matmul %d x %d x %d"):format(m, k, n), { { m, k }, { k, n } }, torch.matmul)
  of(("matmul %d x %d x %d, transposed"):format(m, k, n), { { k, m }, { n, k } }, function(a, b)
    return torch.matmul(a:t(), b:t())
  end)
end
of("batched matmul", { { 33, 65, 70 }, { 33, 70, 41 } }, torch.bmm)
of("broadcast matmul", { { 7, 1, 65, 70 }, { 5, 70, 41 } }, torch.matmul)
of("vector and matrix", { { 3001 }, { 3001, 203 } }, torch.matmul)
of("dot", { { 200003 }, { 200003 } }, function(a, b) return torch.dot(a, a + b) end)
of("linear", { { 515, 301 }, { 203, 301 }, { 203 } }, F.linear)
of("einsum", { { 20, 30, 40 }, { 40, 25, 20 } }, function(a, b) return torch.einsum("ijk,kli->jl", a, b) end)
for _, dtype in ipairs { "float64", "float16", "bfloat16" } do
  of("matmul in " .. dtype, { { 205, 1111 }, { 1111, 97 } }, function(a, b) return a:to(dtype):matmul(b:to(dtype)) end)
end

-- Convolution and pooling --------------------------------------------------------------------------------------------

for _, s in ipairs {
  { "plain", { 21, 5, 30, 31 }, { 9, 5, 3, 3 }, { stride = 1 } },
  { "strided", { 22, 4, 41, 40 }, { 11, 4, 5, 4 }, { stride = { 2, 3 }, padding = 2 } },
  { "dilated", { 10, 4, 40, 41 }, { 6, 4, 3, 3 }, { dilation = { 2, 3 }, padding = 3 } },
  { "grouped", { 24, 12, 25, 26 }, { 18, 4, 3, 3 }, { groups = 3, padding = 1 } },
  { "depthwise", { 30, 16, 32, 33 }, { 16, 1, 3, 3 }, { groups = 16, padding = 1 } },
  { "1 x 1", { 17, 20, 30, 30 }, { 33, 20, 1, 1 }, { stride = 1 } },
  { "1 x 1, strided", { 17, 20, 30, 30 }, { 33, 20, 1, 1 }, { stride = 2 } },
  { "of one channel", { 65, 1, 28, 28 }, { 1, 1, 5, 5 }, { padding = 2 } },
  { "of large images", { 3, 3, 250, 251 }, { 5, 3, 7, 7 }, { padding = 3 } },
} do
  local name, x, w, options = table.unpack(s)
  of("conv2d " .. name, { x, w, { w[1] }, }, function(input, weight, bias)
    return F.conv2d(input, weight, bias, options)
  end)
end
of("conv1d", { { 40, 7, 500 }, { 9, 7, 5 }, { 9 } }, F.conv1d)
of("conv3d", { { 6, 3, 12, 13, 14 }, { 5, 3, 3, 2, 3 }, { 5 } }, F.conv3d)
of("conv_transpose2d", { { 18, 6, 20, 21 }, { 6, 7, 3, 3 }, { 7 } }, function(x, w, b)
  return F.conv_transpose2d(x, w, b, { stride = 2, padding = 1, output_padding = 1 })
end)
of("conv2d in float64", { { 20, 4, 30, 30 }, { 6, 4, 3, 3 } }, function(x, w)
  return F.conv2d(x:double(), w:double())
end)
of("max_pool2d", { { 20, 6, 51, 50 } }, function(x) return F.max_pool2d(x, 3, 2, 1) end)
of("avg_pool2d", { { 20, 6, 51, 50 } }, function(x) return F.avg_pool2d(x, 3, 2, 1) end)
of("adaptive_avg_pool2d", { { 20, 6, 51, 50 } }, function(x) return F.adaptive_avg_pool2d(x, { 7, 6 }) end)
of("interpolate", { { 4, 5, 60, 61 } }, function(x)
  return F.interpolate(x, { scale_factor = 1.7, mode = "bilinear", align_corners = false })
end)
of("grid_sample", { { 4, 5, 30, 31 }, { 4, 70, 71, 2 } }, function(x, grid)
  return F.grid_sample(x, torch.tanh(grid), { align_corners = false })
end)
of("unfold and fold", { { 6, 4, 40, 41 } }, function(x)
  return F.fold(F.unfold(x, 3, { padding = 1 }), { 40, 41 }, 3, { padding = 1 })
end)

-- Recurrent layers and attention -------------------------------------------------------------------------------------

for _, kind in ipairs { "LSTM", "GRU", "RNN" } do
  for _, s in ipairs { { 17, 70, 40, 64 }, { 40, 5, 30, 33 }, { 6, 130, 65, 128 } } do
    add(("%s, %d steps of %d rows"):format(kind, s[1], s[2]), function()
      torch.manual_seed(2)
      local layer = nn[kind](s[3], s[4], { num_layers = 2, bidirectional = true })
      local x = normal { s[1], s[2], s[3] }
      return function()
        layer:zero_grad()
        local input = x:detach():requires_grad_()
        local out, h = layer(input)
        out:pow(2):sum():backward()
        local list = { out, type(h) == "table" and h[1] or h, input.grad }
        for _, p in ipairs(layer:parameters()) do list[#list + 1] = p.grad end
        return list
      end
    end)
  end
end
for _, s in ipairs { { 3, 4, 130, 200, 32 }, { 2, 2, 513, 700, 40 }, { 5, 3, 1, 900, 64 }, { 1, 1, 1200, 1100, 16 } } do
  for _, causal in ipairs { false, true } do
    of(("attention of %d queries and %d keys%s"):format(s[3], s[4], causal and ", causal" or ""),
      { { s[1], s[2], s[3], s[5] }, { s[1], s[2], s[4], s[5] }, { s[1], s[2], s[4], s[5] } }, function(q, k, v)
      return F.scaled_dot_product_attention(q, k, v, { is_causal = causal })
    end)
  end
end
of("attention with dropout", { { 2, 3, 90, 16 }, { 2, 3, 110, 16 }, { 2, 3, 110, 16 } }, function(q, k, v)
  return F.scaled_dot_product_attention(q, k, v, { dropout_p = 0.3 })
end)
add("transformer layer", function()
  torch.manual_seed(2)
  local layer = nn.TransformerEncoderLayer(48, 4, { dim_feedforward = 96, batch_first = true })
  local x = normal { 8, 70, 48 }
  return function()
    torch.manual_seed(5)
    layer:zero_grad()
    local out = layer(x)
    out:pow(2):sum():backward()
    local list = { out }
    for _, p in ipairs(layer:parameters()) do list[#list + 1] = p.grad end
    return list
  end
end)

-- Rows: softmax, norms, losses ---------------------------------------------------------------------------------------

for _, shape in ipairs { { 70, 5000 }, { 40000, 11 }, { 3, 300001 }, { 31, 40, 301 } } do
  local text = table.concat(shape, " x ")
  for dim = 1, #shape do
    of(("softmax of %s over dim %d"):format(text, dim), { shape }, function(x) return F.softmax(x, dim) end)
    of(("log_softmax of %s over dim %d"):format(text, dim), { shape }, function(x) return F.log_softmax(x, dim) end)
  end
  of("layer_norm of " .. text, { shape, { shape[#shape] }, { shape[#shape] } }, function(x, w, b)
    return F.layer_norm(x, { shape[#shape] }, w, b)
  end)
  of("rms_norm of " .. text, { shape, { shape[#shape] } }, function(x, w)
    return F.rms_norm(x, { shape[#shape] }, w)
  end)
end
of("batch_norm", { { 33, 12, 40, 41 }, { 12 }, { 12 } }, function(x, w, b)
  return F.batch_norm(x, nil, nil, w, b, true)
end)
of("batch_norm of rows", { { 9001, 37 }, { 37 }, { 37 } }, function(x, w, b)
  return F.batch_norm(x, nil, nil, w, b, true)
end)
of("group_norm", { { 20, 12, 30, 31 }, { 12 }, { 12 } }, function(x, w, b) return F.group_norm(x, 4, w, b) end)
of("instance_norm", { { 20, 12, 30, 31 } }, function(x) return F.instance_norm(x) end)

local function labels(n, classes) return torch.randint(1, classes + 1, { n }) end
for _, s in ipairs { { 30001, 10 }, { 301, 5003 } } do
  add(("cross_entropy of %d x %d"):format(s[1], s[2]), function()
    torch.manual_seed(1)
    return differentiated({ normal(s), labels(s[1], s[2]), torch.rand(s[2]) }, function(x, y, w)
      return F.cross_entropy(x, y, { weight = w:detach(), label_smoothing = 0.1 }), F.cross_entropy(x, y)
    end)
  end)
end
of("losses of pairs", { { 200003 }, { 200003 } }, function(x, y)
  local u = torch.sigmoid(y):detach()
  return F.mse_loss(x, y), F.l1_loss(x, y), F.smooth_l1_loss(x, y), F.huber_loss(x, y),
    F.binary_cross_entropy_with_logits(x, u), F.binary_cross_entropy(torch.sigmoid(x), u),
    F.kl_div(x, u, { reduction = "batchmean" }), F.gaussian_nll_loss(x, y, u + 0.1)
end)
add("ctc_loss", function()
  torch.manual_seed(1)
  local targets = torch.randint(2, 21, { 33, 15 })
  return differentiated({ normal { 60, 33, 20 } }, function(x)
    return F.ctc_loss(F.log_softmax(x, 3), targets, torch.full({ 33 }, 60), torch.full({ 33 }, 15))
  end)
end)

-- Reductions over each dim -------------------------------------------------------------------------------------------

local reductions = {
  sum = true, mean = true, var = true, std = true, prod = true, logsumexp = true, norm = true, amax = true, amin = true,
  max = true, min = true, median = true, nansum = true, cumsum = true, cumprod = true, cummax = true,
  logcumsumexp = true,
  argmax = false, argmin = false, count_nonzero = false, sort = true, argsort = false, all = false, any = false,
}
local names = {}
for name in pairs(reductions) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  add(name .. " over each dim", function()
    torch.manual_seed(1)
    local x = (normal { 71, 64, 67 } * 0.5 + 0.8)
    local long = normal { 3, 100003 } * 0.01 + 1
    local function all(t)
      local list = {}
      for _, v in ipairs { t, long } do
        for dim = 1, v.ndim do
          local out = name == "norm" and { v:norm(2, dim) } or { v[name](v, dim) }
          for _, o in ipairs(out) do list[#list + 1] = o end
        end
      end
      return table.unpack(list)
    end
    if reductions[name] then return differentiated({ x }, all) end
    return function() return { all(x) } end
  end)
end
add("reductions over all", function()
  torch.manual_seed(1)
  return differentiated({ normal { 701, 503 } }, function(x)
    return x:sum(), x:mean(), x:var(), x:norm(), x:norm(3), x:norm(1), (x * 0.001 + 1):prod(), x:max(), x:min(),
      x:logsumexp({ 1, 2 }), x:t():sum(), x[{ {}, { 1, 501, 2 } }]:mean(), x:std()
  end)
end)
for _, dtype in ipairs { "float64", "float16", "bfloat16", "int64", "int32", "uint8" } do
  add("sums in " .. dtype, function()
    torch.manual_seed(1)
    local x = (normal { 401, 803 } * 3):abs():to(dtype)
    return function() return { x:sum(), x:sum(1), x:sum(2), x:cumsum(2), x:amax(1), (x:max(2)) } end
  end)
end

-- Indices with duplicates, order, counts -----------------------------------------------------------------------------

local function positions(n, ...) return torch.randint(1, n + 1, { ... }) end
add("embedding", function()
  torch.manual_seed(1)
  return differentiated({ positions(50, 4001), normal { 50, 65 } }, F.embedding)
end)
add("embedding_bag", function()
  torch.manual_seed(1)
  return differentiated({ positions(70, 900, 20), normal { 70, 65 } }, F.embedding_bag)
end)
add("index_add, scatter_add, gather", function()
  torch.manual_seed(1)
  local rows, places = positions(30, 5000), positions(40, 3000, 64)
  local mask = normal { 3000, 64 }:gt(0)
  return differentiated({ normal { 30, 64 }, normal { 5000, 64 }, normal { 40, 64 }, normal { 3000, 64 } },
    function(a, b, c, d)
      return torch.index_add(a, 1, rows, b), torch.scatter_add(c, 1, places, d), torch.gather(c, 1, places),
        torch.index_select(a, 1, rows), torch.scatter_reduce(c, 1, places, d, "mean"),
        torch.scatter_reduce(c, 1, places, d, "prod"), c:index_put({ rows:clamp({ max = 30 }) }, b, true),
        torch.index_select(b, 1, rows), d:masked_fill(mask, 2), d:masked_select(mask)
    end)
end)
add("sort, topk, unique", function()
  torch.manual_seed(1)
  local whole = torch.randint(0, 90, { 3, 70001 })
  return differentiated({ normal { 300, 1001 }, normal { 2, 150001 } }, function(x, y)
    local a, b = x:sort(2)
    local c, d = y:sort(2, true)
    local e, f = x:topk(17, 1)
    local g, h = whole:sort(2)
    local i, j, k = torch.unique(whole, { return_inverse = true, return_counts = true })
    return a, b, c, d, e, f, g, h, i, j, k, (y:kthvalue(1000, 2)), (y:median(2)), x:quantile(0.3, 1)
  end)
end)
add("counts", function()
  torch.manual_seed(1)
  local x, whole = normal { 300007 }, torch.randint(0, 400, { 300007 })
  local weights, edges = torch.rand(300007), torch.linspace(-3, 3, 51)
  return function()
    return { torch.histc(x, 100, -3, 3), torch.bincount(whole), torch.bincount(whole, weights),
      torch.bucketize(x, edges), torch.searchsorted(edges, x), torch.isin(whole, torch.arange(0, 400, 3)),
      torch.nonzero(whole:eq(5)), (torch.histogram(x, 64)) }
  end
end)
of("distances", { { 201, 70 }, { 203, 70 } }, function(x, y)
  return torch.cdist(x, y), torch.cdist(x, y, 1), torch.cdist(x, y, 3), F.pdist(y[{ { 1, 150 } }]),
    F.cosine_similarity(x, y[{ { 1, 201 } }], 2), F.pairwise_distance(x, y[{ { 1, 201 } }])
end)

-- Elements -----------------------------------------------------------------------------------------------------------

local elementwise = {
  "exp", "expm1", "sigmoid", "tanh", "sin", "cos", "tan", "erf", "atan", "sinh", "cosh", "sqrt", "log", "log1p", "log2",
  "log10", "rsqrt", "reciprocal", "relu", "abs", "round", "floor", "lgamma", "digamma", "neg", "square", "sign",
}
for _, dtype in ipairs { "float32", "float64", "float16", "bfloat16" } do
  add("functions of elements in " .. dtype, function()
    torch.manual_seed(1)
    return differentiated({ torch.rand(130003):to(dtype) * 3 + 0.1 }, function(x)
      local list = {}
      for k, name in ipairs(elementwise) do list[k] = x[name](x) end
      for _, fn in ipairs { F.gelu, F.silu, F.mish, F.softplus, F.elu, F.selu, F.hardswish, F.logsigmoid } do
        list[#list + 1] = fn(x - 1.5)
      end
      list[#list + 1] = F.gelu(x, { approximate = "tanh" })
      return table.unpack(list)
    end)
  end)
end
of("arithmetic", { { 401, 300 }, { 300 }, { 401, 1 } }, function(x, y, z)
  return x + y, x * z, x / (y:abs() + 1), x - z, x:abs() ^ y, torch.addcmul(x, y, z), torch.lerp(x, y, z),
    torch.where(x:gt(0), x, y), torch.atan2(x, y), torch.maximum(x, z), torch.fmod(x, y:abs() + 0.3), x:t() * 2
end)
of("layouts", { { 60, 70, 71 } }, function(x)
  return x:permute(3, 1, 2):contiguous(), x:roll(3, 2), x:flip(1), torch.cat({ x, x }, 2), x:repeat_interleave(3, 2),
    F.pad(x, { 1, 2, 3, 4 }, { mode = "reflect" }), x:tril(), x:to(torch.float16), x:double():diff()
end)
add("streams of random numbers", function()
  return function()
    torch.manual_seed(9)
    local x = torch.ones(200003)
    return { torch.randn(200003), torch.rand(200003), torch.randn(200003, { dtype = torch.float64 }), F.dropout(x, 0.4),
      torch.bernoulli(x * 0.3), torch.randint(0, 1000, { 200003 }), torch.randperm(100003),
      torch.empty(200003):exponential_(), torch.poisson(x * 4), torch.multinomial(torch.rand(5000), 3000),
      torch.normal(x, x), F.alpha_dropout(x, 0.2),
      F.dropout2d(torch.ones(40, 50, 20, 20), 0.5), F.gumbel_softmax(torch.rand(1000, 200), { dim = 2 }),
      torch.nn.init.kaiming_uniform_(torch.empty(300, 400)), torch.nn.init.orthogonal_(torch.empty(60, 80)) }
  end
end)
of("linear algebra", { { 70, 70 }, { 70, 9 } }, function(a, b)
  local s = a:matmul(a:t()) + torch.eye(70) * 70
  return torch.linalg.solve(s, b), torch.linalg.inv(s), torch.linalg.det(s * 0.01), (torch.linalg.slogdet(s)),
    torch.linalg.norm(a), torch.matrix_power(a * 0.1, 5)
end)

-- Training -----------------------------------------------------------------------------------------------------------

local optimisers = {
  { "SGD", { lr = 0.1, momentum = 0.9, weight_decay = 1e-3 } }, { "Adam", { lr = 1e-3, amsgrad = true } },
  { "AdamW", { lr = 1e-3 } }, { "RMSprop", { lr = 1e-3, momentum = 0.5 } }, { "Adagrad", { lr = 1e-2 } },
  { "Adadelta", {} }, { "Adamax", {} }, { "NAdam", {} }, { "RAdam", {} }, { "Rprop", {} }, { "ASGD", {} },
  { "LBFGS", { max_iter = 4 } },
}
for _, row in ipairs(optimisers) do
  add("three steps of " .. row[1], function()
    torch.manual_seed(1)
    local start, target = normal { 300, 500 }, normal { 300, 500 }
    return function()
      local w = start:clone():requires_grad_()
      local optimizer = torch.optim[row[1]]({ w }, row[2])
      for _ = 1, 3 do
        optimizer:step(function()
          optimizer:zero_grad()
          local loss = ((w - target):abs() ^ 3):mean()
          loss:backward()
          return loss
        end)
      end
      nn.utils.clip_grad_norm_({ w }, 0.1)
      return { w, w.grad }
    end
  end)
end
add("training of a small network", function()
  torch.manual_seed(1)
  local x, y = normal { 64, 1, 28, 28 }, torch.randint(1, 11, { 64 })
  return function()
    torch.manual_seed(2)
    local model = nn.Sequential(nn.Conv2d(1, 8, 3, { bias = false }), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
      nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * 13 * 13, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 10))
    local optimizer = torch.optim.AdamW(model:parameters(), { lr = 1e-3 })
    local list = {}
    for step = 1, 4 do
      local loss = F.cross_entropy(model(x), y)
      optimizer:zero_grad()
      loss:backward()
      optimizer:step()
      list[step] = loss
    end
    for _, p in ipairs(model:parameters()) do list[#list + 1] = p end
    return list
  end
end)

-- Names in plain tables have no order of their own; seeds of hash tables differ from process to process.
add("a class of modules", function()
  local Net = nn.class("Net")
  function Net:init()
    self.alpha, self.zeta = nn.Linear(30, 40), nn.Linear(40, 20)
    self.parts = { left = nn.Linear(20, 50), right = nn.Linear(50, 30), up = nn.Linear(30, 20), nn.Linear(20, 20) }
    self.dict = nn.ModuleDict { one = nn.Linear(20, 20), two = nn.Linear(20, 20), three = nn.Linear(20, 10) }
    self.scale = nn.ParameterDict { x = nn.Parameter(torch.rand(10)), y = nn.Parameter(torch.rand(10)) }
  end
  function Net:forward(x)
    local p, d = self.parts, self.dict
    x = torch.tanh(self.zeta(torch.tanh(self.alpha(x))))
    x = d.three(d.two(d.one(p[1](p.up(p.right(p.left(x)))))))
    return x * self.scale.x + self.scale.y
  end
  return function()
    torch.manual_seed(2)
    local net = Net()
    local optimizer = torch.optim.SGD(net:parameters(), { lr = 0.1 })
    net(torch.randn(70, 30)):pow(2):sum():backward()
    local list = { nn.utils.clip_grad_norm_(net:parameters(), 1) }
    optimizer:step()
    for name, p in net:named_parameters() do
      list[#list + 1] = name
      list[#list + 1] = p
    end
    return list
  end
end)

return cases
