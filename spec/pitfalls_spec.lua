--- Mistakes that newcomers make, each made on purpose: the text must name the place, the shapes and the remedy, and the
-- right way must work and be silent.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local warnings_of = dofile(here .. "/support/warnings.lua")
local nn, F, optim, data = torch.nn, torch.nn.functional, torch.optim, torch.utils.data
local refuses = near.refuses

-- `fn` must raise a message with all the texts; returns it.
local function mistake(fn, ...) return refuses(fn, ...) end

-- `fn` must run without a warning; returns what it returns.
local function right(fn)
  local result
  assert.same({}, warnings_of(function() result = fn() end))
  return result
end

-- `fn` must warn exactly once, with all the texts.
local function warns(fn, ...)
  local said = warnings_of(fn)
  assert.equal(1, #said, table.concat(said, "\n"))
  for _, part in ipairs { ... } do
    assert.is_truthy(said[1]:find(part, 1, true), part .. "\nis missing in\n" .. said[1])
  end
end

-- "file:line" of the line after the caller's.
local function next_line() return ("pitfalls_spec.lua:%d"):format(debug.getinfo(2, "l").currentline + 1) end

-- A convolution and a batch norm written by hand: the functions are what teaches.
local Conv = nn.class("Conv")
function Conv:init(channels, out) self.weight = nn.Parameter(torch.randn(out, channels, 3, 3)) end
function Conv:forward(x) return F.conv2d(x, self.weight) end

local Norm = nn.class("Norm")
function Norm:init(n)
  self:register_buffer("running_mean", torch.zeros(n))
  self:register_buffer("running_var", torch.ones(n))
end
function Norm:forward(x) return F.batch_norm(x, self.running_mean, self.running_var, { training = self.training }) end

local Two = nn.class("Two")
function Two:init()
  self.fc1 = nn.Linear(4, 3)
  self.fc2 = nn.Linear(3, 2)
end
function Two:forward(x) return self.fc2(x) end

-- One step of training of `model` on data of its own.
local function train_step(model, optimizer, x)
  optimizer:zero_grad()
  local loss = model(x):pow(2):mean()
  loss:backward()
  optimizer:step()
  return loss
end

describe("losses and labels", function()
  it("1 a loss of [N, 1] against [N] is refused before it broadcasts", function()
    local pred, target = torch.randn(4, 1), torch.randn(4)
    for _, loss in ipairs { F.mse_loss, F.l1_loss, nn.MSELoss(), nn.L1Loss() } do
      mistake(function() loss(pred, target) end,
        "Using a target size (torch.Size([4])) that is different to the input size (torch.Size([4, 1]))",
        "target:unsqueeze(2) or pred:squeeze(2)", "{broadcast = true} allows it")
    end
    mistake(function() F.mse_loss(target, pred) end, "pred:unsqueeze(2) or target:squeeze(2)")
    mistake(function() F.binary_cross_entropy_with_logits(pred, target) end,
      "Target size (torch.Size([4])) must be the same as input size (torch.Size([4, 1]))", "target:unsqueeze(2)")
    mistake(function() F.binary_cross_entropy(pred:sigmoid(), torch.ones(4)) end, "torch.Size([4, 1])",
      "target:unsqueeze(2)")
    local a = right(function() return F.mse_loss(pred, target:unsqueeze(2)) end)
    local b = right(function() return F.mse_loss(pred:squeeze(2), target) end)
    near.check(a:item(), b, 1e-6)
    local all = right(function() return F.mse_loss(pred, target, { broadcast = true }) end)
    near.check((pred - target):pow(2):mean():item(), all, 1e-6)
  end)

  it("2 float labels in cross_entropy are refused with both remedies, every integer dtype works", function()
    local logits, labels = torch.randn(4, 3), torch.tensor { 1, 2, 3, 1 }
    for _, loss in ipairs { F.cross_entropy, nn.CrossEntropyLoss(), F.nll_loss, nn.NLLLoss() } do
      mistake(function() loss(logits, labels:float()) end, "expected scalar type Long but found Float",
        "argument 'target' of shape [4]", "target:long()", "probabilities", "[4, 3]")
    end
    local wanted = right(function() return F.cross_entropy(logits, labels) end):item()
    for _, cast in ipairs { "int", "short", "byte", "char" } do
      near.check(wanted, right(function() return F.cross_entropy(logits, labels[cast](labels)) end), 1e-6)
    end
    near.check(wanted, right(function() return F.cross_entropy(logits, F.one_hot(labels, 3):float()) end), 1e-6)
  end)

  it("3 an integer target is refused by BCE at once and promoted by MSE", function()
    local target = torch.tensor { 1, 0, 1, 0 }
    for _, loss in ipairs { F.binary_cross_entropy, nn.BCELoss() } do
      mistake(function() loss(torch.full({ 4 }, 0.5), target) end,
        "Expected object of type torch.FloatTensor but found type torch.LongTensor for argument 'target'",
        "target:float()")
    end
    near.check(math.log(2), right(function() return F.binary_cross_entropy(torch.full({ 4 }, 0.5), target:float()) end),
      1e-6)
    local pred = torch.zeros(4, { requires_grad = true })
    local loss = right(function() return nn.MSELoss()(pred, target) end)
    assert.equal(0.5, loss:item())
    loss:backward()
    assert.same({ -0.5, 0, -0.5, 0 }, pred.grad:tolist())
  end)

  it("21 softmax before cross_entropy warns once a line", function()
    local twice = nn.Sequential(nn.Linear(2, 3), nn.Softmax(2))
    local x, y = torch.randn(4, 2), torch.tensor { 1, 2, 3, 1 }
    local function wrong()
      local loss = nn.CrossEntropyLoss()(twice(x), y)
      return loss
    end
    warns(function() for _ = 1, 3 do wrong() end end, "input comes from softmax", "takes logits",
      "Leave the softmax out", "log_softmax")
    assert.same({}, warnings_of(wrong))
    near.check(F.cross_entropy(twice(x):detach(), y):item(), wrong(), 1e-6)
    right(function() return F.cross_entropy(nn.Linear(2, 3)(x), y) end)
    right(function() return F.nll_loss(F.log_softmax(nn.Linear(2, 3)(x), 2), y) end)
  end)

  it("22 BCELoss of logits names the element and the loss for logits", function()
    local logits, target = torch.tensor { 0.5, 3.5 }, torch.tensor { 1.0, 0.0 }
    mistake(function() nn.BCELoss()(logits, target) end, "all elements of input should be between 0 and 1",
      "element 2 is 3.5", "BCEWithLogitsLoss")
    local wanted = (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(3.5))) / 2
    near.check(wanted, right(function() return nn.BCEWithLogitsLoss()(logits, target) end), 1e-6)
    near.check(wanted, right(function() return nn.BCELoss()(logits:sigmoid(), target) end), 1e-5)
  end)

  it("23 softmax without a dim is refused", function()
    local x = torch.zeros(4, 2)
    mistake(function() F.softmax(x) end, "missing 1 required positional arguments", "\"dim\"", "[4, 2]",
      "classes of a batch are dim 2")
    mistake(function() F.log_softmax(x) end, "\"dim\"", "[4, 2]")
    mistake(function() x:softmax() end, "missing argument 'dim'")
    mistake(function() nn.Softmax()(x) end, "\"dim\"")
    assert.equal(0.5, right(function() return F.softmax(x, 2) end)[1][1]:item())
  end)

  it("26 a class or an index out of range is named with its place and the limit", function()
    local logits = torch.randn(4, 3)
    for _, reduction in ipairs { "mean", "sum", "none" } do
      for _, loss in ipairs { F.cross_entropy, F.nll_loss } do
        mistake(function() loss(logits, torch.tensor { 1, 0, 3, 1 }, { reduction = reduction }) end,
          "Target 0 is out of bounds", "label 2 of the target of shape [4]", "3 classes", "Labels count from 1",
          "target + 1")
        local message = mistake(function() loss(logits, torch.tensor { 1, 2, 4, 1 }, { reduction = reduction }) end,
          "Target 4 is out of bounds", "label 3", "3 classes")
        assert.is_nil(message:find("target + 1", 1, true))
      end
    end
    local table_of = torch.randn(3, 2)
    mistake(function() F.embedding(torch.tensor { 1, 0 }, table_of) end, "index out of range in self",
      "element 2 of the indices", "is 0", "3 rows", "indices + 1")
    mistake(function() F.embedding(torch.tensor { 1, 4 }, table_of) end, "element 2", "is 4", "3 rows")
    mistake(function() F.embedding_bag(torch.tensor { { 1, 0 } }, table_of) end, "element 2", "is 0", "indices + 1")
    mistake(function() F.one_hot(torch.tensor { 1, 4 }, 3) end, "Class values must be smaller than num_classes",
      "got 4", "num_classes is 3")
    mistake(function() F.one_hot(torch.tensor { 1, 0 }, 3) end, "Class values must be non-negative", "count from 1",
      "input + 1")
    local zero_based = torch.tensor { 0, 2, 1, 0 }
    assert.is_true(right(function() return F.cross_entropy(logits, zero_based + 1) end):item() > 0)
    local row = right(function() return F.embedding(torch.tensor { 3 }, table_of) end)
    assert.same(table_of[3]:tolist(), row[1]:tolist())
  end)
end)

