--- What network layers' functions change besides their result, and what they draw: running statistics, rows scaled down
-- to max_norm, dropped channels. The numbers are PyTorch 2.15's. Values and gradients are in golden_spec.
local torch = require "moontorch"
local near = require "spec.support.near"
local F = torch.nn.functional

local function check(t, expected, tolerance)
  near.check(expected, t:detach():reshape(-1):double(), tolerance or 1e-5)
end

local nan = 0 / 0

describe("running statistics", function()
  local x, mean, var
  before_each(function()
    x = torch.arange(24.0):reshape(2, 3, 4) * torch.tensor({ 1, -0.5, 0.25 }):reshape(1, 3, 1)
    mean, var = torch.tensor { 1.0, 2.0, 3.0 }, torch.tensor { 1.0, 2.0, 4.0 }
  end)

  it("of batch_norm move by momentum towards the batch's mean and unbiased variance", function()
    for _, row in ipairs {
      { 0.1, { 1.65, 1.225, 3.0875 }, { 5.1571431, 2.8642857, 3.8660715 } },
      { 1.0, { 7.5, -5.75, 3.875 }, { 42.571430, 10.642858, 2.6607144 } },
      { 0.0, { 1, 2, 3 }, { 1, 2, 4 } },
    } do
      local m, v = mean:clone(), var:clone()
      F.batch_norm(x, m, v, { training = true, momentum = row[1] })
      check(m, row[2])
      check(v, row[3])
    end
    torch.batch_norm(x, nil, nil, mean, var, true, 0.5, 1e-5, true)
    check(mean, { 4.25, -1.875, 3.4375 })
    check(var, { 21.785715, 6.3214288, 3.3303571 })
  end)

  it("of instance_norm move towards the mean over the samples", function()
    F.instance_norm(x, mean, var)
    check(mean, { 1.65, 1.225, 3.0875 })
    check(var, { 1.0666666, 1.8416666, 3.6104167 })
  end)

  it("are float32 or of input's own dtype beside 16-bit input", function()
    F.batch_norm(x:half(), mean, var, { training = true })
    check(mean, { 1.65, 1.225, 3.0875 })
    check(var, { 5.1571431, 2.8642857, 3.8660715 })
    mean, var = torch.tensor { 1.0, 2.0, 3.0 }:half(), torch.tensor { 1.0, 2.0, 4.0 }:half()
    F.batch_norm(x:half(), mean, var, { training = true })
    check(mean, { 1.650390625, 1.224609375, 3.087890625 }, 1e-3)
    check(var, { 5.15625, 2.865234375, 3.865234375 }, 1e-3)
  end)

  it("of one value are not a number, and of none stay", function()
    local m, v = mean:clone(), var:clone()
    torch.batch_norm(x[{ { 1, 1 }, {}, { 1, 1 } }], nil, nil, m, v, true, 0.1, 1e-5, false)
    check(m, { 0.9, 1.6, 2.9 })
    check(v, { nan, nan, nan })
    torch.batch_norm(torch.zeros(0, 3, 4), nil, nil, mean, var, true, 0.1, 1e-5, false)
    check(mean, { 1, 2, 3 })
    check(var, { 1, 2, 4 })
  end)

  it("are written through views, and not in evaluation", function()
    local base = torch.zeros(3, 2)
    F.batch_norm(x, base:select(2, 1), var, { training = true, momentum = 1 })
    check(base, { 7.5, 0, -5.75, 0, 3.875, 0 })
    local version = mean._version
    F.batch_norm(x, mean, var)
    assert.equal(version, mean._version)
  end)

  it("stay when the call is refused", function()
    assert.is_false(pcall(F.batch_norm, x, mean, var, torch.ones(4), nil, true))
    assert.is_false(pcall(F.batch_norm, x, mean, torch.ones(1):expand(3), nil, nil, true))
    check(mean, { 1, 2, 3 })
    check(var, { 1, 2, 4 })
  end)

  it("leave a second derivative to weight and input", function()
    local a = torch.randn(4, 3, { dtype = torch.float64, requires_grad = true })
    local w = torch.rand(3, { dtype = torch.float64, requires_grad = true })
    assert.is_true(torch.autograd.gradgradcheck(function(p, q)
      local m, v = torch.zeros(3, { dtype = torch.float64 }), torch.ones(3, { dtype = torch.float64 })
      return F.batch_norm(p, m, v, q, nil, true, 0.1, 0.1)
    end, { a, w }))
    assert.is_true(torch.autograd.gradgradcheck(function(p, q)
      local m, v = torch.ones(3, { dtype = torch.float64 }), torch.full({ 3 }, 2.0, { dtype = torch.float64 })
      return F.batch_norm(p, m, v, q)
    end, { a, w }))
  end)
end)

