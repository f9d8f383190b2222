--- The modules of torch.nn: what they refuse and warn of, how they train, save and load. functional_golden_spec.lua has
-- their results.
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local nn = torch.nn
local check, refuses = near.check, near.refuses

-- The tensor of {shape, a, m, s, d, kind, gradient}: element i, from 0, is ((i a) mod m - s) / d.
local function make(spec)
  local shape, a, m, s, d, kind, gradient = table.unpack(spec)
  local n, values = 1, {}
  for _, size in ipairs(shape) do n = n * size end
  for i = 0, n - 1 do
    local v = (i * a) % m - s
    values[i + 1] = kind == "f" and v / d or v
  end
  local x = torch.tensor(values, { dtype = kind == "f" and torch.float64 or torch.int64 }):reshape(shape)
  return gradient and x:requires_grad_() or x
end

local function keys_of(module)
  local keys = {}
  for key in pairs(module:state_dict()) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function positions(values) return torch.tensor(values, { dtype = torch.int64 }) end

describe("convolutions refuse", function()
  it("settings that do not fit, in PyTorch's words", function()
    refuses(function() nn.Conv2d(3, 4, 3, { groups = 2 }) end, "in_channels must be divisible by groups")
    refuses(function() nn.Conv2d(4, 3, 3, { groups = 2 }) end, "out_channels must be divisible by groups")
    refuses(function() nn.Conv2d(4, 4, 3, { groups = 0 }) end, "groups must be a positive integer")
    refuses(function() nn.Conv2d(4, 4, 3, { padding = "x" }) end, "Invalid padding string 'x'")
    refuses(function() nn.Conv2d(4, 4, 3, { padding = "same", stride = 2 }) end,
      "padding='same' is not supported for strided convolutions")
    refuses(function() nn.Conv2d(4, 4, 3, { padding_mode = "x" }) end, "padding_mode must be one of",
      "but got padding_mode='x'")
    refuses(function() nn.ConvTranspose2d(3, 4, 3, { padding_mode = "reflect" }) end,
      "Only \"zeros\" padding mode is supported for ConvTranspose2d")
    refuses(function() nn.Conv2d(3, 4, { 3, 2, 1 }) end,
      "expected kernel_size to be a single integer value or a list of 2 values", "kernel_size=[3, 2, 1]")
    refuses(function() nn.Conv1d(3, -4, 1) end, "negative dimension -4")
  end)

  it("inputs that do not fit, naming the layer", function()
    local net = nn.Sequential(nn.Conv2d(3, 4, 3))
    refuses(function() net(torch.zeros(2, 5, 5, 3)) end, "to have 3 channels, but got 5 channels instead", "NHWC",
      "permute(1, 4, 2, 3)", "1: Conv2d(3 → 4) got [2, 5, 5, 3]; dim 2 must be 3")
    refuses(function() net(torch.zeros(3, 8)) end, "Expected 3D (unbatched) or 4D (batched) input to conv2d",
      "(N, 3, H, W)")
    refuses(function() net(torch.zeros(2, 3, 5, 5):double()) end, "1: Conv2d", "parameter 'weight' has dtype",
      "input:to(torch.float32)")
  end)

  it("output sizes of the transposed that no output_padding gives", function()
    local back, x = nn.ConvTranspose2d(3, 4, 3, { stride = 2 }), torch.zeros(1, 3, 4, 4)
    refuses(function() back(x, { 1, 2, 3 }) end, "for 4D input, output_size must have 2 or 4 elements (got 3)")
    refuses(function() back(x, { 1, 20 }) end, "requested an output size of (1, 20), but valid sizes range from "
      .. "[9, 9] to [10, 10] (for an input of torch.Size([4, 4]))")
    assert.same({ 1, 4, 10, 9 }, { table.unpack(back(x, { 1, 4, 10, 9 }).shape) })
    assert.same({ 1, 4, 9, 10 }, { table.unpack(back(x, { output_size = { 9, 10 } }).shape) })
  end)
end)

