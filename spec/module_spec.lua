--- nn.class, Module and containers: the one walk, names, state dicts, moving, hooks, modes.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local nn = torch.nn
local refuses = near.refuses

local function names(iterator)
  local list = {}
  for name in iterator do list[#list + 1] = name end
  return list
end

-- A model with a child in a field, children in a plain table and in a table of tables, a shared child, a parameter and
-- buffers.
local Zoo = nn.class("Zoo")
function Zoo:init(n)
  self.fc1 = nn.Linear(n, n)
  self.blocks = { nn.Linear(n, n), nn.Linear(n, n, { bias = false }) }
  self.scale = nn.Parameter(torch.ones(1))
  self.deep = { b = { nn.Linear(n, 1) }, a = nn.Linear(1, n) }
  self.again = self.fc1
  self.size = n
  self:register_buffer("steps", torch.zeros(1))
  self:register_buffer("scratch", torch.zeros(1), { persistent = false })
end
function Zoo:forward(x)
  return self.blocks[2](self.blocks[1](self.fc1(x))) * self.scale
end

describe("nn.class", function()
  it("makes classes whose instances hold what init assigned", function()
    local zoo = Zoo(3)
    assert.equal(3, zoo.size)
    assert.same({ 2, 3 }, { table.unpack(zoo(torch.zeros(2, 3)).shape) })
    assert.is_true(nn.isinstance(zoo, nn.Module))
    assert.is_true(nn.isinstance(zoo, Zoo))
    assert.is_false(nn.isinstance(zoo, nn.Linear))
    assert.is_false(nn.isinstance({}, Zoo))
  end)

  it("calls a parent's init that the child forgot, with the same arguments, and never twice", function()
    local calls = {}
    local A = nn.class("A")
    function A:init(n) calls[#calls + 1] = "A" .. n; self.a = nn.Linear(n, n) end
    function A:forward(x) return self.a(x) end
    local B = nn.class("B", A)
    function B:init(n) calls[#calls + 1] = "B" .. n; self.b = nn.Linear(n, n) end
    local C = nn.class("C", B)
    function C:init(n) calls[#calls + 1] = "C" .. n; A.init(self, n) end
    local D = nn.class("D", A)
    local b = B(2)
    assert.same({ "B2", "A2" }, calls)
    assert.same({ "b.weight", "b.bias", "a.weight", "a.bias" }, names(b:named_parameters()))
    assert.same({ 1, 2 }, { table.unpack(b(torch.zeros(1, 2)).shape) })
    calls = {}
    C(3)
    assert.same({ "C3", "A3", "B3" }, calls)
    calls = {}
    assert.equal("D", D(1):_get_name())
    assert.same({ "A1" }, calls)
    assert.equal(A, B.super)
  end)

  it("hands metamethods and methods down", function()
    local A = nn.class("A", nn.Sequential)
    function A:init(...) nn.Sequential.init(self, ...) end
    local a = A(nn.ReLU(), nn.Tanh())
    assert.equal(2, #a)
    assert.equal("A(\n  (1): ReLU()\n  (2): Tanh()\n)", tostring(a))
    assert.equal(a[2], a[-1])
  end)

  it("refuses what is no name and no class", function()
    refuses(function() nn.class() end, "class()", "name of the class")
    refuses(function() nn.class("X", {}) end, "'parent' of 'X' must be a class, not table")
    refuses(function() nn.Linear.init(2, 3) end, "Linear.init", "no instance")
  end)

  it("calling an instance is its class's __call, and its text holds extra_repr", function()
    local Scale = nn.class("Scale")
    function Scale:init(by) self.by = by end
    function Scale:forward(x, y) return x * self.by, y end
    function Scale:extra_repr() return "by=" .. self.by end
    local scale = Scale(3)
    local x, y = nn.Module.__call(scale, torch.ones(1), 5)
    assert.same({ 3 }, x:tolist())
    assert.equal(5, y)
    assert.equal("Scale(by=3)", tostring(scale))
    assert.equal("in_features=3, out_features=2, bias=False", nn.Linear(3, 2, false):extra_repr())
    assert.equal("", nn.Module():extra_repr())
  end)

  it("a class without forward says so", function()
    refuses(function() nn.class("Empty")()(1) end, 'Module [Empty] is missing the required "forward" function')
    refuses(function() nn.ModuleList { nn.ReLU() } (1) end, "Module [ModuleList]")
  end)
end)

describe("the walk", function()
  it("finds parameters in fields, plain tables and tables of tables, shared ones once, in order", function()
    assert.same({
      "scale", "fc1.weight", "fc1.bias", "blocks.1.weight", "blocks.1.bias", "blocks.2.weight", "deep.a.weight",
      "deep.a.bias", "deep.b.1.weight", "deep.b.1.bias",
    }, names(Zoo(2):named_parameters()))
    assert.equal(10, #Zoo(2):parameters())
    assert.same({ "steps", "scratch" }, names(Zoo(2):named_buffers()))
    assert.equal(2, #Zoo(2):buffers())
  end)

  it("names modules and children", function()
    local zoo = Zoo(2)
    assert.same({ "", "fc1", "blocks.1", "blocks.2", "deep.a", "deep.b.1" }, names(zoo:named_modules()))
    assert.same({ "fc1", "blocks.1", "blocks.2", "deep.a", "deep.b.1" }, names(zoo:named_children()))
    local count = 0
    for module in zoo:modules() do assert.is_true(nn.is_module(module)); count = count + 1 end
    assert.equal(6, count)
    count = 0
    for child in zoo:children() do assert.equal("Linear", child:_get_name()); count = count + 1 end
    assert.equal(5, count)
    assert.same({ "scale" }, names(zoo:named_parameters { recurse = false }))
    assert.equal("m.scale", names(zoo:named_parameters { prefix = "m" })[1])
    assert.equal(12, #names(zoo:named_parameters { remove_duplicate = false }))
  end)

  it("follows deletion and reassignment; a replaced field keeps its place", function()
    local m = nn.Module()
    m.a = nn.Linear(1, 1)
    m.b = nn.Linear(1, 1)
    m.a = nn.Linear(1, 1, { bias = false })
    assert.same({ "a.weight", "b.weight", "b.bias" }, names(m:named_parameters()))
    m.a = nil
    assert.same({ "b.weight", "b.bias" }, names(m:named_parameters()))
    m.a = nn.ReLU()
    assert.same({ "", "a", "b" }, names(m:named_modules()))
  end)

  it("ends on modules and tables that hold themselves", function()
    local m = nn.Module()
    m.child = nn.Linear(1, 1)
    m.child.parent = m
    m.list = { m.child }
    m.list.self = m.list
    assert.same({ "child.weight", "child.bias" }, names(m:named_parameters()))
    assert.equal(m, m:double())
    assert.is_string(tostring(m))
    assert.equal(2, #m:state_dict())
  end)

  it("apply reaches every module once, children first", function()
    local seen = {}
    local zoo = Zoo(2)
    assert.equal(zoo, zoo:apply(function(m) seen[#seen + 1] = m end))
    assert.equal(6, #seen)
    assert.equal(zoo.fc1, seen[1])
    assert.equal(zoo, seen[6])
  end)

  it("notices a plain tensor where a Parameter was", function()
    local layer = nn.Linear(2, 2)
    layer.weight = torch.zeros(2, 2)
    refuses(function() layer:parameters() end, "cannot assign 'torch.FloatTensor' as parameter 'weight' "
      .. "(torch.nn.Parameter or nil expected)", "nn.Parameter")
    layer.weight = nil
    refuses(function() layer.weight = torch.zeros(2, 2) end, "cannot assign 'torch.FloatTensor' as parameter 'weight'")
    layer.weight = nn.Parameter(torch.zeros(2, 2))
    assert.equal(2, #layer:parameters())
  end)
end)

describe("registering", function()
  local m
  before_each(function() m = nn.Linear(2, 2) end)

  it("takes parameters, buffers and modules by name", function()
    m:register_parameter("extra", nn.Parameter(torch.zeros(1)))
    m:register_parameter("absent", nil)
    m:register_buffer("mean", torch.zeros(2))
    m:register_module("act", nn.ReLU())
    m:add_module("act2", nn.ReLU())
    assert.same({ "weight", "bias", "extra", "mean" }, (function()
      local list = {}
      for name in pairs(m:state_dict()) do list[#list + 1] = name end
      return list
    end)())
    m.mean = torch.ones(2)
    assert.same({ 1, 1 }, m:state_dict().mean:tolist())
    m.absent = nn.Parameter(torch.zeros(1))
    assert.equal("absent", names(m:named_parameters())[4])
  end)

  it("refuses wrong names and values, changing nothing", function()
    refuses(function() m:register_parameter("weight", torch.zeros(2)) end, "cannot assign 'torch.FloatTensor' object "
      .. "to parameter 'weight' (torch.nn.Parameter or nil required)")
    refuses(function() m:register_parameter("z", m.weight * 2) end, "cannot assign 'torch.FloatTensor' object")
    refuses(function() m:register_parameter("in_features", nn.Parameter(torch.zeros(2))) end,
      "attribute 'in_features' already exists")
    refuses(function() m:register_parameter("a.b", nil) end, 'parameter name can\'t contain "."')
    refuses(function() m:register_parameter("", nil) end, 'parameter name can\'t be empty string ""')
    refuses(function() m:register_parameter(3, nil) end, "parameter name should be a string. Got integer")
    refuses(function() m:register_buffer("z", 3) end, "cannot assign 'integer' object to buffer 'z'")
    refuses(function() m:register_buffer("weight", torch.zeros(1)) end, "attribute 'weight' already exists")
    refuses(function() m:register_module("weight", nn.ReLU()) end, "attribute 'weight' already exists")
    refuses(function() m:register_module("forward", nn.ReLU()) end, "attribute 'forward' already exists")
    refuses(function() m:register_module("q", 3) end, "integer is not a Module subclass")
    assert.same({ "weight", "bias" }, names(m:named_parameters()))
  end)

  it("reaches by path", function()
    local zoo = Zoo(2)
    assert.equal(zoo.blocks[2], zoo:get_submodule("blocks.2"))
    assert.equal(zoo, zoo:get_submodule(""))
    assert.equal(zoo.deep.b[1].weight, zoo:get_parameter("deep.b.1.weight"))
    assert.equal(zoo.steps, zoo:get_buffer("steps"))
    local relu = nn.ReLU()
    zoo:set_submodule("blocks.2", relu)
    assert.equal(relu, zoo.blocks[2])
    refuses(function() zoo:get_submodule("fc9") end, "Zoo has no attribute `fc9`")
    refuses(function() zoo:get_submodule("fc1.weight") end, "`weight` is not an nn.Module")
    refuses(function() zoo:get_parameter("fc1.weigh") end, "Linear has no attribute `weigh`")
    refuses(function() zoo:get_parameter("fc1") end, "`fc1` is not an nn.Parameter")
    refuses(function() zoo:get_buffer("scale") end, "`scale` is not a buffer")
  end)
end)

describe("the first forward", function()
  it("refuses a parameter that nobody initialised, by name, until it is written", function()
    local Hand = nn.class("Hand")
    function Hand:init() self.weight = nn.Parameter(torch.Tensor(2, 3)) end
    function Hand:forward(x) return nn.functional.linear(x, self.weight) end
    local net = nn.Sequential(nn.ReLU(), Hand())
    local x = torch.ones(1, 3)
    refuses(function() net(x) end, "'2.weight'", "[2, 3]", "never initialised", "reset_parameters", "nn.init")
    refuses(function() net[2](x) end, "'weight'")
    nn.init.constant_(net[2].weight, 1)
    assert.same({ { 3, 3 } }, net(x):tolist())
  end)
end)

describe("an error inside a model", function()
  it("names the module, its sizes and what would fit", function()
    local zoo = Zoo(3)
    local message = refuses(function() zoo.blocks[2](torch.zeros(4, 5)) end, "mat1 and mat2 shapes cannot be "
      .. "multiplied (4x5 and 3x3)", "Linear(3 → 3) got [4, 5]; the last dim must be 3")
    assert.is_truthy(message:find("module_spec.lua:", 1, true))
    zoo.blocks[1] = nn.Linear(3, 7)
    refuses(function() zoo(torch.zeros(4, 3)) end, "in blocks.2: Linear(3 → 3) got [4, 7]; the last dim must be 3")
    zoo.fc1:double()
    refuses(function() zoo(torch.zeros(4, 3)) end, "in fc1: Linear(3 → 3) got [4, 3] of dtype torch.float32, but "
      .. "parameter 'weight' has dtype torch.float64", "input:to(torch.float64)")
  end)

  it("outside of modules is left as it is", function()
    local message = refuses(function() torch.zeros(2, 3):view(7) end, "invalid for input of size 6")
    assert.is_falsy(message:find("\n"))
  end)
end)

describe("moving and casting", function()
  local function dtypes(m)
    local set = {}
    for _, p in ipairs(m:parameters()) do set[tostring(p.dtype)] = true end
    for _, b in ipairs(m:buffers()) do set[tostring(b.dtype)] = true end
    local list = {}
    for name in pairs(set) do list[#list + 1] = name end
    table.sort(list)
    return list
  end

  it("double reaches everything, buffers too, each once, and keeps identities", function()
    local zoo = Zoo(2)
    local weight = zoo.deep.b[1].weight
    local values = weight:tolist()
    assert.equal(zoo, zoo:double())
    assert.same({ "torch.float64" }, dtypes(zoo))
    assert.equal(weight, zoo.deep.b[1].weight)
    assert.same(values, weight:tolist())
    assert.is_true(weight.is_leaf)
    assert.is_true(weight.requires_grad)
    assert.equal(zoo.fc1, zoo.again)
    zoo:float()
    assert.same({ "torch.float32" }, dtypes(zoo))
  end)

  it("leaves integer buffers alone when casting, moves gradients along", function()
    local layer = nn.Linear(2, 1)
    layer:register_buffer("count", torch.tensor(3))
    layer(torch.ones(1, 2)):sum():backward()
    layer:double()
    assert.equal(torch.int64, layer.count.dtype)
    assert.equal(torch.float64, layer.weight.grad.dtype)
    layer:to(torch.float32)
    assert.equal(torch.float32, layer.weight.grad.dtype)
    assert.equal(torch.float32, layer.weight.dtype)
    layer:to("float64")
    assert.equal(torch.float64, layer.weight.dtype)
    layer:to { dtype = torch.float32, device = "cpu" }
    assert.equal(torch.float32, layer.weight.dtype)
    layer:to(torch.zeros(1, { dtype = torch.float64 }))
    assert.equal(torch.float64, layer.weight.dtype)
  end)

  it("an optimiser made before goes on training the parameters", function()
    local layer = nn.Linear(1, 1)
    local optimizer = torch.optim.SGD(layer:parameters(), { lr = 1 })
    layer:double()
    local before = layer.weight:item()
    layer(torch.ones(1, 1, { dtype = torch.float64 })):sum():backward()
    optimizer:step()
    assert.equal(before - 1, layer.weight:item())
  end)

  it("_apply is all or nothing", function()
    local zoo = Zoo(2)
    local n = 0
    refuses(function()
      zoo:_apply(function(t)
        n = n + 1
        if n == 5 then error("no room") end
        return t:double()
      end)
    end, "no room")
    assert.same({ "torch.float32" }, dtypes(zoo))
    refuses(function() zoo:_apply(function() end) end, "returned nil instead of a Tensor")
  end)

  it("cuda on a machine without it is an error that leaves the module as it was", function()
    if torch.cuda.is_available() then return end
    local zoo = Zoo(2)
    assert.is_false((pcall(zoo.cuda, zoo)))
    assert.is_false((pcall(zoo.to, zoo, "cuda")))
    assert.equal("cpu", tostring(zoo.fc1.weight.device))
    assert.same({ 1, 2 }, { table.unpack(zoo(torch.zeros(1, 2)).shape) })
  end)

  it("refuses targets that make no sense", function()
    local layer = nn.Linear(1, 1)
    refuses(function() layer:to(torch.int64) end, "nn.Module.to only accepts floating point or complex dtypes, but got "
      .. "desired dtype=torch.int64")
    refuses(function() layer:to() end, "expected a device, a dtype or a Tensor")
    refuses(function() layer:to { dtpe = 1 } end, "unexpected keyword argument 'dtpe'")
  end)
end)

describe("modes", function()
  it("train and eval reach everything; predict changes neither mode nor graph", function()
    local zoo = Zoo(2)
    assert.is_true(zoo.blocks[1].training)
    assert.equal(zoo, zoo:eval())
    assert.is_false(zoo.blocks[1].training)
    assert.is_false(zoo.deep.b[1].training)
    zoo:train()
    zoo.fc1:eval()
    local y = zoo:predict(torch.ones(1, 2))
    assert.is_false(y.requires_grad)
    assert.is_true(zoo.training)
    assert.is_false(zoo.fc1.training)
    refuses(function() zoo:predict(torch.ones(1, 7)) end, "cannot be multiplied")
    assert.is_true(zoo.training)
    assert.is_true(zoo(torch.ones(1, 2)).requires_grad)
    refuses(function() zoo:train(3) end, "training mode is expected to be boolean")
  end)

  it("requires_grad_ and zero_grad", function()
    local layer = nn.Linear(2, 1)
    layer(torch.ones(1, 2)):sum():backward()
    layer:zero_grad { set_to_none = false }
    assert.same({ { 0, 0 } }, layer.weight.grad:tolist())
    layer:zero_grad()
    assert.is_nil(layer.weight.grad)
    assert.equal(layer, layer:requires_grad_(false))
    assert.is_false(layer.bias.requires_grad)
  end)
end)

describe("torch.utils.gradient_report", function()
  it("shows the norm of every parameter's gradient, so that one that vanishes is seen", function()
    local net = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Linear(1, 1, { bias = false }))
    net[1].weight.grad = torch.tensor { { 3e-9 } }
    net[3].weight.grad = torch.tensor { { -0.5 } }
    local report = torch.utils.gradient_report(net)
    assert.is_truthy(report:find("1.weight +3.00e%-09"))
    assert.is_truthy(report:find("1.bias +no gradient"))
    assert.is_truthy(report:find("3.weight +5.00e%-01"))
    refuses(function() torch.utils.gradient_report(3) end, "expected a Module")
  end)
end)

describe("hooks", function()
  it("see arguments and outputs, may replace them, and go away", function()
    local layer = nn.Identity()
    local seen = {}
    local before = layer:register_forward_pre_hook(function(module, args)
      seen[#seen + 1] = module == layer and args[1]:item()
      return args[1] + 1
    end)
    local after = layer:register_forward_hook(function(_, args, output)
      seen[#seen + 1] = args[1]:item() * 100 + output:item()
      return output * 10
    end)
    assert.equal(20, layer(torch.tensor(1)):item())
    assert.same({ 1, 202 }, seen)
    before:remove()
    assert.equal(10, layer(torch.tensor(1)):item())
    after:remove()
    assert.equal(1, layer(torch.tensor(1)):item())
    refuses(function() layer:register_forward_hook(3) end, "expected a function, but got integer")
  end)
end)

describe("state dicts", function()
  it("hold parameters and persistent buffers in PyTorch's order, sharing memory", function()
    local zoo = Zoo(2)
    local sd, keys = zoo:state_dict(), {}
    for name, value in pairs(sd) do
      keys[#keys + 1] = name
      assert.is_false(value.requires_grad)
    end
    assert.same({
      "scale", "steps", "fc1.weight", "fc1.bias", "blocks.1.weight", "blocks.1.bias", "blocks.2.weight",
      "deep.a.weight", "deep.a.bias", "deep.b.1.weight", "deep.b.1.bias",
    }, keys)
    sd.steps:fill_(7)
    assert.equal(7, zoo.steps:item())
    assert.equal(zoo.scale, zoo:state_dict({ keep_vars = true }).scale)
    assert.is_truthy(zoo:state_dict({ prefix = "m." })["m.scale"])
    assert.is_truthy(zoo:state_dict({ index_base = 0 })["deep.b.0.weight"])
  end)

  it("load what they saved, in either counting", function()
    local a, b = Zoo(2), Zoo(2)
    local result = b:load_state_dict(a:state_dict())
    assert.equal("<All keys matched successfully>", tostring(result))
    assert.is_true(a.fc1.weight:equal(b.fc1.weight))
    assert.is_false(a.fc1.weight:data_ptr() == b.fc1.weight:data_ptr())
    local c = Zoo(2)
    c:load_state_dict(a:state_dict { index_base = 0 }, { index_base = 0 })
    assert.is_true(a.blocks[2].weight:equal(c.blocks[2].weight))
    assert.is_true(c.fc1.weight.requires_grad)
  end)

  it("accept the other names of shared tensors", function()
    local a = Zoo(2)
    local sd = a:state_dict()
    sd["again.weight"], sd["again.bias"] = sd["fc1.weight"], sd["fc1.bias"]
    assert.equal("<All keys matched successfully>", tostring(a:load_state_dict(sd)))
  end)

  it("list everything that does not fit, with the nearest name, and copy nothing", function()
    local layer = nn.Linear(3, 4)
    local before = layer.bias:tolist()
    local message = refuses(function()
      layer:load_state_dict { weight = torch.zeros(3, 3), bia = torch.zeros(4) }
    end, "Error(s) in loading state_dict for Linear:", 'Missing key(s) in state_dict: "bias" (nearest here: "bia")',
      'Unexpected key(s) in state_dict: "bia"', "size mismatch for weight: copying a param with shape "
      .. "torch.Size([3, 3]) from checkpoint, the shape in current model is torch.Size([4, 3]).")
    assert.is_truthy(message:find("Missing.*Unexpected.*size mismatch"))
    refuses(function() layer:load_state_dict { weight = torch.zeros(3, 3), bias = torch.zeros(4) } end, "size mismatch")
    assert.same(before, layer.bias:tolist())
    refuses(function() layer:load_state_dict { weight = 3, bias = torch.zeros(4) } end, '"weight"', "received integer")
    refuses(function() layer:load_state_dict(3) end, "Expected state_dict to be dict-like, got integer")
  end)

  it("offer index_base and strip_prefix where they would help", function()
    local net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    refuses(function() net:load_state_dict(net:state_dict { index_base = 0 }) end, "{index_base = 0}")
    local sd = net:state_dict { prefix = "module." }
    refuses(function() net:load_state_dict(sd) end, '{strip_prefix = "module."}')
    assert.equal("<All keys matched successfully>", tostring(net:load_state_dict(sd, { strip_prefix = "module." })))
    refuses(function() net:load_state_dict({}, { index_base = 2 }) end, "index_base must be 0", "2")
  end)

  it("strict = false reports what is left, assign takes the tensors over", function()
    local layer = nn.Linear(3, 4)
    local result = layer:load_state_dict({ weight = torch.ones(4, 3), other = torch.ones(1) }, { strict = false })
    assert.same({ "bias" }, result.missing_keys)
    assert.same({ "other" }, result.unexpected_keys)
    assert.equal("_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['other'])", tostring(result))
    local weight = layer.weight
    layer:load_state_dict({ weight = torch.zeros(4, 3, { dtype = torch.float64 }), bias = torch.zeros(4) },
      { assign = true })
    assert.equal(torch.float64, weight.dtype)
    assert.equal(weight, layer.weight)
  end)
end)

describe("containers", function()
  it("Sequential runs its modules in turn; items are fields from 1", function()
    local net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert.equal(3, #net)
    assert.equal(net[3], net[-1])
    assert.is_nil(net[4])
    assert.is_truthy(net:state_dict({ index_base = 0 })["2.weight"])
    assert.same({ 5, 1 }, { table.unpack(net(torch.zeros(5, 2)).shape) })
    assert.same({ "1.weight", "1.bias", "3.weight", "3.bias" }, names(net:named_parameters()))
    assert.equal(3, #nn.Sequential { nn.ReLU(), nn.ReLU(), nn.ReLU() })
    assert.equal(2, #net[{ 2, 3 }])
    net[2] = nn.Tanh()
    assert.equal("Tanh", net[2]:_get_name())
    refuses(function() nn.Sequential(3) end, "integer is not a Module subclass")
  end)

  it("Sequential with names keeps their order", function()
    local net = nn.Sequential { { "z", nn.Linear(1, 1) }, { "a", nn.ReLU() } }
    assert.same({ "z.weight", "z.bias" }, names(net:named_parameters()))
    assert.equal(net.z, net[1])
    local sorted = nn.Sequential { b = nn.Tanh(), a = nn.ReLU() }
    assert.equal("Sequential(\n  (a): ReLU()\n  (b): Tanh()\n)", tostring(sorted))
  end)

  it("lists are written by position, added and repeated", function()
    local a, b = nn.Linear(2, 2), nn.ReLU()
    local net = nn.Sequential { { "fc", a }, { "act", b } }
    net[-1] = nn.Tanh()
    assert.equal("Tanh", net.act:_get_name())
    net[3] = b
    assert.equal(3, #net)
    refuses(function() net[5] = b end, "index 5 is out of range: the container has 3 items")
    refuses(function() net[0] = b end, "positions count from 1")
    local twice = 2 * nn.Sequential(a, b) + nn.Sequential(b)
    assert.equal(5, #twice)
    assert.equal(a, twice[3])
    refuses(function() return net + 3 end,
      "add operator supports only objects of Sequential class, but integer is given.")
    refuses(function() return net * 0 end, "Non-positive multiplication factor 0")
    refuses(function() return net * "x" end, "unsupported operand type(s) for *: Sequential and string")
    assert.equal(3, #(nn.ModuleList { a, b } + { b }))
  end)

  it("a tensor assigned to a list or dict of parameters becomes one", function()
    local list, dict = nn.ParameterList { torch.ones(2) }, nn.ParameterDict { w = torch.ones(2) }
    list[1] = torch.zeros(3)
    dict.v = torch.zeros(4)
    dict.w = torch.zeros(5)
    assert.equal(1, #list:parameters())
    assert.is_true(list[1].requires_grad)
    local found = {}
    for name, p in dict:named_parameters() do found[#found + 1] = name .. p:numel() end
    assert.same({ "w5", "v4" }, found)
  end)

  it("lists grow and shrink", function()
    local list = nn.ModuleList { nn.ReLU() }
    local tanh, sigmoid, linear = nn.Tanh(), nn.Sigmoid(), nn.Linear(1, 1)
    assert.equal(list, list:append(tanh):extend { sigmoid })
    list:insert(1, linear)
    assert.equal("ModuleList(\n  (1): Linear(in_features=1, out_features=1, bias=True)\n  (2): ReLU()\n  (3): Tanh()\n"
      .. "  (4): Sigmoid()\n)", tostring(list))
    assert.same({ "1.weight", "1.bias" }, names(list:named_parameters()))
    assert.equal(sigmoid, list:pop())
    assert.equal(linear, list:pop(1))
    assert.equal(2, #list)
    local count = 0
    for i, module in ipairs(list) do assert.equal(list[i], module); count = count + 1 end
    assert.equal(2, count)
    refuses(function() list:append(3) end, "integer is not a Module subclass")
    refuses(function() list:insert(0, tanh) end, "position 0: positions count from 1")
    refuses(function() list:pop(9) end, "index 9 is out of range")
  end)

  it("dicts go by name", function()
    local dict = nn.ModuleDict { b = nn.ReLU(), a = nn.Linear(1, 1) }
    assert.same({ "a", "b" }, dict:keys())
    dict.c = nn.Tanh()
    assert.same({ "a", "b", "c" }, names(dict:items()))
    assert.is_true(dict:contains("b"))
    assert.equal("ReLU", dict:pop("b"):_get_name())
    assert.equal(2, #dict)
    for name, module in pairs(dict) do assert.equal(dict[name], module) end
    refuses(function() nn.ModuleDict { forward = nn.ReLU() } end, "attribute 'forward' already exists")
    refuses(function() nn.ModuleDict { x = 3 } end, "integer is not a Module subclass")
    refuses(function() nn.ModuleDict(3) end, "ModuleDict.update should be called with an iterable of key/value pairs")
    refuses(function() dict:pop("zz") end, "has no item 'zz'")
  end)

  it("parameter lists and dicts hold parameters", function()
    local list = nn.ParameterList { nn.Parameter(torch.zeros(2)), torch.ones(1) }
    assert.equal(2, #list:parameters())
    assert.is_true(list[2].requires_grad)
    local dict = nn.ParameterDict { w = nn.Parameter(torch.zeros(2)) }
    assert.same({ "w" }, names(dict:named_parameters()))
  end)
end)