describe("max_norm", function()
  local w
  before_each(function() w = torch.tensor { { 3, 4 }, { 0.3, 0.4 }, { 6, 8 } } end)

  it("scales the rows that are taken, in the table", function()
    check(F.embedding(torch.tensor { 1, 2, 1 }, w, { max_norm = 1 }), { 0.6, 0.8, 0.3, 0.4, 0.6, 0.8 })
    check(w, { 0.6, 0.8, 0.3, 0.4, 6, 8 })
  end)

  it("goes by norm_type", function()
    check(F.embedding(torch.tensor { 3, 2 }, w, { max_norm = 2, norm_type = 1 }), { 0.85714293, 1.1428572, 0.3, 0.4 })
    check(w, { 3, 4, 0.3, 0.4, 0.85714293, 1.1428572 })
  end)

  it("holds for bags, with infinite norm_type too", function()
    local bag = torch.tensor { { 3, 2 } }
    check(F.embedding_bag(bag, w, { max_norm = 2, norm_type = math.huge, mode = "sum" }), { 1.8, 2.4 })
    check(w, { 3, 4, 0.3, 0.4, 1.5, 2 })
  end)

  it("is no part of the gradient", function()
    w.requires_grad = true
    F.embedding(torch.tensor { 3, 2 }, w, { max_norm = 2 }):sum():backward()
    check(w, { 3, 4, 0.3, 0.4, 1.2, 1.6 })
    check(w.grad, { 0, 0, 1, 1, 1, 1 })
  end)

  it("leaves the table alone when a position is none", function()
    assert.is_false(pcall(F.embedding, torch.tensor { 1, 4 }, w, { max_norm = 1 }))
    assert.is_false(pcall(F.embedding_bag, torch.tensor { { 1, 2 } }, w, { max_norm = 1, mode = "no" }))
    check(w, { 3, 4, 0.3, 0.4, 6, 8 })
  end)
end)

describe("dropout", function()
  before_each(function() torch.manual_seed(5) end)

  it("drops channels whole", function()
    for _, name in ipairs { "dropout1d", "dropout3d" } do
      local shape = name == "dropout1d" and { 50, 40, 3 } or { 50, 40, 3, 1, 1 }
      local y = F[name](torch.ones(shape), 0.25):reshape(2000, 3)
      local first = y[{ {}, 1 }]
      assert.is_true(y:eq(first:unsqueeze(2)):all():item())
      near.check(0.25, first:eq(0):float():mean():item(), 0.04)
      near.check(1, first:mean():item(), 0.05)
      assert.is_true(first:eq(0):logical_or(first:sub(4 / 3):abs():lt(1e-6)):all():item())
    end
  end)

  it("takes two dims as one sample's channels in dropout1d", function()
    local y = F.dropout1d(torch.ones(60, 4), 0.5)
    assert.is_true(y:eq(y[{ {}, { 1, 1 } }]):all():item())
    assert.is_true(y:eq(0):any():item() and y:eq(2):any():item())
  end)

  it("keeps mean and variance when alpha", function()
    local x = torch.randn(200, 100)
    for _, name in ipairs { "alpha_dropout", "feature_alpha_dropout" } do
      local y = F[name](x, 0.3, true)
      near.check(0, y:mean():item(), 0.05)
      near.check(1, y:std():item(), 0.05)
    end
  end)

  it("writes in place", function()
    for _, name in ipairs { "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout" } do
      local x = torch.ones(4, 5, 3)
      local version = x._version
      assert.is_true(rawequal(x, F[name](x, 0.5, true, true)))
      assert.is_true(x._version > version)
      assert.is_false(x:eq(1):all():item())
    end
    for _, name in ipairs { "dropout_", "feature_dropout_", "alpha_dropout_", "feature_alpha_dropout_" } do
      local x = torch.ones(4, 5)
      assert.is_true(rawequal(x, torch[name](x, 0.5, true)))
    end
  end)

  it("keeps its integer when nothing is dropped, in place too", function()
    local x = torch.tensor { 1, 2 }
    assert.is_true(rawequal(x, F.dropout(x, 0.5, false, true)))
    assert.equal(torch.int64, F.dropout(x, 0.5, false).dtype)
  end)

  it("passes the gradient to what is kept", function()
    local x = torch.ones(6, 5, { requires_grad = true })
    local y = torch.feature_dropout(x, 0.5, true)
    y:sum():backward()
    assert.is_true(x.grad:eq(y):all():item())
  end)
end)

