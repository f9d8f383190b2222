--- Behaviour of modules that PyTorch's documentation and test suite show: containers as sequences and mappings, hooks
-- with keywords, paths, state dicts of older formats. Expectations are PyTorch's, positions counted from 1.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local warnings_of = dofile(here .. "/support/warnings.lua")
local nn = torch.nn
local refuses = near.refuses

-- The class names of a container's modules with their keys, in order: "1:ReLU b:Tanh".
local function layout(container)
  local parts = {}
  for name, module in container:named_children() do parts[#parts + 1] = name .. ":" .. module:_get_name() end
  return table.concat(parts, " ")
end

local function names(iterator)
  local list = {}
  for name in iterator do list[#list + 1] = name end
  return table.concat(list, ",")
end

local function three()
  return nn.ReLU(), nn.Tanh(), nn.GELU()
end

local function named()
  return nn.Sequential { { "a", nn.ReLU() }, { "b", nn.Tanh() }, { "c", nn.GELU() } }
end

describe("lists of modules", function()
  -- what it is, how it is made, its layout
  for _, case in ipairs {
    { "a + b", function() return nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh()) end, "1:ReLU 2:Tanh" },
    { "a * n", function() return nn.Sequential(nn.ReLU(), nn.Tanh()) * 2 end, "1:ReLU 2:Tanh", 4 },
    { "n * a", function() return 2 * nn.Sequential(nn.ReLU()) end, "1:ReLU", 2 },
    { "a range", function() return nn.Sequential(three())[{ 2, 3 }] end, "2:Tanh 3:GELU" },
    { "a range in braces", function() return nn.Sequential(three())[{ { 2, -1 } }] end, "2:Tanh 3:GELU" },
    { "all", function() return nn.Sequential(three())[{}] end, "1:ReLU 2:Tanh 3:GELU" },
    { "a step", function() return nn.Sequential(three())[{ 1, -1, 2 }] end, "1:ReLU 3:GELU" },
    { "a range that is clamped", function() return nn.Sequential(three())[{ 3, 9 }] end, "3:GELU" },
    { "a range of names", function() return named()[{ 2, 3 }] end, "b:Tanh c:GELU" },
    { "insert", function() return nn.Sequential(nn.ReLU(), nn.Tanh()):insert(2, nn.GELU()) end,
      "1:ReLU 2:GELU 3:Tanh" },
    { "insert before the last", function() return nn.Sequential(nn.ReLU(), nn.Tanh()):insert(-1, nn.GELU()) end,
      "1:ReLU 2:GELU 3:Tanh" },
    { "extend with a container", function() return nn.Sequential(nn.ReLU()):extend(nn.ModuleList { nn.Tanh() }) end,
      "1:ReLU 2:Tanh" },
    { "a list + a list", function() return nn.ModuleList { nn.ReLU() } + nn.ModuleList { nn.Tanh() } end,
      "1:ReLU 2:Tanh" },
    { "a list + an array", function() return nn.ModuleList { nn.ReLU() } + { nn.Tanh() } end, "1:ReLU 2:Tanh" },
    { "a range of a list", function() return nn.ModuleList { three() }[{ 2, 3 }] end, "1:Tanh 2:GELU" },
    { "writing the last", function()
      local net = nn.Sequential(three())
      net[-1] = nn.ELU()
      return net
    end, "1:ReLU 2:Tanh 3:ELU" },
    { "writing by position what has a name", function()
      local net = named()
      net[2] = nn.ELU()
      return net
    end, "a:ReLU b:ELU c:GELU" },
    { "nil at a position", function()
      local net = nn.Sequential(three())
      net[2] = nil
      return net
    end, "1:ReLU 2:GELU", 2 },
    { "nil at the end, then more", function()
      local net = nn.Sequential(three())
      net[3] = nil
      net:insert(1, nn.ELU())
      net[1] = nil
      return net:append(nn.CELU())
    end, "1:ReLU 2:Tanh 3:CELU", 3 },
    { "nil at the last", function()
      local list = nn.ModuleList { three() }
      list[-1] = nil
      return list
    end, "1:ReLU 2:Tanh", 2 },
    { "nil at a range", function()
      local net = nn.Sequential(three())
      net[{ 1, -1, 2 }] = nil
      return net
    end, "1:Tanh", 1 },
    { "nil at a name", function()
      local net = named()
      net.b = nil
      return net
    end, "a:ReLU c:GELU", 2 },
    { "table.remove and table.insert", function()
      local list = nn.ModuleList { three() }
      table.remove(list, 1)
      table.insert(list, 1, nn.ELU())
      table.insert(list, nn.CELU())
      return list
    end, "1:ELU 2:Tanh 3:GELU 4:CELU", 4 },
    { "appending to a part", function() return nn.Sequential(three())[{ 2, 3 }]:append(nn.ELU()) end,
      "2:Tanh 3:GELU 4:ELU" },
  } do
    local about, make, wanted, count = table.unpack(case)
    it(about, function()
      local container = make()
      assert.equal(wanted, layout(container))
      if count then assert.equal(count, #container) end
    end)
  end

  it("positions in a part count anew", function()
    local net = nn.Sequential(three())
    local part = net[{ 2, 3 }]
    assert.equal(net[2], part[1])
    assert.equal(net[3], part[2])
    assert.equal(net[3], part[-1])
    assert.is_nil(part[3])
    local twice = nn.Sequential(net[1]) * 3
    assert.equal(net[1], twice[3])
  end)

  it("pairs gives positions and modules", function()
    local net, seen = named(), {}
    for i, module in pairs(net) do seen[#seen + 1] = i .. module:_get_name() end
    assert.same({ "1ReLU", "2Tanh", "3GELU" }, seen)
  end)

  it("parameters of a subclass are no items", function()
    local Scaled = nn.class("Scaled", nn.Sequential)
    function Scaled:init()
      Scaled.super.init(self, nn.ReLU())
      self.scale = nn.Parameter(torch.ones(1))
    end
    assert.equal(1, #Scaled())
    assert.equal(1, #Scaled():parameters())
  end)

  for _, case in ipairs {
    { "+", function() return nn.Sequential() + { nn.ReLU() } end,
      "add operator supports only objects of Sequential class, but table is given." },
    { "* 0", function() return nn.Sequential(nn.ReLU()) * 0 end,
      "Non-positive multiplication factor 0 for Sequential" },
    { "* 1.5", function() return nn.Sequential(nn.ReLU()) * 1.5 end, "unsupported operand type(s) for *" },
    { "reading far out", function() return nn.Sequential(nn.ReLU())[5] end, "index 5 is out of range" },
    { "reading 0", function() return nn.Sequential(nn.ReLU())[0] end, "position 0: positions count from 1" },
    { "reading before the first", function() return nn.Sequential(nn.ReLU())[-2] end, "index -2 is out of range" },
    { "writing far out", function() nn.ModuleList {}[3] = nn.ReLU() end, "index 3 is out of range" },
    { "writing no module", function() nn.ModuleList {}[1] = 3 end, "integer is not a Module subclass" },
    { "a range without end", function() return nn.Sequential(nn.ReLU())[{ 1 }] end, "{1, 1}", "{1, -1}" },
    { "extending by a number", function() nn.ModuleList {}:extend(3) end,
      "ModuleList.extend should be called with an iterable, but got integer" },
    { "no pairs", function() nn.ModuleDict { { "x" } } end,
      "ModuleDict update sequence element #1 has length 1; 2 is required" },
    { "no pair", function() nn.ModuleDict { { "x", nn.ReLU() }, 5 } end,
      "ModuleDict update sequence element #2 should be Iterable; is integer" },
  } do
    it("refuses " .. case[1], function() refuses(table.unpack(case, 2)) end)
  end

  it("extends by all or by nothing", function()
    local list = nn.ModuleList {}
    refuses(function() list:extend { nn.ReLU(), 3 } end, "integer is not a Module subclass")
    assert.equal(0, #list)
    local dict = nn.ModuleDict {}
    refuses(function() dict:update { { "a", nn.ReLU() }, { "b", 3 } } end, "integer is not a Module subclass")
    assert.equal(0, #dict)
  end)
end)

describe("containers of parameters", function()
  it("hold anything, and print what it is", function()
    assert.equal("ParameterList(\n    (1): Parameter containing: [torch.float32 of size 2x3]\n    (2): Object of type: "
      .. "str\n    (3): Parameter containing: [torch.float32 of size ]\n)",
      tostring(nn.ParameterList { torch.ones(2, 3), "a", torch.tensor(1.0) }))
    assert.equal("ParameterList(  (1): Parameter containing: [torch.float32 of size 2])",
      tostring(nn.ParameterList { torch.ones(2) }))
    assert.equal("ParameterDict(\n    (a): Parameter containing: [torch.FloatTensor of size 2x3]\n    (b): Object of "
      .. "type: int\n)", tostring(nn.ParameterDict { a = torch.ones(2, 3), b = 3 }))
    assert.equal("ParameterList(\n    (1): Object of type: float\n    (2): Object of type: bool\n)",
      tostring(nn.ParameterList { 3.5, true }))
    assert.equal("ParameterList()", tostring(nn.ParameterList()))
    local Net = nn.class("Net")
    function Net:init() self.p = nn.ParameterList { torch.ones(2), torch.ones(1) } end
    assert.equal("Net(\n  (p): ParameterList(\n      (1): Parameter containing: [torch.float32 of size 2]\n      (2): "
      .. "Parameter containing: [torch.float32 of size 1]\n  )\n)", tostring(Net()))
  end)

  it("make Parameters of tensors, however these come", function()
    local list = nn.ParameterList { torch.ones(2) }
    list:append(torch.ones(1)):extend { torch.ones(3) }
    list[4] = torch.ones(4)
    list[1] = torch.ones(5)
    assert.equal("1,2,3,4", names(list:named_parameters()))
    assert.is_true(list[1].requires_grad)
    assert.same({ 1 }, { table.unpack(list[{ 2, 3 }][1].shape) })
    assert.equal(5, #(list + { torch.ones(1) }))
    local dict = nn.ParameterDict { a = torch.ones(2) }
    dict.b = torch.ones(3)
    assert.equal("a,b", names(dict:named_parameters()))
  end)

  it("a ParameterDict is a dict", function()
    local dict = nn.ParameterDict { { "left", torch.ones(2) }, { "right", torch.zeros(1) } }
    assert.is_nil(dict:get("none"))
    assert.equal(3, dict:get("none", 3))
    assert.equal(dict.left, dict:get("left"))
    assert.is_true(dict:setdefault("more", torch.ones(1)).requires_grad)
    assert.equal(dict.left, dict:setdefault("left", torch.ones(1)))
    assert.same({ "left", "right", "more" }, dict:keys())
    local copied = dict:copy()
    local name, value = dict:popitem()
    assert.equal("more", name)
    assert.equal(copied.more, value)
    assert.equal("left,right", names(dict:items()))
    assert.same({ "x", "y" }, dict:fromkeys({ "x", "y" }, torch.ones(1)):keys())
    assert.same({ "left", "right", "z" }, (dict | nn.ParameterDict { z = torch.ones(1) }):keys())
    dict:clear()
    assert.equal(0, #dict)
    refuses(function() dict:popitem() end, "dictionary is empty")
  end)

  it("are not called", function()
    refuses(function() nn.ParameterList()() end, "ParameterList should not be called.")
    refuses(function() nn.ParameterDict()() end, "ParameterDict should not be called.")
  end)
end)

-- A module whose forward takes a keyword and may fail.
local Scale = nn.class("Scale")
function Scale:forward(x, options)
  if options and options.fail then error("forward failed") end
  return x * (options and options.by or 1)
end

describe("hooks around forward", function()
  it("get keyword arguments apart from the others", function()
    local m, seen = Scale(), nil
    m:register_forward_pre_hook(function(_, args, kwargs)
      assert.equal(1, #args)
      return { args[1] + 1 }, { by = kwargs.by * 10 }
    end, { with_kwargs = true })
    m:register_forward_hook(function(_, args, kwargs, out)
      seen = { #args, kwargs.by, out:item() }
      return out + 0.5
    end, { with_kwargs = true })
    m:register_forward_hook(function(_, args) assert.equal(1, #args) end)
    assert.equal(60.5, m(torch.tensor(2.0), { by = 2 }):item())
    assert.same({ 1, 20, 60.0 }, seen)
  end)

  it("a pre-hook with keywords returns both, or nothing", function()
    local m = Scale()
    local handle = m:register_forward_pre_hook(function(_, args) return args end, { with_kwargs = true })
    refuses(function() m(torch.ones(1), { by = 2 }) end,
      "forward pre-hook must return None or a tuple of (new_args, new_kwargs)")
    handle:remove()
    m:register_forward_pre_hook(function() return nil end, { with_kwargs = true })
    assert.equal(2, m(torch.ones(1), { by = 2 }):item())
  end)

  it("always_call runs them after a failure, once", function()
    local m, calls = Scale(), {}
    m:register_forward_hook(function() calls[#calls + 1] = "plain" end)
    m:register_forward_hook(function(_, _, out)
      calls[#calls + 1] = "always"
      assert.is_nil(out)
    end, { always_call = true })
    local message = refuses(function() m(torch.ones(1), { fail = true }) end, "forward failed")
    assert.is_truthy(message:find("nn_behaviour_spec.lua:%d+: forward failed"))
    assert.same({ "always" }, calls)
  end)

  it("always_call runs what a failing hook left out, and warns of failures among them", function()
    local m, calls = Scale(), {}
    m:register_forward_hook(function() calls[#calls + 1] = "first" end, { always_call = true })
    m:register_forward_hook(function() error("hook failed") end)
    m:register_forward_hook(function() error("silenced") end, { always_call = true })
    m:register_forward_hook(function() calls[#calls + 1] = "last" end, { always_call = true })
    local said = warnings_of(function() refuses(function() m(torch.ones(1)) end, "hook failed") end)
    assert.same({ "first", "last" }, calls)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("module forward hook with ``always_call=True`` raised an exception that was silenced "
      .. "as another error was raised in forward: .*silenced"))
  end)

  it("may return several values, an array of them, or a table that is the output", function()
    local Pair = nn.class("Pair")
    function Pair:forward(x) return x, x + 1 end
    local m = Pair()
    m:register_forward_hook(function(_, _, out) return out[1] * 2, out[2] * 2 end)
    local a, b = m(torch.ones(1))
    assert.same({ 2, 4 }, { a:item(), b:item() })
    m:register_forward_hook(function(_, _, out) return { out[2], out[1] } end)
    a, b = m(torch.ones(1))
    assert.same({ 4, 2 }, { a:item(), b:item() })
    local Named = nn.class("Named")
    function Named:forward(x) return { logits = x } end
    local named_output = Named()
    named_output:register_forward_hook(function(_, _, out) return { logits = out.logits + 1 } end)
    assert.equal(2, named_output(torch.ones(1)).logits:item())
  end)

  it("go with the scope of their handle", function()
    local m, count = Scale(), 0
    do
      local _ <close> = m:register_forward_hook(function() count = count + 1 end)
      m(torch.ones(1))
    end
    m(torch.ones(1))
    assert.equal(1, count)
  end)

  it("may take themselves away while they run, and may be objects that can be called", function()
    local m, order = Scale(), {}
    local once
    once = m:register_forward_pre_hook(function()
      order[#order + 1] = "once"
      once:remove()
    end)
    m:register_forward_pre_hook(setmetatable({}, { __call = function() order[#order + 1] = "object" end }))
    m:register_forward_pre_hook(function() order[#order + 1] = "first" end, true)
    m(torch.ones(1))
    m(torch.ones(1))
    assert.same({ "first", "once", "object", "first", "object" }, order)
    refuses(function() m:register_forward_hook(3) end, "expected a function, but got integer")
    refuses(function() m:register_forward_hook(print, { always = true }) end,
      "got an unexpected keyword argument 'always'", "prepend, with_kwargs, always_call")
  end)
end)

describe("modules", function()
  it("may call the init of a parent that has none", function()
    local Net = nn.class("Net")
    function Net:init()
      nn.Module.init(self)
      Net.super.init(self)
      self.fc = nn.Linear(1, 1)
    end
    assert.equal(2, #Net():parameters())
  end)

  it("take a memory format, which changes nothing", function()
    local conv = nn.Conv2d(1, 1, 1)
    assert.equal(conv, conv:to { memory_format = torch.channels_last })
    assert.equal(torch.float64, conv:to(torch.float64, { memory_format = torch.channels_last }).weight.dtype)
    assert.equal("torch.channels_last", tostring(torch.channels_last))
    assert.same({ 1 }, torch.ones(1, { layout = torch.strided }):tolist())
    assert.same({ 1 }, torch.ones(1):clone { memory_format = torch.preserve_format }:tolist())
  end)

  it("know their classes", function()
    local p, x, m = nn.Parameter(torch.ones(1)), torch.ones(1), nn.ReLU()
    assert.is_true(nn.isinstance(p, nn.Parameter) and nn.isinstance(p, torch.Tensor) and nn.isinstance(m, nn.Module))
    assert.is_false(nn.isinstance(x, nn.Parameter) or nn.isinstance(m, nn.Linear) or nn.isinstance(3, torch.Tensor))
  end)

  it("take keywords for single options", function()
    local m = nn.Sequential(nn.Linear(1, 1))
    assert.is_false(m:train { mode = false }[1].training)
    assert.is_false(m:requires_grad_ { requires_grad = false }[1].weight.requires_grad)
    local seen = {}
    m:apply { fn = function(module) seen[#seen + 1] = module:_get_name() end }
    assert.same({ "Linear", "Sequential" }, seen)
    assert.equal("x,x.1", names(m:named_modules(nil, "x")))
    assert.equal("", names(m:named_modules { memo = { [m[1]] = true } }))
    assert.is_nil(nn.Linear(1, 1, { bias = torch.none }).bias)
  end)

  it("set_submodule replaces modules, and only them", function()
    local net = nn.Sequential(nn.Sequential(nn.Linear(1, 1)))
    net:set_submodule("1.1", nn.ReLU())
    assert.equal("ReLU", net:get_submodule("1.1"):_get_name())
    net:set_submodule("1.extra", nn.Tanh())
    assert.equal("1:ReLU extra:Tanh", layout(net[1]))
    refuses(function() net:set_submodule("1.more", nn.ReLU(), { strict = true }) end,
      "Sequential has no attribute `more`")
    refuses(function() nn.Linear(1, 1):set_submodule("weight", nn.ReLU()) end, "`weight` is not an nn.Module")
    refuses(function() net:set_submodule("1", 3) end, "`module` is not an nn.Module, found integer")
    refuses(function() net:set_submodule("", nn.ReLU()) end, "Cannot set the submodule without a target name!")
    refuses(function() net:get_submodule("1.7") end, "Sequential has no attribute `7`")
    refuses(function() net:get_submodule("1.1.training") end, "`training` is not an nn.Module")
  end)

  it("batch norm reads state dicts that do not count batches", function()
    local bn = nn.BatchNorm1d(1)
    bn(torch.tensor { { 1.0 }, { 3.0 } })
    local saved = { weight = torch.ones(1), bias = torch.ones(1), running_mean = torch.ones(1),
      running_var = torch.ones(1) }
    assert.equal("<All keys matched successfully>", tostring(bn:load_state_dict(saved)))
    assert.equal(1, bn.num_batches_tracked:item())
    assert.is_nil(saved.num_batches_tracked)
    refuses(function() bn:load_state_dict(3) end, "Expected state_dict to be dict-like, got integer")
  end)
end)

describe("messages begin with PyTorch's words", function()
  local F = torch.nn.functional
  local x = torch.ones(1, 1, 4, 4)
  local pooled, at = F.max_pool2d(x, 2, { return_indices = true })
  -- the call, then parts of its message
  for _, case in ipairs {
    { function() nn.Conv2d(1, 1, 3)(x:double()) end, "Input type (double) and bias type (float) should be the same",
      "expected scalar type Double but found Float" },
    { function() nn.Conv2d(1, 1, 3):half()(x) end, "Input type (float) and bias type (c10::Half) should be the same" },
    { function() nn.Conv2d(1, 1, 3)(x:long()) end, "Input type (long int) and bias type (float) should be the same" },
    { function() nn.Conv2d(1, 1, 3, { padding = { 1, 2, 3 } }) end,
      "expected padding to be a single integer value or a list of 2 values to match", "padding=[1, 2, 3]" },
    { function() nn.ConvTranspose2d(1, 1, 3, { padding = "same" }) end,
      "must be tuple of ints, but found element of type str" },
    { function() nn.ReflectionPad2d { 1, 2, 3 } end, "Padding length must be divisible by 2" },
    { function() F.max_unpool2d(pooled, at + 20, 2) end,
      "Found an invalid max index: 21 (output volumes are of size 4x4)" },
    { function() F.max_unpool2d(pooled[1], at[1], 2, { output_size = { 4 } }) end,
      "output_size should be a sequence containing 2 or 4 elements, but it has a length of '1'" },
    { function() F.interpolate(x[1], { size = 3, mode = "bicubic" }) end,
      "Only 3D, 4D and 5D input Tensors supported (got 3D) for the modes", "(got bicubic)", "bicubic needs 4 dims" },
    { function() F.interpolate(x[1], { size = 3, mode = "bilinear" }) end,
      "Got 3D input, but bilinear mode needs 4D input" },
    { function() F.interpolate(x, { size = 3, mode = "bad", recompute_scale_factor = true }) end,
      "recompute_scale_factor is not meaningful with an explicit size." },
    { function() F.interpolate(x, { size = 3, mode = "bad", align_corners = true }) end, "(got bad)" },
    { function()
      nn.MaxPool3d({ 3, 1, 3 }, { padding = { 0, 0, 2 }, dilation = { 1, 2, 2 } })(torch.ones(1, 6, 6, 6))
    end,
      "pad should be smaller than or equal to half of kernel size, but got kT: 3 kW: 3 kH: 1 padT: 0 padW: 2 padH: 0" },
    { function() nn.Unflatten(2, { 3, 4 })(torch.ones(2, 5)) end,
      "unflatten: Provided sizes [3, 4] don't multiply up to the size of dim 2 (5) in the input tensor" },
    { function() nn.Unflatten(2, { "a" }) end,
      "unflattened_size must be tuple of ints, but found element of type string" },
    { function() F.gaussian_nll_loss(x, x, x, { reduction = "avg" }) end, "avg is not valid" },
    { function() F.multilabel_soft_margin_loss(x, x, { reduction = "avg" }) end, "avg is not valid" },
  } do
    it(case[2], function() refuses(table.unpack(case)) end)
  end

  it("kl_div has a batchmean of a single number", function()
    local value = F.kl_div(torch.tensor(-1.0), torch.tensor(0.5), { reduction = "batchmean" })
    near.check(0.5 * math.log(0.5) + 0.5, value, 1e-6)
  end)

  it("softmin takes a dtype", function()
    local result = F.softmin(torch.ones(2), 1, { dtype = torch.float64 })
    assert.equal(torch.float64, result.dtype)
    assert.same({ 0.5, 0.5 }, result:tolist())
  end)
end)

describe("keywords", function()
  it("name the arguments of every method of modules", function()
    local m = nn.Module()
    m:register_parameter { name = "w", param = nn.Parameter(torch.ones(1)) }
    m:register_parameter("none", { param = torch.none })
    m:register_buffer { name = "b", tensor = torch.ones(2), persistent = false }
    m:register_buffer("c", { tensor = torch.ones(3) })
    m:add_module { name = "child", module = nn.ReLU() }
    assert.equal("w", names(m:named_parameters()))
    assert.equal("b,c", names(m:named_buffers()))
    assert.equal("w,c", names(pairs(m:state_dict())))
    assert.equal("ReLU", m:get_submodule { target = "child" }:_get_name())
    assert.equal(m.w, m:get_parameter { target = "w" })
    assert.equal(m.c, m:get_buffer { target = "c" })
    assert.equal(torch.float64, m:type { dst_type = torch.float64 }.w.dtype)
    local shared, count = nn.ReLU(), 0
    for _ in nn.Sequential(shared, shared):modules { remove_duplicate = false } do count = count + 1 end
    assert.equal(3, count)
    local calls = 0
    m.child:register_forward_hook { hook = function() calls = calls + 1 end, prepend = true }
    m.child(torch.ones(1))
    assert.equal(1, calls)
    refuses(function() m:register_buffer("d", { persist = true }) end, "got an unexpected keyword argument 'persist'")
  end)

  it("name the arguments of functions", function()
    assert.same({ { 1, 0 }, { 0, 1 } }, nn.functional.one_hot { tensor = torch.tensor { 1, 2 } }:tolist())
    near.check(1.3867504905630728, nn.init.calculate_gain("leaky_relu", { param = 0.2 }))
    near.check(1.3867504905630728, nn.init.calculate_gain { nonlinearity = "leaky_relu", param = 0.2 })
    local p = nn.Parameter(torch.zeros(2))
    nn.utils.vector_to_parameters { vec = torch.ones(2), parameters = { p } }
    assert.same({ 1, 1 }, nn.utils.parameters_to_vector { parameters = { p } }:tolist())
  end)

  it("AdamW takes maximize before foreach, Adam after it", function()
    local p = nn.Parameter(torch.zeros(2))
    local group = torch.optim.AdamW({ p }, 0.1, { 0.9, 0.9 }, 1e-8, 0, false, true).param_groups[1]
    assert.same({ true, nil }, { group.maximize, group.foreach })
    group = torch.optim.Adam({ p }, 0.1, { 0.9, 0.9 }, 1e-8, 0, false, true).param_groups[1]
    assert.same({ false, true }, { group.maximize, group.foreach })
  end)
end)

describe("helpers that scripts know", function()
  it("orders of norms may be strings", function()
    local p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor { 1.0, -4.0 }
    assert.equal(4, nn.utils.get_total_norm({ p.grad }, "inf"):item())
    assert.equal(4, nn.utils.clip_grad_norm_({ p }, 2, "inf"):item())
    near.check({ 0.5, -2 }, p.grad, 1e-5)
    refuses(function() nn.utils.clip_grad_norm_({ p }, 2, "big") end, "'norm_type' must be a number or \"inf\"")
  end)

  it("init computes fans, and knows its old names", function()
    local fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(torch.zeros(4, 3, 5, 5))
    assert.same({ 75, 100 }, { fan_in, fan_out })
    refuses(function() nn.init._calculate_fan_in_and_fan_out(torch.zeros(4)) end,
      "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    local said = warnings_of(function() assert.same({ 3, 3 }, nn.init.constant(torch.zeros(2), 3):tolist()) end)
    assert.same({ "`nn.init.constant` is now deprecated in favor of `nn.init.constant_`." }, said)
  end)
end)

describe("an empty table in the last place", function()
  local F = nn.functional
  local x, w, b = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3), torch.randn(3)
  local function same(f, ...)
    local n, given = select("#", ...), { ... }
    local plain = f(table.unpack(given, 1, n))
    given[n + 1] = {}
    assert.is_true(torch.equal(plain, (f(table.unpack(given, 1, n + 1)))))
  end

  it("holds no keywords where a number for each dim may be left out", function()
    for _, arguments in ipairs { { x, w }, { x, w, b }, { x, w, b, 2 }, { x, w, b, 2, 1 }, { x, w, b, 2, 1, 1 } } do
      same(F.conv2d, table.unpack(arguments))
    end
    same(F.conv_transpose2d, x, w:transpose(1, 2), torch.zeros(3))
    same(F.max_pool2d, x, 2)
    same(F.max_pool2d, x, 2, 1)
    same(F.avg_pool2d, x, 2, 2)
    same(F.lp_pool2d, x, 2.0, 2)
    same(F.fold, torch.randn(1, 8, 4), { 3, 3 }, { 2, 2 })
    same(F.unfold, x, 2)
    same(F.normalize, x, 2.0)
    same(F.softmax, x, 1)
    same(torch.linalg.norm, x[1][1], 2)
    assert.same({ 1, 1 }, torch.nn.Conv2d(2, 3, 3, {}).stride)
    assert.same({ 1, 1 }, torch.nn.Conv2d(2, 3, { kernel_size = 3 }).stride)
  end)

  it("is a list where one must stand", function()
    assert.same({}, torch.zeros({}).shape)
    assert.is_false(pcall(F.max_pool2d, x, {}))
    assert.is_false(pcall(torch.optim.SGD, {}))
  end)
end)