describe("normalisation", function()
  it("refuses a batch of one value and says drop_last, leaving the statistics", function()
    local net = nn.Sequential(nn.BatchNorm1d(3))
    refuses(function() net(torch.ones(1, 3)) end, "Expected more than 1 value per channel when training", "drop_last",
      "1: BatchNorm1d(3) got [1, 3]")
    assert.equal(0, net[1].num_batches_tracked:item())
    check({ 0, 0, 0 }, net[1].running_mean)
  end)

  it("refuses other numbers of dims and channels", function()
    refuses(function() nn.BatchNorm1d(3)(torch.zeros(3)) end, "expected 2D or 3D input (got 1D input)")
    refuses(function() nn.BatchNorm2d(3)(torch.zeros(3, 3)) end, "expected 4D input (got 2D input)")
    refuses(function() nn.InstanceNorm2d(3)(torch.zeros(3, 3)) end, "expected 3D or 4D input (got 2D input)")
    refuses(function() nn.BatchNorm2d(3)(torch.zeros(2, 5, 5, 3)) end, "BatchNorm2d(3)", "dim 2 must be 3", "NHWC")
    refuses(function() nn.InstanceNorm1d(3, { affine = true })(torch.zeros(2, 4, 5)) end,
      "expected input's size at dim=2 to match num_features (3), but got: 4.")
    refuses(function() nn.GroupNorm(2, 3) end, "num_channels (3) must be divisible by num_groups (2)")
    refuses(function() nn.LayerNorm { 4, 3 }(torch.zeros(2, 3, 4)) end, "LayerNorm((4, 3)) got [2, 3, 4]",
      "the last dims must be [4, 3]")
  end)

  it("moves its buffers with the module and resets them", function()
    local layer = nn.BatchNorm1d(2):double()
    layer(torch.tensor({ { 1, 2 }, { 3, 6 } }, { dtype = torch.float64 }))
    check({ 0.2, 0.4 }, layer.running_mean)
    assert.equal(torch.float64, layer.running_var.dtype)
    assert.equal(torch.int64, layer.num_batches_tracked.dtype)
    layer:reset_running_stats()
    check({ 0, 0 }, layer.running_mean)
    check({ 1, 1 }, layer.running_var)
    assert.equal(0, layer.num_batches_tracked:item())
  end)
end)