describe("layers", function()
  it("4 float64 data into a float32 layer names the layer, its parameter, and both dtypes", function()
    local net = Two()
    mistake(function() net(torch.randn(2, 3):double()) end,
      "mat1 and mat2 must have the same dtype, but got Double and Float",
      "in fc2: Linear(3 → 2) got [2, 3] of dtype torch.float64", "parameter 'weight' has dtype torch.float32",
      "input:to(torch.float32)", ":to(torch.float64)")
    assert.equal(torch.float32, right(function() return net(torch.randn(2, 3):double():float()) end).dtype)
    assert.equal(torch.float64, right(function() return Two():to(torch.float64)(torch.randn(2, 3):double()) end).dtype)
  end)

  it("6 modules in plain tables are found, cast and trained", function()
    local net = nn.class("Tables")()
    net.blocks = { nn.Linear(1, 1), nn.Linear(1, 1) }
    net.heads = { left = { nn.Linear(1, 1, { bias = false }) } }
    local names = {}
    for name in net:named_parameters() do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "blocks.1.bias", "blocks.1.weight", "blocks.2.bias", "blocks.2.weight", "heads.left.1.weight" },
      names)
    right(function() return net:double() end)
    assert.equal(torch.float64, net.heads.left[1].weight.dtype)
    net:eval()
    assert.is_false(net.blocks[2].training)
  end)

  it("7 a Parameter that was converted is said to be none; moving a module keeps them", function()
    warns(function() nn.class("Held")().w = nn.Parameter(torch.ones(2)):double() end, "Held: field 'w' is no Parameter",
      "will not be trained", "nn.Parameter(x:to(...))", "module:to(...)")
    local held = right(function()
      local m = nn.class("Held")()
      m.w = nn.Parameter(torch.ones(2)):cpu()
      m.v = nn.Parameter(torch.ones(2):double())
      m.state = m.v * 2
      return m:double()
    end)
    assert.equal(2, #held:parameters())
    assert.equal(torch.float64, held.w.dtype)
    assert.is_true(held.w.is_leaf and held.w.requires_grad)
  end)

  it("18 squeeze() without a dim in a module that drops a batch of 1 warns once", function()
    local Wrong, Right = nn.class("Wrong"), nn.class("Right")
    function Wrong:forward(x) return x:squeeze() end
    function Right:forward(x) return x:squeeze(-1) end
    local wrong = nn.Sequential(Wrong())
    assert.same({}, warnings_of(function() wrong(torch.randn(4, 3, 1)) end))
    local out
    warns(function() for _ = 1, 3 do out = wrong(torch.randn(1, 3, 1)) end end, "Wrong: squeeze() without a dim",
      "drops dim 1, the batch", "x:squeeze(-1)")
    assert.same({ 3 }, { table.unpack(out.shape) })
    assert.equal(2, right(function() return Right()(torch.randn(1, 3, 1)) end).ndim)
    assert.equal(1, right(function() return torch.randn(1, 3):squeeze() end).ndim)
  end)

  it("19 Linear fed the wrong width names the layer and the width it needs", function()
    mistake(function() Two()(torch.randn(4, 5)) end, "mat1 and mat2 shapes cannot be multiplied (4x5 and 3x2)",
      "fc2: Linear(3 → 2) got [4, 5]; the last dim must be 3")
    local deep = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(7, 2)))
    mistake(function() deep(torch.randn(4, 2)) end, "2.1: Linear(7 → 2) got [4, 2]; the last dim must be 7")
    assert.same({ 4, 2 }, { table.unpack(right(function() return Two()(torch.randn(4, 3)) end).shape) })
  end)

  it("20 images with channels last name the layer and the permutation", function()
    local net = nn.class("Net")()
    net.conv1 = Conv(3, 4)
    function net:forward(x) return self.conv1(x) end
    mistake(function() net(torch.randn(2, 8, 8, 3)) end,
      "Given groups=1, weight of size [4, 3, 3, 3], expected input[2, 8, 8, 3] to have 3 channels, but got 8 channels",
      "looks like NHWC", ":permute(1, 4, 2, 3)", "in conv1: Conv")
    mistake(function() net.conv1(torch.randn(8, 8, 3)) end, "[8, 8, 3], which has no batch, :permute(3, 1, 2)")
    local gray = torch.randn(2, 1, 8, 8)
    local message = mistake(function() net(gray) end, "to have 3 channels", "dim 2 of a batch")
    assert.is_nil(message:find("NHWC", 1, true))
    local out = right(function() return net(torch.randn(2, 8, 8, 3):permute(1, 4, 2, 3)) end)
    assert.same({ 2, 4, 6, 6 }, { table.unpack(out.shape) })
    right(function() return net.conv1(torch.randn(8, 8, 3):permute(3, 1, 2)) end)
  end)

  it("24 a forgotten eval() or train() is noticed, and predict() needs neither", function()
    local net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    local x = torch.ones(3, 2)
    warns(function() torch.no_grad(function() for _ = 1, 3 do net(x) end end) end, "dropout()", "gradients are off",
      "eval()", "model:predict(x)")
    local norm = Norm(2)
    warns(function() torch.no_grad(function() for _ = 1, 3 do norm(x) end end) end, "batch_norm", "gradients are off",
      "eval()", "model:predict(x)")
    local optimizer = optim.SGD(net:parameters(), { lr = 0.1 })
    right(function() return train_step(net, optimizer, x) end)
    net:eval()
    right(function() torch.no_grad(function() net(x) end) end)
    warns(function() for _ = 1, 3 do train_step(net, optimizer, x) end end, "SGD.step()", "Sequential",
      "evaluation mode", "Call train()", "model:predict(x)")
    local before = norm.running_mean:clone()
    net:train()
    right(function()
      for _ = 1, 2 do
        assert.is_true(net:predict(x):equal(net:predict(x)))
        assert.is_false(net:predict(x).requires_grad)
        norm:predict(x)
        train_step(net, optimizer, x)
      end
    end)
    assert.is_true(net.training and net[2].training and norm.training)
    assert.is_true(norm.running_mean:equal(before))
    local plain, frozen = nn.Linear(2, 1):eval(), nn.Sequential(nn.Linear(2, 2), Norm(2):eval())
    right(function()
      train_step(plain, optim.SGD(plain:parameters(), { lr = 0.1 }), x)
      train_step(frozen, optim.SGD(frozen:parameters(), { lr = 0.1 }), x)
    end)
  end)

  it("25 batch norm of one sample is refused, and the loader warns that it will come", function()
    mistake(function() Norm(3)(torch.randn(1, 3)) end,
      "Expected more than 1 value per channel when training, got input size torch.Size([1, 3])", "drop_last", "eval()")
    right(function() return Norm(3)(torch.randn(2, 3)) end)
    right(function() return Norm(3):eval()(torch.randn(1, 3)) end)
    local five = data.TensorDataset(torch.randn(5, 2))
    local function run(options)
      options.batch_size, options.shuffle = 2, true
      for _ in data.DataLoader(five, options):iter() do end
    end
    warns(function() run {} end, "last batch of each epoch will hold 1 sample (5 samples in batches of 2)", "BatchNorm",
      "drop_last = true")
    right(function() return run { drop_last = true } end)
  end)

  it("29 a parameter that nobody wrote to is refused at the first forward", function()
    local Raw = nn.class("Raw")
    function Raw:init() self.w = nn.Parameter(torch.Tensor(2, 3)) end
    function Raw:forward(x) return F.linear(x, self.w) end
    local net = nn.Sequential(nn.Linear(3, 3), Raw())
    mistake(function() net(torch.randn(1, 3)) end, "parameter '2.w' of shape [2, 3] was never initialised",
      "reset_parameters", "nn.init")
    nn.init.uniform_(net[2].w, -0.1, 0.1)
    right(function() return net(torch.randn(1, 3)) end)
  end)

  it("33 keys that do not fit are grouped by cause, with the nearest name and the way out", function()
    local net, other = Two(), Two()
    local wrapped = {}
    for key, value in pairs(net:state_dict()) do wrapped["module." .. key] = value end
    mistake(function() other:load_state_dict(wrapped) end, "Error(s) in loading state_dict for Two:",
      "Missing key(s) in state_dict: \"fc1.weight\"", "Unexpected key(s) in state_dict: \"module.fc1.bias\"",
      "{strip_prefix = \"module.\"}")
    right(function() return other:load_state_dict(wrapped, { strip_prefix = "module." }) end)
    assert.is_true(other.fc1.weight:equal(net.fc1.weight))
    local zero_based = { ["0.weight"] = torch.ones(2, 2), ["0.bias"] = torch.ones(2) }
    local list = nn.Sequential(nn.Linear(2, 2))
    mistake(function() list:load_state_dict(zero_based) end, "{index_base = 0}", "nearest here: \"0.weight\"")
    right(function() return list:load_state_dict(zero_based, { index_base = 0 }) end)
    assert.equal(4, list[1].weight:sum():item())
    mistake(function() nn.Linear(2, 3):load_state_dict { weigth = torch.ones(3, 2), bias = torch.ones(3) } end,
      "\"weight\" (nearest here: \"weigth\")")
    mistake(function() nn.Linear(2, 3):load_state_dict { weight = torch.ones(3, 5), bias = torch.ones(3) } end,
      "size mismatch for weight", "[3, 5]", "[3, 2]")
  end)

  it("37 a constructor need not call its parent's", function()
    local Child = nn.class("Child")
    function Child:init(n) self.fc = nn.Linear(n, 1) end
    function Child:forward(x) return self.fc(x) end
    local Grandchild = nn.class("Grandchild", Child)
    function Grandchild:init(n) self.scale = n end
    local child = right(function() return Grandchild(3) end)
    assert.equal(2, #child:parameters())
    assert.equal(3, child.scale)
    assert.is_true(child.training)
    right(function() return child(torch.ones(1, 3)) end)
  end)

  it("39 a model can start as in the other framework", function()
    local net = right(function() return nn.init.like_tensorflow(nn.Sequential(nn.Linear(30, 20), Conv(2, 4))) end)
    assert.equal(0, net[1].bias:abs():sum():item())
    local bound = math.sqrt(6 / (30 + 20))
    local largest = net[1].weight:abs():max():item()
    assert.is_true(largest <= bound and largest > 0.9 * bound)
    local conv_bound = math.sqrt(6 / ((2 + 4) * 9))
    assert.is_true(net[2].weight:abs():max():item() <= conv_bound)
    mistake(function() nn.init.like_tensorflow(torch.ones(2)) end, "expected a Module, but got Tensor")
  end)
end)

