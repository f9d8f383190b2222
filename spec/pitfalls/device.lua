--- Mistakes that a GPU meets after the call that made them: see support/pitfalls.lua. Runs where moontorch/cuda.so
-- finds a device; `make test-cuda-standin` gives it one that is not there.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local pitfalls = dofile(here .. "/../support/pitfalls.lua")
local mistake, right, next_line = pitfalls.mistake, pitfalls.right, pitfalls.next_line
local near = pitfalls.near
local nn, F = torch.nn, torch.nn.functional

if not torch.cuda.is_available() then return end

-- The device goes on as if nothing had been.
local function works_on()
  assert.equal(3, right(function() return torch.ones(3):cuda():sum():item() end))
  torch.cuda.synchronize()
end

describe("values that a device cannot take", function()
  it("22 BCELoss of logits names the element and the loss for logits on a device too", function()
    local logits, target = torch.tensor({ 0.5, 3.5 }):cuda(), torch.tensor({ 1.0, 0.0 }):cuda()
    for _, reduction in ipairs { "mean", "sum", "none" } do
      local line = next_line()
      local loss = nn.BCELoss { reduction = reduction }(logits, target)
      mistake(function() loss:sum():item() end, "all elements of input should be between 0 and 1",
        "element 2 is 3.5", "BCEWithLogitsLoss", "met by binary_cross_entropy() at ", line, "cuda:0")
      works_on()
    end
    local wrong = nn.BCELoss()(target, logits)
    mistake(function() wrong:item() end, "all elements of target should be between 0 and 1", "element 2 is 3.5")
    works_on()
    local wanted = (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(3.5))) / 2
    near.check(wanted, right(function() return nn.BCEWithLogitsLoss()(logits, target) end):cpu(), 1e-6)
    near.check(wanted, right(function() return nn.BCELoss()(logits:sigmoid(), target) end):cpu(), 1e-5)
  end)

  it("26 a class out of range is named with its place and the limit on a device too", function()
    local logits = torch.randn(4, 3):cuda()
    for _, reduction in ipairs { "mean", "sum", "none" } do
      for _, loss in ipairs { F.cross_entropy, F.nll_loss } do
        local none = loss(logits, torch.tensor({ 1, 0, 3, 1 }):cuda(), { reduction = reduction })
        mistake(function() none:cpu() end, "Target 0 is out of bounds", "label 2 of the target of shape [4]",
          "3 classes", "Labels count from 1", "target + 1")
        works_on()
        local many = loss(logits, torch.tensor({ 1, 2, 4, 1 }):cuda(), { reduction = reduction })
        local message = mistake(function() many:cpu() end, "Target 4 is out of bounds", "label 3", "3 classes")
        assert.is_nil(message:find("target + 1", 1, true))
        works_on()
      end
    end
    local rows = torch.randn(3, 2):cuda()
    mistake(function() return F.embedding(torch.tensor({ 1, 4 }):cuda(), rows):cpu() end, "index out of range in self",
      "element 2 of the indices [2]", "is 4", "3 rows")
    works_on()
    local zero_based = torch.tensor({ 0, 2, 1, 0 }):cuda()
    assert.is_true(right(function() return F.cross_entropy(logits, zero_based + 1) end):item() > 0)
  end)

  it("27 what a kernel met is told with the operator and the script's line, and the device goes on", function()
    local logits = torch.randn(4, 3):cuda():requires_grad_()
    local line = next_line()
    local loss = F.cross_entropy(logits, torch.tensor({ 1, 0, 3, 1 }):cuda())
    local later = (logits * 2):sum() -- not to blame
    mistake(function() later:item() end, "Target 0 is out of bounds", "met by cross_entropy() at ", line, "on cuda:0",
      "which runs later than it is called")
    works_on()
    assert.is_true(loss:item() > 0) -- of the labels that are classes
    torch.autograd.backward(loss)
    mistake(function() torch.cuda.synchronize() end, "Target 0 is out of bounds")
    works_on()
    local rows = torch.randn(3, 2):cuda()
    mistake(function() return F.embedding(torch.tensor({ 1, 9 }):cuda(), rows):sum():item() end, "9")
    works_on()
    local good = right(function() return F.embedding(torch.tensor({ 3, 1 }):cuda(), rows) end):cpu()
    assert.same(rows:cpu()[3]:tolist(), good[1]:tolist())
  end)
end)
