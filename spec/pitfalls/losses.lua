--- Mistakes in losses and labels, made on purpose: see support/pitfalls.lua.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local pitfalls = dofile(here .. "/../support/pitfalls.lua")
local mistake, right, warns = pitfalls.mistake, pitfalls.right, pitfalls.warns
local near, warnings_of = pitfalls.near, pitfalls.warnings_of
local nn, F = torch.nn, torch.nn.functional

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
    mistake(function() F.cross_entropy(logits, F.one_hot(labels, 3)) end, "multi-target not supported", "[4, 3]",
      "target:float()")
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