describe("autograd", function()
  it("8 gradients that pile up because zero_grad was forgotten warn once", function()
    local net, x = nn.Linear(2, 1), torch.ones(3, 2)
    local function steps(options, clear)
      local optimizer = optim.SGD(net:parameters(), options)
      for _ = 1, 4 do
        if clear then optimizer:zero_grad() end
        net(x):sum():backward()
        optimizer:step()
      end
    end
    net:zero_grad()
    warns(function() steps { lr = 0.1 } end, "gradients pile up", "zero_grad()", "{accumulate = true}")
    net:zero_grad()
    right(function() return steps({ lr = 0.1 }, true) end)
    right(function() return steps { lr = 0.1, accumulate = true } end)
  end)

  it("9 a write that breaks backward is named with what saved the tensor, in anomaly mode with both lines", function()
    local function broken()
      local x, lines = torch.randn(3, { requires_grad = true }), {}
      lines[1] = next_line()
      local y = x:exp()
      lines[2] = next_line()
      y:add_(1)
      return y, lines
    end
    mistake(function() broken():sum():backward() end,
      "one of the variables needed for gradient computation has been modified by an inplace operation",
      "ExpBackward0 saved", "is at version 1; expected version 0", "clone", "set_detect_anomaly(true)")
    torch.autograd.set_detect_anomaly(true)
    local good, message = pcall(function()
      local y, lines = broken()
      mistake(function() y:sum():backward() end, lines[1], "written at", lines[2])
    end)
    torch.autograd.set_detect_anomaly(false)
    assert(good, message)
    local x = torch.zeros(3, { requires_grad = true })
    right(function() (x:exp() + 1):sum():backward() end)
    assert.same({ 1, 1, 1 }, x.grad:tolist())
  end)

  it("10 a leaf is refused before it is written", function()
    local x = torch.ones(3, { requires_grad = true })
    for _, write in ipairs {
      function() x:add_(1) end, function() x[1] = 5 end, function() x:fill_(0) end,
      function() x[{ { 1, 2 } }]:zero_() end,
    } do
      mistake(write, "a leaf Variable that requires grad is being used in an in-place operation", "torch.no_grad")
      assert.same({ 1, 1, 1 }, x:tolist())
    end
    right(function() return torch.no_grad(function() x:add_(1) end) end)
    assert.same({ 2, 2, 2 }, x:tolist())
  end)

  it("11 backward through a state that was kept names it: detach first, retain_graph last", function()
    local w = torch.ones(3, { requires_grad = true })
    local place
    local function steps(detach)
      local h = torch.ones(3)
      for _ = 1, 2 do
        if detach then h = h:detach() end
        place = next_line()
        h = (h * w):tanh()
        h:sum():backward()
      end
    end
    local message = mistake(steps, "Trying to backward through the graph a second time", "the result of TanhBackward0",
      ":detach() it there", "retain_graph = true", "set_detect_anomaly(true)")
    assert.is_true(message:find(":detach()", 1, true) < message:find("retain_graph", 1, true))
    torch.autograd.set_detect_anomaly(true)
    local good, error_text = pcall(function() mistake(steps, "the result of TanhBackward0, made at", place) end)
    torch.autograd.set_detect_anomaly(false)
    assert(good, error_text)
    right(function() return steps(true) end)
  end)

  it("12 a running sum that keeps every step's graph warns once, one of numbers does not", function()
    local x = torch.ones(3, 2)
    local function train(add, n)
      local net = nn.Linear(2, 1)
      local optimizer = optim.SGD(net:parameters(), { lr = 0.01 })
      local total = 0
      for _ = 1, n do total = add(total, train_step(net, optimizer, x)) end
      return total
    end
    warns(function() train(function(total, loss) return total + loss end, 600) end, "SGD.step()",
      "the graph has grown over the last 128 steps", "running sum of losses", "loss:item()", "loss:detach()")
    local kept = {}
    warns(function() train(function(_, loss) kept[#kept + 1] = loss end, 300) end, "the graph has grown")
    right(function()
      train(function(total, loss) return total + loss:item() end, 1100)
      train(function(total, loss) return total + loss:detach() end, 600)
    end)
    -- A meter that is given the loss keeps its value only.
    local bar = torch.utils.progress(600, { file = { write = function() end, flush = function() end } })
    right(function() train(function(_, loss) bar:set { loss = loss } end, 600) end)
  end)

  it("13 backward of a tensor without gradient says why", function()
    local x = torch.ones(3, { requires_grad = true })
    local text = "element 1 of tensors does not require grad and does not have a grad_fn"
    mistake(function() torch.ones(3):sum():backward() end, text, "without requires_grad (data, frozen parameters)")
    mistake(function() torch.no_grad(function() return x:sum() end):backward() end, text, "under torch.no_grad")
    mistake(function() x:sum():detach():backward() end, text, "detach()")
    mistake(function() torch.tensor { 1, 2 }:sum():backward() end, text, "int64", "integers, which has no gradient")
    mistake(function() nn.Linear(2, 1):requires_grad_(false)(torch.ones(1, 2)):sum():backward() end, text, "frozen",
      "Set requires_grad")
    right(function() x:sum():backward() end)
    assert.same({ 1, 1, 1 }, x.grad:tolist())
  end)

  it("14 backward of several elements names the shape, sum and mean", function()
    local x = torch.ones(2, 3, { requires_grad = true })
    mistake(function() (x * 2):backward() end, "grad can be implicitly created only for scalar outputs", "[2, 3]",
      ":sum()", ":mean()")
    right(function() (x * 2):mean():backward() end)
    right(function() (x * 2):backward(torch.ones(2, 3)) end)
  end)

  it("15 the .grad of a tensor that is no leaf warns with the script's line", function()
    local x = torch.ones(3, { requires_grad = true })
    local y = x * 2
    warns(function() return y.grad end, "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed",
      ".retain_grad()")
    y:retain_grad()
    y:sum():backward()
    assert.same({ 1, 1, 1 }, right(function() return y.grad end):tolist())
  end)

  it("30 anomaly mode names the first operation that gives NaN, and its line", function()
    local x = torch.zeros(3, { requires_grad = true })
    x:norm():backward()
    assert.same({ 0, 0, 0 }, x.grad:tolist())
    x.grad = nil
    torch.where(x:gt(0), x:sqrt(), x):sum():backward()
    assert.is_true(x.grad:isnan():all():item())
    local place
    warnings_of(function()
      mistake(function()
        torch.autograd.detect_anomaly(function()
          place = next_line()
          local y = x:sqrt()
          torch.where(x:gt(0), y, x):sum():backward()
        end)
      end, "Function 'SqrtBackward0' returned nan values in its 0th output", "made at", place)
    end)
    x.grad = nil
    local safe = torch.where(x:gt(0), x, torch.ones(3))
    right(function() torch.where(x:gt(0), safe:sqrt(), x):sum():backward() end)
    assert.same({ 1, 1, 1 }, x.grad:tolist())
  end)

  it("40 gradients that vanish are seen in a report of every parameter's norm", function()
    local net = nn.Sequential()
    for i = 1, 8 do net:append(nn.Linear(4, 4)):append(nn.Sigmoid()); net[2 * i - 1].weight:detach():mul_(0.5) end
    nn.MSELoss()(net(torch.randn(5, 4)), torch.zeros(5, 4)):backward()
    local report = right(function() return torch.utils.gradient_report(net) end)
    local first, last = report:match("1%.weight +(%S+) +%[4, 4%]"), report:match("15%.weight +(%S+) +%[4, 4%]")
    assert.is_true(tonumber(first) < tonumber(last) / 1000, report)
    assert.equal(string.format("%.2e", net[1].weight.grad:norm():item()), first)
    net:zero_grad()
    assert.is_truthy(torch.utils.gradient_report(net):find("no gradient", 1, true))
  end)
end)

describe("shapes and memory", function()
  it("16 view after a transpose shows sizes and strides and both ways out", function()
    local x = torch.arange(6):reshape(2, 3):t()
    mistake(function() x:view(6) end, "view size is not compatible with input tensor's size and stride",
      "size is [3, 2], stride [1, 3]", "x:contiguous():view(...)", "x:reshape(...)")
    assert.same({ 0, 3, 1, 4, 2, 5 }, right(function() return x:contiguous():view(6) end):tolist())
    assert.same({ 0, 3, 1, 4, 2, 5 }, right(function() return x:reshape(6) end):tolist())
  end)

  it("17 view with the wrong count gives both products and the -1 that would fit", function()
    mistake(function() torch.ones(2, 6):view(4, 2) end, "shape '[4, 2]' is invalid for input of size 12",
      "multiply to 8", "[-1, 2] would fit, its -1 is 6 then")
    mistake(function() torch.ones(6):view(3, 4) end, "multiply to 12", "[3, -1] would fit, its -1 is 2 then")
    mistake(function() torch.ones(7):reshape(3, 2) end, "multiply to 6", "no -1 in place of one of them would fit")
    assert.equal(6, right(function() return torch.ones(2, 6):view(-1, 2) end):size(1))
  end)

  it("28 what a tensor holds comes to Lua as tables, numbers and strings", function()
    local x = torch.tensor { { 1, 2 }, { 3, 4 } }
    assert.same({ { 1, 2 }, { 3, 4 } }, right(function() return x:cpu():tolist() end))
    assert.equal(32, #right(function() return x:cpu():tobytes() end))
    mistake(function() x:item() end, "a Tensor with 4 elements cannot be converted to Scalar")
  end)

  it("35 a write into an expanded tensor names the expand", function()
    local wide = torch.zeros(3, 1):expand(3, 4)
    for _, write in ipairs { function() wide:add_(1) end, function() wide:fill_(1) end } do
      mistake(write, "more than one element of the written-to tensor refers to a single memory location",
        "Please clone() the tensor", "[3, 4]", "expand")
    end
    assert.equal(12, right(function() return wide:clone():add_(1) end):sum():item())
    assert.equal(0, wide:sum():item())
  end)

  it("36 the mean of integers names the conversion", function()
    mistake(function() torch.tensor { 1, 2 }:mean() end, "could not infer output dtype",
      "must be either a floating point or complex dtype. Got: Long", ":float():mean()")
    assert.equal(1.5, right(function() return torch.tensor { 1, 2 }:float():mean() end):item())
  end)

  it("38 a 0 is told that positions count from 1", function()
    local x = torch.arange(9):reshape(3, 3)
    local zero = torch.tensor { 0 }
    for _, wrong in ipairs {
      function() return x[0] end, function() x[0] = 1 end, function() return x[{ 1, 0 }] end, function() x:sum(0) end,
      function() x:select(1, 0) end, function() x:select(0, 1) end, function() x:transpose(0, 1) end,
      function() return x[zero] end, function() x:index_select(1, zero) end,
      function() x:gather(1, zero:view(1, 1)) end,
      function() torch.cat({ x, x }, 0) end, function() torch.stack({ x, x }, 0) end, function() x:softmax(0) end,
      function() x:index_add_(1, zero, torch.ones(1, 3):long()) end, function() x:narrow(1, 0, 1) end,
    } do
      mistake(wrong, "count from 1 in Lua")
    end
    assert.same({ 0, 1, 2 }, right(function() return x[1] end):tolist())
    assert.same({ 9, 12, 15 }, right(function() return x:sum(1) end):tolist())
  end)
end)

describe("training loops", function()
  it("31 workers do not draw the same numbers, epoch by epoch, math.random's too", function()
    local Noise = data.Dataset:class("Noise")
    function Noise:len() return 4 end
    function Noise:get() return { torch.rand(1), math.random() } end
    local function epochs(seed)
      torch.manual_seed(seed)
      local loader = data.DataLoader(Noise(), { batch_size = 1, num_workers = 2 })
      local drawn = {}
      for _ = 1, 2 do
        for a, b in loader:iter() do
          drawn[#drawn + 1] = a:item()
          drawn[#drawn + 1] = b:item()
        end
      end
      return drawn
    end
    local first = right(function() return epochs(1) end)
    local seen = {}
    for _, v in ipairs(first) do
      assert.is_nil(seen[v])
      seen[v] = true
    end
    assert.equal(16, #first)
    assert.same(first, epochs(1))
    assert.not_same(first, epochs(2))
  end)

  it("32 a scheduler stepped before the optimiser warns", function()
    local net = nn.Linear(1, 1)
    local function loop(scheduler_first)
      local optimizer = optim.SGD(net:parameters(), { lr = 0.1 })
      local scheduler = optim.lr_scheduler.StepLR(optimizer, { step_size = 1 })
      for _ = 1, 3 do
        if scheduler_first then scheduler:step() end
        train_step(net, optimizer, torch.ones(1, 1))
        if not scheduler_first then scheduler:step() end
      end
    end
    warns(function() loop(true) end, "Detected call of `lr_scheduler.step()` before `optimizer.step()`",
      "optimizer:step() before scheduler:step()")
    right(function() return loop(false) end)
  end)

  it("34 samples of different shapes name the samples, the field and a collate function", function()
    local function load(samples, collate)
      local batch
      for x in data.DataLoader(samples, { batch_size = 2, collate_fn = collate }):iter() do batch = x end
      return batch
    end
    mistake(function() load { { torch.ones(2), 1 }, { torch.ones(3), 2 } } end,
      "stack expects each tensor to be equal size, but got [2] at sample 1 and [3] at sample 2", "field 1",
      "collate_fn")
    mistake(function() load { { x = torch.ones(2) }, { x = torch.ones(3) } } end, "field x", "sample 2", "collate_fn")
    mistake(function() load { { { 1, 2 }, 1 }, { { 1, 2, 3 }, 2 } } end, "sample 1 has 2 and sample 2 has 3", "field 1")
    local padded = right(function()
      return load({ { torch.ones(2) }, { torch.ones(3) } }, function(samples)
        local rows = {}
        for i, sample in ipairs(samples) do rows[i] = F.pad(sample[1], { 0, 3 - sample[1]:size(1) }) end
        return torch.stack(rows)
      end)
    end)
    assert.same({ { 1, 1, 0 }, { 1, 1, 1 } }, padded:tolist())
  end)
end)

describe("a machine without CUDA", function()
  it("5 27 28 says what is missing, and a script can ask first", function()
    if torch.cuda.is_available() then return end
    for _, wrong in ipairs {
      function() torch.ones(2):cuda() end, function() nn.Linear(2, 2):cuda() end, function() torch.cuda.zeros(2) end,
      function() torch.zeros(2, { device = "cuda" }) end, function() torch.ones(2):to("cuda:0") end,
    } do
      mistake(wrong, "Torch not compiled with CUDA enabled", "moontorch/cuda.so", "moontorch-cuda")
    end
    assert.equal(0, torch.cuda.device_count())
    local t = right(function() return torch.cuda.is_available() and torch.cuda or torch end)
    assert.equal("cpu", tostring(t.zeros(2).device))
    assert.same({ 1, 1 }, right(function() return torch.ones(2):to("cpu"):tolist() end))
  end)
end)

describe("warnings", function()
  it("go through Lua's warn, with the script's line", function()
    local script, words = os.tmpname(), {}
    near.write(script, [[
local torch = require "moontorch"
local nn = torch.nn
local S = nn.class("S")
function S:forward(x)
  local y = x:squeeze()
  return y
end
local y = torch.ones(3, { requires_grad = true }) * 2
for _, mode in ipairs { "@off", "@on" } do
  warn(mode)
  local _ = y.grad
end
S()(torch.ones(1, 3))
nn.CrossEntropyLoss()(torch.nn.Softmax(2)(nn.Linear(2, 3)(torch.ones(1, 2))), torch.tensor { 1 })
]])
    local lowest = 0
    while arg and arg[lowest - 1] do lowest = lowest - 1 end
    local pipe = assert(io.popen(("'%s' '%s' 2>&1"):format(lowest < 0 and arg[lowest] or "lua5.4", script)))
    for line in pipe:lines() do words[#words + 1] = line end
    pipe:close()
    os.remove(script)
    assert.equal(3, #words, table.concat(words, "\n"))
    for i, part in ipairs {
      ":11: The .grad attribute", ":5: S: squeeze() without a dim", ":14: cross_entropy: its input",
    } do
      assert.is_truthy(words[i]:find("Lua warning: ", 1, true) and words[i]:find(part, 1, true), words[i])
    end
  end)
end)

describe("set_checks", function()
  it("turns the warnings off, and the errors stay", function()
    torch.set_checks(false)
    local good, message = pcall(function()
      local Silent = nn.class("Silent")
      function Silent:forward(x) return x:squeeze() end
      local net = nn.Linear(2, 3)
      assert.same({}, warnings_of(function()
        Silent()(torch.ones(1, 3))
        F.cross_entropy(F.softmax(net(torch.ones(4, 2)), 2), torch.tensor { 1, 2, 3, 1 })
        torch.no_grad(function() Norm(3)(torch.ones(4, 3)) end)
        local optimizer = optim.SGD(net:parameters(), { lr = 0.1 })
        for _ = 1, 3 do
          net(torch.ones(1, 2)):sum():backward()
          optimizer:step()
        end
      end))
      mistake(function() F.mse_loss(torch.ones(4, 1), torch.ones(4)) end, "unsqueeze(2)")
    end)
    torch.set_checks(true)
    assert(good, message)
  end)
end)