describe("modules of all files", function()
  it("take a dtype for what they make", function()
    local f64 = { dtype = torch.float64 }
    for _, module in ipairs {
      nn.Conv2d(1, 1, 1, f64), nn.ConvTranspose1d(1, 1, 1, f64), nn.BatchNorm1d(2, f64), nn.LayerNorm(2, f64),
      nn.GroupNorm(1, 2, f64), nn.RMSNorm(2, f64), nn.Embedding(2, 2, f64), nn.EmbeddingBag(2, 2, f64),
      nn.Bilinear(1, 1, 1, f64), nn.PReLU(f64),
    } do
      for name, p in module:named_parameters() do assert.equal(torch.float64, p.dtype, name) end
    end
    assert.equal(torch.float64, nn.BatchNorm1d(2, f64).running_mean.dtype)
  end)

  it("train together, and load what they saved under PyTorch's keys", function()
    local function make_net()
      return nn.Sequential(nn.Conv2d(1, 4, 3, { padding = 1 }), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 3))
    end
    torch.manual_seed(1)
    local net, x, y = make_net(), torch.randn(8, 1, 8, 8), torch.randint(1, 4, { 8 })
    local optimizer, loss = torch.optim.Adam(net:parameters(), { lr = 0.01 }), nn.CrossEntropyLoss()
    local first, last
    for _ = 1, 20 do
      optimizer:zero_grad()
      local value = loss(net(x), y)
      value:backward()
      optimizer:step()
      first, last = first or value:item(), value:item()
    end
    assert.is_true(last < first / 4)
    local state, other = net:state_dict { index_base = 0 }, make_net()
    assert.equal(20, state["1.num_batches_tracked"]:item())
    other:load_state_dict(state, { index_base = 0 })
    net:eval()
    other:eval()
    assert.is_true(net(x):equal(other(x)))
  end)

  it("warn once where data would slip into running statistics, or features do not fit", function()
    local layer, x = nn.BatchNorm1d(2), torch.randn(4, 2)
    local said = warnings_of(function()
      torch.no_grad(function()
        for _ = 1, 2 do layer(x) end
      end)
    end)
    assert.equal(1, #said)
    assert.truthy(said[1]:find("call eval() before evaluating", 1, true))
    assert.same({}, warnings_of(function() layer:eval()(x) end))
    local instance = nn.InstanceNorm1d(3)
    said = warnings_of(function()
      instance(torch.ones(2, 4, 5))
      instance(torch.ones(2, 4, 5))
    end)
    assert.equal(1, #said)
    assert.truthy(said[1]:find("input's size at dim=2 does not match num_features", 1, true))
  end)
end)

describe("embeddings", function()
  it("count padding_idx and indices from 1", function()
    local table_ = torch.tensor { { 1.0, 2.0 }, { 3.0, 4.0 }, { 5.0, 6.0 } }
    local layer = nn.Embedding.from_pretrained(table_, { padding_idx = -1, freeze = false })
    assert.equal(3, layer.padding_idx)
    local rows = layer(positions { 3, 1 })
    check({ { 5, 6 }, { 1, 2 } }, rows)
    rows:sum():backward()
    check({ { 1, 1 }, { 0, 0 }, { 0, 0 } }, layer.weight.grad)
    assert.is_false(nn.Embedding.from_pretrained(table_).weight.requires_grad)
    assert.equal(table_:data_ptr(), layer.weight:data_ptr())
    check({ { 3, 4 } }, nn.EmbeddingBag.from_pretrained(table_)(positions { { 1, 3 } }))
  end)

  it("refuse positions outside the table", function()
    refuses(function() nn.Embedding(3, 2, { padding_idx = 4 }) end, "Padding_idx must be within num_embeddings")
    refuses(function() nn.Embedding(3, 2, { padding_idx = 0 }) end, "positions count from 1")
    refuses(function() nn.EmbeddingBag(3, 2, { padding_idx = -4 }) end, "padding_idx must be within num_embeddings")
    refuses(function() nn.Embedding(3, 2, { _weight = torch.zeros(2, 2) }) end,
      "Shape of weight does not match num_embeddings and embedding_dim")
    refuses(function() nn.Embedding.from_pretrained(torch.zeros(2)) end,
      "Embeddings parameter is expected to be 2-dimensional")
    refuses(function() nn.Sequential(nn.Embedding(3, 2))(positions { 0 }) end, "index out of range in self",
      "ositions count from 1", "1: Embedding(3, 2) got [1]")
    refuses(function() nn.EmbeddingBag(3, 2, { mode = "x" })(positions { { 1 } }) end,
      "mode has to be one of sum, mean or max")
  end)
end)

describe("other layers", function()
  it("refuse settings in PyTorch's words", function()
    refuses(function() nn.Bilinear(0, 2, 3) end, "in1_features must be > 0, but got (in1_features=0)")
    refuses(function() nn.Dropout2d(2) end, "dropout probability has to be between 0 and 1, but got 2")
    refuses(function() nn.Threshold(1) end, "missing 1 required positional argument", "value")
    refuses(function() nn.Hardtanh(2, 1) end, "max_val (1) must be greater than min_val (2)")
    refuses(function() nn.LPPool2d(0, 2)(torch.zeros(1, 1, 4, 4)) end, "norm_type must be a non-zero value, but got 0")
    refuses(function() nn.Softmax2d()(torch.zeros(3)) end, "Softmax2d: expected input to be 3D or 4D, got 1D instead")
    refuses(function() nn.Softmin()(torch.zeros(3)) end, "dim")
    refuses(function() nn.RReLU(2, 1)(torch.zeros(3)) end,
      "Lower bound should be less than or equal to the upper bound")
    refuses(function() nn.ZeroPad2d { 1, 2, 3 } end, "Padding length must be divisible by 2")
  end)

  it("take the place of their input when told to", function()
    for _, name in ipairs { "ReLU6", "ELU", "Hardswish", "Mish", "SiLU", "Hardsigmoid" } do
      local x = torch.tensor { -1.0, 0.5, 7.0 }
      local wanted = nn[name]()(x):tolist()
      nn[name] { inplace = true }(x)
      check(wanted, x, 0)
    end
  end)

  it("are loaded when first named, and unknown names are nil", function()
    assert.is_nil(nn.Conv4d)
    assert.is_true(nn.isinstance(nn.UpsamplingNearest2d { scale_factor = 2 }, nn.Upsample))
    assert.equal("<class 'Conv2d'>", tostring(nn.Conv2d))
  end)

  it("a Buffer is a buffer of the module that it is assigned to", function()
    local Net = nn.class("Net")
    local source = torch.zeros(2)
    function Net:init()
      self.kept = nn.Buffer(source)
      self.passing = nn.Buffer(source, false)
      self.plain = torch.zeros(1)
    end
    local net, names = Net(), {}
    for name in net:named_buffers() do names[#names + 1] = name end
    assert.same({ "kept", "passing" }, names)
    assert.same({ "kept" }, keys_of(net))
    net.kept:add_(1)
    check({ 1, 1 }, source)
    assert.equal(0, nn.Buffer():numel())
  end)
end)

describe("losses of nn.functional", function()
  local F = nn.functional
  local column, row = torch.ones(3, 1), torch.ones(3)

  it("refuse to broadcast, with the call that mends it", function()
    for _, name in ipairs { "hinge_embedding_loss", "soft_margin_loss", "poisson_nll_loss", "huber_loss",
      "smooth_l1_loss", "multilabel_soft_margin_loss" } do
      refuses(function() F[name](column, row) end, name, "Using a target size (torch.Size([3])) that is different to "
        .. "the input size (torch.Size([3, 1]))", "target:unsqueeze(2)", "{broadcast = true}")
      F[name](column, row, { broadcast = true })
    end
    refuses(function() F.gaussian_nll_loss(column, row, column) end, "input:squeeze(2)")
    refuses(function() F.margin_ranking_loss(column, torch.ones(3, 2), column) end, "Using a input2 size")
    refuses(function() F.margin_ranking_loss(column, row, column) end,
      "All input tensors should have same dimension but got sizes: input1: torch.Size([3, 1])")
    refuses(function() nn.HingeEmbeddingLoss()(column, row) end, "Using a target size")
    assert.equal(1, nn.HingeEmbeddingLoss { broadcast = true }(column, row):item())
  end)

  it("refuse wrong labels and shapes in PyTorch's words", function()
    local x = torch.zeros(2, 3)
    refuses(function() F.multi_margin_loss(x, positions { 1, 2, 3 }) end,
      "Expected target size [2], but got [3]. Input has shape [2, 3].")
    refuses(function() F.multi_margin_loss(x, positions { 0, 3 }) end, "target out of range", "label 0",
      "labels count from 1")
    refuses(function() F.multi_margin_loss(x, torch.ones(2)) end, "expected scalar type Long but found Float")
    refuses(function() F.multi_margin_loss(x, positions { 1, 2 }, { weight = torch.ones(2) }) end,
      "inconsistent weight size, expected 3 but got [2]")
    refuses(function() F.multi_margin_loss(x, positions { 1, 2 }, { p = 3 }) end, "only p == 1 and p == 2 supported")
    refuses(function() nn.MultiMarginLoss { p = 3 } end, "only p == 1 and p == 2 supported")
    refuses(function() F.multilabel_margin_loss(x, positions { 1, 3 }) end,
      "inconsistent target size: [2] for input of size: [2, 3]")
    refuses(function() F.multilabel_margin_loss(x, positions { { 1, 4, 0 }, { 0, 0, 0 } }) end,
      "argument #3 'target' is out of range", "label 4")
    refuses(function() F.cosine_embedding_loss(x, x, torch.ones(2, 1)) end,
      "0D or 1D target tensor expected, multi-target not supported")
    refuses(function() F.cosine_embedding_loss(row, row, torch.ones(2)) end,
      "1D target tensor expects 2D input tensors, but found inputs with sizes [3] and [3].")
    refuses(function() F.triplet_margin_loss(row, row, x) end,
      "but got: anchor 1D, positive 1D, and negative 2D inputs")
    refuses(function() F.triplet_margin_loss(x, x, x, { margin = 0 }) end, "margin must be greater than 0, got 0")
    refuses(function() nn.TripletMarginLoss { margin = -1 } end,
      "TripletMarginLoss: expected margin to be greater than 0, got -1 instead")
    refuses(function() F.gaussian_nll_loss(row, row, -row) end, "var has negative entry/entries")
    refuses(function() F.gaussian_nll_loss(row, row, torch.ones(2)) end, "var is of incorrect size")
    refuses(function() F.soft_margin_loss(row, row, { reduction = "bogus" }) end,
      "bogus is not a valid value for reduction")
    refuses(function() F.huber_loss(row, row, { weight = column }) end, "Weights and input must have the same size")
  end)

  it("take and refuse integers as PyTorch does, and nothing at all", function()
    local x = positions { { 1, 2, -1 }, { 0, 3, 1 } }
    local hinge = F.hinge_embedding_loss(x, positions { { 1, -1, 1 }, { -1, 1, -1 } }, { reduction = "none" })
    assert.equal(torch.int64, hinge.dtype)
    assert.same({ { 1, 0, -1 }, { 1, 3, 0 } }, hinge:tolist())
    refuses(function() F.soft_margin_loss(x, x) end, "result type Float can't be cast to the desired output type Long",
      "input:float()")
    refuses(function() F.multi_margin_loss(x, positions { 1, 2 }) end, "not implemented for 'Long'", "input:float()")
    local empty = torch.zeros(0, 3)
    assert.equal(0, F.multilabel_margin_loss(empty, empty:long()):item())
    assert.same({}, F.multi_margin_loss(empty, torch.zeros(0):long(), { reduction = "none" }):tolist())
    check({ { 0.6534, 0.6534, 3.6534 }, { 0.6534, 0.6534, 3.6534 } },
      F.gaussian_nll_loss(x, x:flip(1), 0.5, { reduction = "none" }), 1e-4)
  end)

  it("multilabel_margin_loss reads labels up to the first 0", function()
    -- the example of PyTorch's documentation, labels from 1: 0.85
    local x = torch.tensor { { 0.1, 0.2, 0.4, 0.8 } }
    check(0.85, F.multilabel_margin_loss(x, positions { { 4, 1, 0, 2 } }):item(), 1e-6)
    check(0, F.multilabel_margin_loss(x, positions { { 0, 1, 2, 3 } }):item(), 0)
  end)

  it("give what their formulas say", function()
    local x, sign = torch.tensor { 0.25, 3.0, -0.5 }, torch.tensor { 1.0, -1.0, -1.0 }
    check({ 0.25, 0, 1.5 }, F.hinge_embedding_loss(x, sign, { reduction = "none" }), 0)
    check({ 0.25, 0, 2.5 }, F.hinge_embedding_loss(x, sign, 2, nil, nil, "none"), 0)
    check(math.log(2), F.multilabel_soft_margin_loss(torch.zeros(2, 3), torch.ones(2, 3)):item(), 1e-6)
    local function distance(a, b) return (a - b):abs():sum(2) end
    local a, p, n = torch.zeros(2, 1), torch.full({ 2, 1 }, 2.0), torch.tensor { { 1.0 }, { 5.0 } }
    local settings = { distance_function = distance, reduction = "none" }
    check({ 2, 0 }, F.triplet_margin_with_distance_loss(a, p, n, settings), 0)
    check({ 2, 0 }, nn.TripletMarginWithDistanceLoss(settings)(a, p, n), 0)
    check(torch.full({ 2 }, 0.5):tolist(), F.smooth_l1_loss(a, p - 1, { reduction = "none" }):squeeze(2), 0)
  end)

  it("gradients agree with differences, twice", function()
    local x = make { { 3, 4 }, 7, 23, 11, 5.0, "f", true }
    local y = make { { 3, 4 }, 5, 19, 9, 5.0, "f", true }
    local sign = make { { 3, 4 }, 2, 4, 1, 1.0, "f" }
    local fixed = make { { 3, 4 }, 3, 7, 0, 2.0, "f" }
    local gradcheck, twice = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    for _, fn in ipairs {
      function(a, b) return F.soft_margin_loss(a * b, sign) end,
      function(a, b) return F.poisson_nll_loss(a + b, fixed, { full = true }) end,
      function(a, b) return F.gaussian_nll_loss(a, b, b:exp()) end,
      function(a, b) return F.cosine_embedding_loss(a, b, torch.tensor { 1, -1, 1 }) end,
      function(a, b) return F.triplet_margin_loss(a, b, fixed, { margin = 3.0 }) end,
    } do
      assert.is_true(gradcheck(fn, { x, y }))
      assert.is_true(twice(fn, { x, y }))
    end
  end)

  it("gumbel_softmax sums to one, and hard draws are one-hot with the soft gradient", function()
    local logits = make { { 5, 4 }, 7, 23, 11, 5.0, "f", true }
    torch.manual_seed(3)
    local soft = F.gumbel_softmax(logits, { tau = 0.7 })
    check({ 1, 1, 1, 1, 1 }, soft:sum(2), 1e-12)
    torch.manual_seed(3)
    local hard = F.gumbel_softmax(logits, { tau = 0.7, hard = true })
    assert.same(select(2, soft:max(2)):tolist(), select(2, hard:max(2)):tolist())
    check({ 1, 1, 1, 1, 1 }, hard:max(2), 1e-12)
    local weight = make { { 5, 4 }, 5, 13, 6, 4.0, "f" }
    local wanted = torch.autograd.grad((soft * weight):sum(), logits)
    local got = torch.autograd.grad((hard * weight):sum(), logits)
    if type(wanted) == "table" then wanted, got = wanted[1], got[1] end
    check(wanted:tolist(), got, 1e-12)
    check(F.softmax(-logits, 2):tolist(), F.softmin(logits, 2), 1e-12)
  end)
end)