describe("torch has no function that PyTorch keeps in torch.nn.functional:", function()
  for _, name in ipairs {
    "avg_pool2d", "avg_pool3d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d", "max_pool2d_with_indices", "pad", "fold",
    "scaled_dot_product_attention", "interpolate",
  } do
    it(name, function()
      assert.is_nil(torch[name])
      assert.is_function(F[name])
    end)
  end
end)

describe("messages", function()
  local function why(f, ...)
    local ok, message = pcall(f, ...)
    assert.is_false(ok)
    assert.matches("network_spec%.lua:%d+: ", message)
    return message
  end

  it("of embedding name swapped arguments and rows", function()
    local w, i = torch.ones(4, 3), torch.tensor { 1, 2 }
    assert.matches("weight and indices are the other way round", why(function() F.embedding(w, i) end))
    assert.matches("Positions count from 1 in Lua: use indices %+ 1",
      why(function() F.embedding(torch.tensor { { 1 }, { 0 } }, w) end))
    assert.matches("element 2 of the indices %[2%] is 5, but the table has 4 rows",
      why(function() F.embedding(torch.tensor { 1, 5 }, w) end))
    assert.matches("it is 5, and weight has 4 rows", why(function() F.embedding(i, w, 5) end))
    assert.matches("max mode does not support sparse weights",
      why(function() F.embedding_bag(i:unsqueeze(1), w, { mode = "max", sparse = true }) end))
    assert.matches("are not shifted in Lua",
      why(function() torch.embedding_bag(w, i, torch.tensor { 1 }) end))
  end)

  it("of normalisation say what fits", function()
    local x = torch.ones(2, 3)
    assert.matches("drop_last", why(function() F.batch_norm(torch.ones(1, 3), nil, nil, nil, nil, true) end))
    assert.matches("convert one of them", why(function() F.layer_norm(x, { 3 }, torch.ones(3):double()) end))
    assert.matches("unsqueeze%(1%)", why(function() F.batch_norm(torch.ones(3), nil, nil, nil, nil, true) end))
  end)

  it("of ctc_loss count labels and steps", function()
    local p = torch.zeros(5, 1, 4)
    local function loss(targets, inputs, lengths)
      return why(function() F.ctc_loss(p, torch.tensor(targets), inputs, lengths) end)
    end
    assert.matches("Labels count from 1 in Lua: use targets %+ 1", loss({ { 0, 2 } }, { 5 }, { 2 }))
    assert.matches("log_probs has 5 time steps", loss({ { 1, 2 } }, { 6 }, { 2 }))
  end)
end)

-- Integers are exact in floats of both widths, and their convolution is another kernel.
describe("depthwise convolution", function()
  local function whole(...) return torch.randint(-4, 5, { ... }) end

  it("gives sums and gradients of whole numbers exactly, at every edge", function()
    torch.manual_seed(1)
    local sizes = { { 1, 1 }, { 2, 7 }, { 3, 8 }, { 5, 15 }, { 7, 7 }, { 9, 16 }, { 14, 17 }, { 33, 31 }, { 60, 140 } }
    for _, size in ipairs(sizes) do
      for _, case in ipairs { { 3, 0 }, { 3, 1 }, { 3, 3 }, { 5, 0 }, { 5, 2 }, { 5, 4 } } do
        local h, w, k, pad = size[1], size[2], case[1], case[2]
        if h + 2 * pad >= k and w + 2 * pad >= k then
          local x, v, bias = whole(2, 2, h, w), whole(2, 1, k, k), whole(2)
          local y = F.conv2d(x, v, bias, 1, pad, 1, 2)
          local g = torch.randint(-4, 5, y:size())
          local gx = F.conv_transpose2d(g, v, nil, 1, pad, 0, 2)
          local gv = torch.zeros_like(v)
          for b = 1, 2 do
            for c = 1, 2 do
              local one, kernel = x[b][c]:reshape(1, 1, h, w), g[b][c]:unsqueeze(1):unsqueeze(1)
              gv[c]:add_(F.conv2d(one, kernel, nil, 1, pad)[1])
            end
          end
          for _, dtype in ipairs { torch.float32, torch.float64 } do
            local a, b = x:to(dtype):requires_grad_(), v:to(dtype):requires_grad_()
            local ours = F.conv2d(a, b, bias:to(dtype), 1, pad, 1, 2)
            local by_x, by_v = table.unpack { torch.autograd.grad(ours, { a, b }, g:to(dtype)) }
            local where = ("%dx%d, kernel %d, padding %d, %s"):format(h, w, k, pad, tostring(dtype))
            assert.is_true(torch.equal(ours:detach():long(), y), where)
            assert.is_true(torch.equal(by_x:long(), gx), where)
            assert.is_true(torch.equal(by_v:long(), gv), where)
          end
        end
      end
    end
  end)
end)
