--- Small programs that together use most of the library, for the specs of failing memory: each returns a number that
-- depends on all it did, the same every time, whatever else happened in between.
local torch = require "moontorch"
local nn, F = torch.nn, torch.nn.functional

local function network()
  torch.manual_seed(1)
  return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
end

local function number(t) return t:sum():item() end

return {
  { "create", function()
    local sum = number(torch.zeros(3, 4):add(torch.ones(4))) + number(torch.full({ 2, 2 }, 3.5))
    sum = sum + number(torch.eye(3)) + number(torch.linspace(0, 1, 5))
    return sum + number(torch.empty_like(torch.ones(2)):fill_(2))
  end },
  { "from tables", function()
    local x = torch.tensor({ { 1, 2, 3 }, { 4, 5, 6 } })
    return number(x) + number(torch.tensor({ true, false })) + number(torch.tensor(2.5))
      + number(torch.Tensor({ 1, 2 }))
  end },
  { "to tables and strings", function()
    local x = torch.arange(12):reshape(3, 4)
    local copy = torch.frombuffer(x:tobytes(), { dtype = torch.int64 })
    return #x:tolist() + x:tolist()[2][3] + number(copy) + #x:t():tobytes()
  end },
  { "arithmetic", function()
    local x, y = torch.arange(1, 7, { dtype = torch.float64 }):reshape(2, 3), torch.tensor({ 1, 2, 3 })
    return number((x + y) * 2 - x / y ^ 2) + number(x % 4 // 2) + number((-x):abs():sqrt()) + number(x:gt(2) & y:lt(3))
  end },
  { "promotion", function()
    local x = torch.tensor({ 1, 2, 3 }, { dtype = torch.int32 })
    return number(x + 1.5) + number(x:to(torch.float64) * x) + number(x:bool()) + number(x:to(torch.uint8) + x)
  end },
  { "views", function()
    local x = torch.arange(24):reshape(2, 3, 4)
    local y = x:transpose(1, 3):contiguous():view(4, 6):unsqueeze(1):squeeze():permute(2, 1)
    return number(y:narrow(1, 2, 3)) + number(x:select(2, 1):expand(3, 2, 4)) + number(x:flatten(2):t())
  end },
  { "indexing", function()
    local x = torch.arange(24):reshape(2, 3, 4)
    x[{ 1, { 2, 3 } }] = 7
    x[x:gt(20)] = torch.tensor(1)
    return number(x[{ { 1, 2 }, -1 }]) + number(x[x:gt(6)])
      + number(x[{ torch.tensor({ 1, 2 }), {}, torch.tensor({ 1, 4 }) }])
  end },
  { "positions", function()
    local x = torch.arange(12, { dtype = torch.float32 }):reshape(3, 4)
    local index = torch.tensor({ { 1, 2 }, { 3, 1 } })
    return number(x:gather(1, index)) + number(x:index_select(2, torch.tensor({ 1, 4 })))
      + number(x:scatter(1, index, 5)) + number(x:masked_fill(x:gt(3), 1))
      + number(torch.where(x:gt(3), x, 0.0)) + number(x:nonzero())
  end },
  { "joining and splitting", function()
    local x = torch.arange(6, { dtype = torch.float32 }):reshape(2, 3)
    local parts = torch.cat({ x, x * 2 }, 1):split(3)
    return number(parts[1]) * #parts + number(torch.stack({ x, x }, 3)) + #x:chunk(2, 2)
      + number(x:repeat_interleave(2, 1))
  end },
  { "reductions", function()
    local x = torch.arange(12, { dtype = torch.float64 }):reshape(3, 4):sin()
    local values, places = x:max(2)
    return number(values) + number(places) + number(x:mean(1)) + x:std():item() + x:prod():item() + number(x:cumsum(2))
      + number(x:argmin(1)) + x:norm():item() + number(x:logsumexp(1))
  end },
  { "statistics", function()
    local x = torch.arange(12, { dtype = torch.float64 }):reshape(3, 4):sin()
    x.requires_grad = true
    local low, high = x:aminmax{ dim = 1 }
    local q, y = torch.tensor({ 0.2, 0.7 }, { dtype = torch.float64 }), x:cummax(2) + x:logcumsumexp(1)
    local loss = number(low) + (high - low):sum() + x:quantile(q, 2):sum() + y:sum() + x:renorm(2, 1, 1):sum()
      + x:nanmean() + x:nanmedian() + torch.cdist(x, x:flip(1)):sum() + torch.pdist(x, 3):sum() + x:cov():sum()
      + torch.cosine_similarity(x, x + 1):sum() + x:diff(1, 2, x):sum() + torch.trapezoid(x, x:detach()):sum()
    for _, part in ipairs(torch.gradient(x, { spacing = { 2, 0.5 } })) do loss = loss + part:sum() end
    loss:backward()
    return loss:item() + number(x.grad)
  end },
  { "sets and bins", function()
    local x = torch.tensor({ 3, 1, 2, 3, 1, 3 })
    local values, places, counts = x:unique(true, true, true)
    local rows, places_too = x:reshape(3, 2):unique{ dim = 1, return_inverse = true }
    local runs, lengths = x:unique_consecutive{ return_counts = true }
    local hist, edges = x:float():histogram(3, { range = { 0, 4 }, density = true })
    return number(values) + number(places) + number(counts) + number(rows) + number(places_too) + number(runs)
      + number(lengths) + number(hist) + number(edges) + number(x:bincount{ minlength = 5 })
      + number(x:float():histc(4)) + number(torch.isin(x, values)) + number(x:isclose(x))
      + number(torch.searchsorted(values, x, { sorter = values }))
  end },
  { "sorting", function()
    local x = torch.tensor({ 3, 1, 2, 5, 4 })
    local sorted, order = x:sort(1, true)
    local top, where = x:topk(2)
    return number(sorted * order) + number(top * where) + number(x:argsort()) + x:median():item()
  end },
  { "products", function()
    torch.manual_seed(2)
    local a, b = torch.randn(5, 6), torch.randn(6, 7)
    local batch = torch.randn(2, 3, 5)
    return number(a:matmul(b)) + number(batch:matmul(a)) + number(torch.addmm(torch.ones(7), a, b))
      + number(b:mv(torch.ones(7)))
  end },
  { "random numbers", function()
    torch.manual_seed(3)
    local g = torch.Generator()
    g:manual_seed(4)
    return number(torch.randn(20)) + number(torch.rand(3, { generator = g }))
      + number(torch.randperm(9):narrow(1, 1, 3)) + number(torch.randint(0, 9, { 4 }))
      + number(torch.zeros(5):uniform_()) + number(torch.ones(4):bernoulli_(0.5))
      + number(torch.multinomial(torch.ones(5), 2))
  end },
  { "in place", function()
    local x = torch.ones(4, 4)
    x:add_(1):mul_(3):narrow(1, 1, 2):zero_()
    x:t():narrow(1, 2, 1):copy_(torch.arange(4))
    x:clamp_(1, 2):sub_(x)
    return number(x:add_(torch.arange(4)):index_fill_(1, torch.tensor({ 2 }), 9))
  end },
  { "backward", function()
    local x = torch.ones(3, 4, { requires_grad = true })
    local y = (x * x):sum(1):exp():log():mean()
    y:backward()
    return number(x.grad)
  end },
  { "second order", function()
    local x = torch.tensor({ 1.0, 2.0, 3.0 }, { requires_grad = true })
    local g = torch.autograd.grad((x ^ 3):sum(), x, { create_graph = true })
    g:pow(2):sum():backward()
    return number(x.grad)
  end },
  { "in place with gradients", function()
    local x = torch.arange(6, { dtype = torch.float32 }):reshape(2, 3):requires_grad_()
    local y = x:clone()
    local view = y:select(1, 1)
    y:narrow(2, 2, 2):copy_(x:narrow(2, 1, 2) * 2)
    view:mul_(3):exp_()
    y:sum():backward()
    return number(x.grad) + number(view)
  end },
  { "hooks", function()
    local x = torch.ones(3, { requires_grad = true })
    local seen = 0
    local handle = x:register_hook(function(g)
      seen = seen + number(g)
      return g * 2
    end)
    local y = x * 3
    y:retain_grad()
    y:sum():backward({ retain_graph = true })
    handle:remove()
    y:sum():backward()
    return number(x.grad) + number(y.grad) + seen
  end },
  { "a function with its own gradient", function()
    local Cube = torch.autograd.Function {
      forward = function(ctx, x)
        ctx:save_for_backward(x)
        return x ^ 3
      end,
      backward = function(ctx, gy)
        local x = ctx:saved_tensors()
        return gy * 3 * x ^ 2
      end,
    }
    local x = torch.tensor({ 1.0, 2.0 }, { requires_grad = true })
    Cube.apply(x):sum():backward()
    return number(x.grad)
  end },
  { "hooks on saved tensors", function()
    local x = torch.tensor({ 1.0, 2.0 }, { requires_grad = true })
    local y = torch.autograd.graph.saved_tensors_hooks(function(t) return { t:clone() } end,
      function(kept) return kept[1] end, function()
        local h = x * x
        h:sigmoid_()
        return (h * x):sum()
      end)
    y:backward()
    return number(x.grad)
  end },
  { "anomaly mode", function()
    local x = torch.tensor({ 1.0, 2.0 }, { requires_grad = true })
    torch.autograd.set_detect_anomaly(true, function()
      local h = x * 2
      h[1]:mul_(3)
      h:exp():sum():backward()
    end)
    return number(x.grad)
  end },
  { "a deep graph", function()
    local x = torch.ones(2, { requires_grad = true })
    local y = x
    for _ = 1, 60 do y = y + x end
    y:sum():backward()
    return number(x.grad)
  end },
  { "blocks", function()
    local sum = torch.no_grad(function() return number(torch.ones(3):requires_grad_() * 2) end)
    do
      local x <close> = torch.ones(5)
      sum = sum + number(x)
    end
    return sum + torch.scope(function() return number(torch.ones(7) + 1) end)
  end },
  { "losses", function()
    torch.manual_seed(5)
    local logits = torch.randn(4, 3):requires_grad_()
    local loss = F.cross_entropy(logits, torch.tensor({ 1, 2, 3, 1 })) + F.mse_loss(logits, torch.zeros(4, 3))
      + F.binary_cross_entropy_with_logits(logits, torch.ones(4, 3))
      + F.nll_loss(F.log_softmax(logits, 2), torch.tensor({ 3, 1, 1, 2 }))
    loss:backward()
    return loss:item() + number(logits.grad)
  end },
  { "a model", function()
    local model = network()
    local sum = number(model(torch.ones(5, 4)):softmax(2))
    for _, p in ipairs(model:parameters()) do sum = sum + number(p) end
    return sum + number(model:double()(torch.ones(1, 4):double()))
  end },
  { "SGD", function()
    local x = torch.tensor({ 3.0, -2.0 }, { requires_grad = true })
    local optimizer = torch.optim.SGD({ x }, { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.01 })
    for _ = 1, 3 do
      optimizer:zero_grad();
      (x * x):sum():backward()
      optimizer:step()
    end
    return number(x)
  end },
  { "a training step", function()
    local model = network()
    local optimizer = torch.optim.Adam(model:parameters(), { lr = 0.1 })
    local loss
    for _ = 1, 2 do
      optimizer:zero_grad()
      loss = F.cross_entropy(model(torch.ones(5, 4)), torch.tensor({ 1, 2, 3, 1, 2 }))
      loss:backward()
      optimizer:step()
    end
    return loss:item()
  end },
  { "a loader", function()
    torch.manual_seed(6)
    local data = torch.utils.data
    local set = data.TensorDataset(torch.arange(10), torch.arange(10) * 2)
    local sum = 0
    for x, y in data.DataLoader(set, { batch_size = 4, shuffle = true }) do sum = sum * 3 + number(x) + number(y) end
    return sum
  end },
  { "normalisation", function()
    local x = torch.linspace(-1, 1, 24):reshape(2, 3, 4):requires_grad_()
    local w, mean, var = torch.ones(3, { requires_grad = true }), torch.zeros(3), torch.ones(3)
    local y = F.batch_norm(x, mean, var, w, nil, true) + F.instance_norm(x) + F.group_norm(x, 3)
      + F.layer_norm(x, { 4 }) + F.rms_norm(x, { 4 }) + F.local_response_norm(x, 2) + F.normalize(x)
    y:pow(2):sum():backward()
    F.batch_norm(torch.linspace(0, 1, 6):reshape(3, 2), nil, nil, nil, nil, true)
    local gx = torch.autograd.grad(F.layer_norm(x, { 4 }):pow(3):sum(), x, { create_graph = true })
    gx = type(gx) == "table" and gx[1] or gx
    gx:sum():backward()
    return number(y) + number(x.grad) + number(w.grad)
  end },
  { "embedding", function()
    local w = torch.linspace(-1, 1, 12):reshape(4, 3):requires_grad_()
    local i = torch.tensor { { 1, 4 }, { 2, 2 } }
    local y = number(F.embedding(i, w, 1, 0.5)) + number(F.embedding(i:int(), w, { scale_grad_by_freq = true }))
    for _, mode in ipairs { "sum", "mean", "max" } do
      local bags = F.embedding_bag(i, w, { mode = mode, padding_idx = 2 })
      bags:sum():backward()
      y = y + number(bags)
    end
    return y + number(w.grad)
  end },
  { "padding and resampling", function()
    local x = torch.linspace(-1, 1, 12):reshape(1, 1, 3, 4):requires_grad_()
    local y = F.fold(F.unfold(x, 2), { 3, 4 }, 2):sum()
    for _, mode in ipairs { "constant", "reflect", "replicate", "circular" } do
      y = y + F.pad(x, { 1, 2, 0, 1 }, mode):sum()
    end
    for _, mode in ipairs { "nearest", "bilinear", "bicubic", "area" } do
      y = y + F.interpolate(x, { scale_factor = 1.5, mode = mode }):sum()
    end
    local grid = F.affine_grid(torch.tensor { { { 1, 0.2, 0 }, { 0, 0.7, 0.1 } } }, { 1, 1, 2, 2 }, false)
    for _, mode in ipairs { "bilinear", "nearest", "bicubic" } do
      y = y + F.grid_sample(x, grid, mode, "reflection", false):sum()
    end
    y:backward()
    return number(y) + number(x.grad)
  end },
  { "cells, attention and alignment", function()
    local x, h = torch.ones(2, 3), torch.zeros(2, 2)
    local a, c = torch.lstm_cell(x, { h, h }, torch.ones(8, 3), torch.ones(8, 2))
    local y = number(a + c) + number(torch.gru_cell(x, h, torch.ones(6, 3), torch.ones(6, 2)))
    local q = torch.linspace(-1, 1, 12):reshape(2, 3, 2):requires_grad_()
    local attended = F.scaled_dot_product_attention(q, q, q, { is_causal = true })
    local many = torch.linspace(-1, 1, 1200):reshape(2, 2, 300):transpose(2, 3):detach():requires_grad_()
    F.scaled_dot_product_attention(q:detach(), many, many, many:select(3, 1):unsqueeze(2):gt(-0.5)):sum():backward()
    y = y + number(many.grad)
    local p = F.log_softmax(q:transpose(1, 2), 3)
    local loss = F.ctc_loss(p, torch.tensor { { 2 }, { 2 } }, { 3, 2 }, { 1, 1 })
    torch.autograd.backward({ attended:sum(), loss })
    return y + number(torch.bilinear(x, h + 1, torch.ones(1, 3, 2))) + number(q.grad)
  end },
  { "recurrent layers", function()
    local x = torch.linspace(-1, 1, 10):reshape(5, 2):requires_grad_()
    local w = torch.linspace(-1, 1, 16):reshape(8, 2)
    local y, h, c = torch._lstm(x, torch.ones(2, 1), torch.ones(2, 2), w, w:narrow(2, 1, 1), nil, nil,
      torch.ones(1, 2), { 2, 2, 1 }, true)
    local z = torch._gru(y:unsqueeze(2), torch.zeros(1, 2), torch.ones(6, 1), torch.ones(6, 2),
      torch.linspace(-1, 1, 6), torch.ones(6))
    local grad = torch.autograd.grad(z:sum() + h:sum() + c:sum(), { x }, { create_graph = true })[1]
    grad:sum():backward({ retain_graph = true })
    local plain = z:sum() + h:sum() + c:sum()
    plain:backward()
    torch._rnn_tanh(torch.ones(20, 1, 2), torch.zeros(1, 2), x:narrow(1, 1, 2), x:narrow(1, 2, 2)):sum():backward()
    return number(z) + number(grad) + number(x.grad)
  end },
  { "a checkpoint", function()
    local path = os.tmpname()
    local model = network()
    local safetensors = torch.utils.safetensors
    safetensors.save_file(model:state_dict(), path)
    model:load_state_dict(safetensors.load_file(path))
    os.remove(path)
    return number(model(torch.ones(1, 4)))
  end },
  { "printing", function()
    return #tostring(torch.linspace(0, 1, 30):reshape(5, 6)) + #tostring(torch.ones(2, { requires_grad = true }) * 2)
  end },
  { "refused calls", function()
    local x = torch.ones(2, 3)
    local sum = 0
    for _, f in ipairs { function() return x + torch.ones(4) end, function() return x:view(5) end,
      function() return x:sum(0) end, function() return torch.cat({ x, torch.ones(2) }) end,
      function() x:add_("a") end } do
      local ok, message = pcall(f)
      if ok or tostring(message):find "memory" then error(message, 0) end
      sum = sum + #message
    end
    return sum + number(x)
  end },
}
