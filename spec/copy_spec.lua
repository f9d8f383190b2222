--- torch.utils.copy.deepcopy: what it clones, what it shares, what it refuses.
local torch = require "moontorch"
local near = require "spec.support.near"

local nn, deepcopy = torch.nn, torch.utils.copy.deepcopy
local refuses = near.refuses

describe("a deep copy", function()
  it("of a module shares no tensor with it, and goes its own way", function()
    local net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    net(torch.randn(5, 3)):sum():backward()
    local twin = deepcopy(net)
    assert.equal(tostring(net), tostring(twin))
    local of_twin = twin:state_dict()
    for name, value in pairs(net:state_dict()) do
      assert.is_true(of_twin[name]:equal(value), name)
      assert.not_equal(value:data_ptr(), of_twin[name]:data_ptr(), name)
    end
    assert.equal(6, #twin:parameters())
    for _, p in ipairs(twin:parameters()) do
      assert.is_true(p.requires_grad and p.is_leaf)
      assert.is_nil(p.grad)
    end
    torch.no_grad(function() twin[1].weight:zero_() end)
    assert.is_true(net[1].weight:abs():sum():item() > 0)
    twin:eval()
    assert.is_true(net[2].training)
    twin.extra = nn.Linear(2, 2)
    assert.equal(6, #net:parameters())
  end)

  it("keeps frozen parameters frozen, tied weights tied, and hooks", function()
    local Tied = nn.class("Tied")
    function Tied:init()
      self.inner, self.outer = nn.Linear(2, 2), nn.Linear(2, 2)
      self.outer.weight = self.inner.weight
      self.inner.bias.requires_grad = false
    end
    function Tied:forward(x) return self.outer(self.inner(x)) end
    local net, calls = Tied(), 0
    net:register_forward_hook(function() calls = calls + 1 end)
    local twin = deepcopy(net)
    assert.is_true(rawequal(twin.outer.weight, twin.inner.weight))
    assert.is_false(rawequal(twin.outer.weight, net.outer.weight))
    assert.is_false(twin.inner.bias.requires_grad)
    local x = torch.randn(3, 2)
    assert.is_true(twin(x):equal(net(x)))
    assert.equal(2, calls)
  end)

  it("of a model and its optimiser in one table trains the copy", function()
    local net = nn.Linear(2, 1)
    local run = { net = net, optimizer = torch.optim.Adam(net:parameters(), { lr = 0.1 }) }
    local function step(r)
      r.optimizer:zero_grad()
      r.net(torch.ones(4, 2)):pow(2):sum():backward()
      r.optimizer:step()
    end
    step(run)
    local twin = deepcopy(run)
    assert.is_true(rawequal(twin.optimizer.param_groups[1].params[1], twin.net.weight))
    local before = net.weight:clone()
    step(twin)
    assert.is_true(net.weight:equal(before))
    step(run)
    assert.is_true(net.weight:equal(twin.net.weight))
  end)

  it("of tensors and tables: leaves with their gradients, cycles, keys", function()
    local x = torch.ones(2, { requires_grad = true })
    x:sum():backward()
    local t = { x = x, list = { 1, "two", true }, same = x, [x] = 1 }
    t.self = t
    local twin = deepcopy(t)
    assert.is_true(rawequal(twin, twin.self) and rawequal(twin.x, twin.same) and twin[twin.x] == 1)
    assert.is_true(twin.x.requires_grad and twin.x.grad:equal(x.grad))
    assert.not_equal(x.grad:data_ptr(), twin.x.grad:data_ptr())
    assert.same({ 1, "two", true }, twin.list)
    assert.equal(3, deepcopy(3))
    assert.is_nil(deepcopy(nil))
    assert.equal(torch.float32, deepcopy(torch.float32))
  end)

  it("refuses results of operations in PyTorch's words", function()
    refuses(function() deepcopy { torch.ones(2, { requires_grad = true }) * 2 } end,
      "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol", "[2]", "x:detach()")
  end)
end)
