--- The torch module's own functions: dtypes and devices, settings, defaults. Expectations from PyTorch 2.15
-- (golden/torch_types.lua) and its documentation.

local torch = require "moontorch"
local near = require "spec.support.near"
local cases = dofile((debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".") .. "/golden/torch_types.lua")

local names = {}
for name in cases.dtypes:gmatch("%S+") do names[#names + 1] = name end

local function words(row)
  local list = {}
  for word in row:gmatch("%S+") do list[#list + 1] = word end
  return list
end

local function name_of(v)
  if v == true then return "yes" elseif v == false then return "no" end
  return (tostring(v):gsub("^torch%.", ""))
end

-- f(a, b) for all pairs of dtypes against a table of rows.
local function check_pairs(expected, f)
  local wrong = {}
  for _, a in ipairs(names) do
    local row = words(expected[a])
    assert.equal(#names, #row)
    for k, b in ipairs(names) do
      local got = name_of(f(torch[a], torch[b]))
      if got ~= row[k] then wrong[#wrong + 1] = ("%s, %s: %s instead of %s"):format(a, b, got, row[k]) end
    end
  end
  assert.equal("", table.concat(wrong, "\n"))
end

local function ones(dtype) return torch.ones(2, { dtype = dtype }) end
local function one(dtype) return torch.ones({}, { dtype = dtype }) end

describe("promotion", function()
  it("promote_types, for all pairs", function() check_pairs(cases.promote_types, torch.promote_types) end)
  it("can_cast, for all pairs", function() check_pairs(cases.can_cast, torch.can_cast) end)
  it("result_type of tensors with and without dims", function()
    check_pairs(cases.dimmed_with_dimmed, function(a, b) return torch.result_type(ones(a), ones(b)) end)
    check_pairs(cases.dimmed_with_zero_dim, function(a, b) return torch.result_type(ones(a), one(b)) end)
    check_pairs(cases.zero_dim_with_zero_dim, function(a, b) return torch.result_type(one(a), one(b)) end)
  end)
  it("result_type with numbers", function()
    for kind, scalar in pairs { integer = 3, float = 2.5, boolean = true } do
      for k, expected in ipairs(words(cases["with_" .. kind])) do
        assert.equal(expected, name_of(torch.result_type(ones(torch[names[k]]), scalar)))
        assert.equal(expected, name_of(torch.result_type(scalar, ones(torch[names[k]]))))
      end
    end
    local scalars, k, row = { true, 3, 2.5 }, 0, words(cases.scalars)
    for _, a in ipairs(scalars) do
      for _, b in ipairs(scalars) do
        k = k + 1
        assert.equal(row[k], name_of(torch.result_type(a, b)))
      end
    end
  end)
  it("says what is no dtype", function()
    near.refuses(function() torch.can_cast(3, torch.float) end, "can_cast(): argument 'from_' (position 1) must be "
      .. "torch.dtype, not integer", "torch_spec.lua:")
    assert.is_true(torch.can_cast { from_ = torch.int, to = "float32" })
  end)
end)

describe("limits of dtypes", function()
  it("finfo", function()
    for name, expected in pairs(cases.finfo) do
      local f = torch.finfo(torch[name])
      for key, value in pairs(expected) do
        if key == "text" then assert.equal(value, tostring(f)) else assert.equal(value, f[key], name .. " " .. key) end
      end
      assert.equal(name, f.dtype)
      assert.equal(f, torch.finfo { type = name })
    end
    assert.equal("float32", torch.finfo().dtype)
    torch.set_default_dtype(torch.float64)
    local name = torch.finfo().dtype
    torch.set_default_dtype(torch.float32)
    assert.equal("float64", name)
    near.refuses(function() torch.finfo(torch.int64) end,
      "torch.finfo() requires a floating point input type. Use torch.iinfo to handle", "torch_spec.lua:")
    near.refuses(function() torch.finfo(3) end, "argument 'type' (position 1) must be torch.dtype, not integer")
    near.refuses(function() return torch.finfo().digits end, "torch.finfo has no attribute 'digits'")
  end)
  it("iinfo", function()
    for name, expected in pairs(cases.iinfo) do
      local i = torch.iinfo(torch[name])
      for key, value in pairs(expected) do
        if key == "text" then assert.equal(value, tostring(i)) else assert.equal(value, i[key], name .. " " .. key) end
      end
      assert.equal("integer", math.type(i.max))
      assert.equal(name, i.dtype)
    end
    near.refuses(function() torch.iinfo(torch.float32) end,
      "torch.iinfo() requires an integer input type. Use torch.finfo to handle")
    near.refuses(function() torch.iinfo(torch.bool) end, "torch.bool is not supported by torch.iinfo")
    near.refuses(function() torch.iinfo() end, "missing 1 required positional arguments: \"type\"")
  end)
end)

describe("dtype and device objects", function()
  it("tell themselves apart from other values", function()
    assert.is_true(torch.is_dtype(torch.float32))
    assert.is_true(torch.dtype.is(torch.int))
    for _, v in ipairs { "float32", 1, true, {}, torch.ones(1), torch.device("cpu") } do
      assert.is_false(torch.is_dtype(v))
    end
    assert.equal(torch.float32, torch.dtype("float32"))
    assert.equal(torch.int64, torch.dtype(torch.long))
    assert.equal("<class 'torch.dtype'>", tostring(torch.dtype))
    near.refuses(function() torch.dtype("float31") end, "must be torch.dtype")
    assert.equal("torch.FloatTensor", torch.typename(torch.ones(1)))
    assert.equal("torch.dtype", torch.typename(torch.int8))
    assert.equal("torch.device", torch.typename(torch.device("cpu")))
    assert.equal("table", torch.typename {})
  end)
  it("devices by word, by number and by keyword", function()
    local d = torch.device("cuda", 1)
    assert.equal(d, torch.device("cuda:1"))
    assert.equal(d, torch.device { type = "cuda", index = 1 })
    assert.equal(d, torch.device(d))
    assert.same({ "cuda", 1 }, { d.type, d.index })
    assert.equal("cuda:1", tostring(d))
    assert.equal("cpu", tostring(torch.device("cpu")))
    assert.is_nil(torch.device("cpu").index)
    near.refuses(function() torch.device("cuda:0", 1) end,
      "type (string) must not include an index because index was passed explicitly: cuda:0")
    near.refuses(function() torch.device("cuda:-1") end, "Invalid device string: 'cuda:-1'")
    near.refuses(function() torch.device("cuda:") end, "Invalid device string: 'cuda:'")
    near.refuses(function() torch.device("gpu") end, "device type at start of device string: gpu")
  end)
  it("sizes", function()
    assert.equal(6, torch.Size({ 2, 3 }):numel())
    local shape = torch.ones(2, 3, 4).shape
    assert.same({ 4, 2 }, { shape[-1], shape[-3] })
    assert.same({ nil, nil, nil }, { shape[4], shape[-4], shape.what })
    assert.same({ 2, 3, 4 }, { table.unpack(shape) })
    near.refuses(function() return shape[0] end, "torch_spec.lua:", "position 0: positions count from 1 in Lua")
    assert.equal("torch.Size([])", tostring(torch.Size {}))
    assert.is_true(torch.ones(2, 3):is_same_size(torch.zeros(2, 3)))
    assert.is_false(torch.is_same_size(torch.ones(2, 3), torch.zeros(3, 2)))
    assert.equal(torch.Size { 2, 4, 3 }, torch.ones(2, 3, 4).mT.shape)
    near.refuses(function() return torch.ones(2).mT end,
      "tensor.mT is only supported on matrices or batches of matrices. Got 1-D tensor.")
  end)
end)

describe("tensors", function()
  it("is_nonzero", function()
    assert.is_false(torch.is_nonzero(torch.zeros(1)))
    assert.is_true(torch.tensor(2):is_nonzero())
    assert.is_true(torch.tensor({ { true } }):is_nonzero())
    assert.is_true(torch.is_nonzero(torch.tensor(torch.nan)))
    assert.is_false(torch.tensor({ -0.0 }, { dtype = torch.float16 }):is_nonzero())
    near.refuses(function() torch.is_nonzero(torch.ones(2)) end,
      "Boolean value of Tensor with more than one value is ambiguous", "[2]", "torch_spec.lua:")
    near.refuses(function() torch.tensor({}):is_nonzero() end, "Boolean value of Tensor with no values is ambiguous")
  end)
  it("get_device", function()
    assert.equal(-1, torch.get_device(torch.ones(1)))
    assert.equal(-1, torch.ones(1):get_device())
    assert.equal(0, torch._on_test_device(torch.ones(1)):get_device())
  end)
  it("new_tensor", function()
    local x = torch.ones(2, { dtype = torch.int32 })
    local t = x:new_tensor({ 1.5, 2 })
    assert.equal(torch.int32, t.dtype)
    assert.same({ 1, 2 }, t:tolist())
    t = x:new_tensor({ 1.5, 2 }, { dtype = torch.float64, requires_grad = true })
    assert.equal(torch.float64, t.dtype)
    assert.is_true(t.requires_grad)
    assert.equal(torch.float16, torch.ones(1, { dtype = torch.float16 }):new_tensor(3).dtype)
    local y = torch.ones(2)
    local copy = y:new_tensor(y)
    copy:fill_(5)
    assert.same({ 1, 1 }, y:tolist())
  end)
end)

describe("defaults", function()
  after_each(function() torch.set_default_device(nil) end)

  it("the device of creation functions", function()
    assert.equal(torch.device("cpu"), torch.get_default_device())
    torch.set_default_device("cuda:3")
    assert.equal(torch.device("cuda", 3), torch.get_default_device())
    for _, make in ipairs {
      function() return torch.zeros(2) end, function() return torch.tensor({ 1 }) end,
      function() return torch.arange(3) end, function() return torch.randn(2) end,
      function() return torch.full({ 2 }, 1) end, function() return torch.eye(2) end,
      function() return torch.randperm(3) end, function() return torch.normal(0.0, 1.0, { 2 }) end,
      function() return torch.linspace(0, 1, 3) end,
    } do
      near.refuses(make, "moontorch/cuda.so")
    end
    local x = torch.zeros(2, { device = "cpu" })
    assert.equal("cpu", tostring(x.device))
    assert.equal("cpu", tostring(torch.ones_like(x).device))
    assert.equal("cpu", tostring((x + 1).device))
    assert.equal("cpu", tostring(x:new_tensor({ 1 }).device))
    torch.set_default_device(torch.device("cpu"))
    assert.equal("cpu", tostring(torch.zeros(2).device))
    near.refuses(function() torch.set_default_device("gpu") end, "at start of device string: gpu")
    near.refuses(function() torch.set_default_device(5.5) end, "must be a torch.device or a string, not 5.5")
  end)
  it("the generator", function()
    torch.manual_seed(7)
    local first = torch.rand(3)
    torch.default_generator:manual_seed(7)
    assert.is_true(first:equal(torch.rand(3)))
    assert.equal(7, torch.default_generator:initial_seed())
    torch.default_generator:manual_seed(7)
    assert.is_true(first:equal(torch.rand(3, { generator = torch.default_generator })))
  end)
end)

describe("settings", function()
  it("deterministic algorithms", function()
    assert.is_false(torch.are_deterministic_algorithms_enabled())
    torch.use_deterministic_algorithms(true, { warn_only = true })
    assert.is_true(torch.are_deterministic_algorithms_enabled())
    assert.is_true(torch.is_deterministic_algorithms_warn_only_enabled())
    near.refuses(function() torch.use_deterministic_algorithms(3) end, "argument 'mode' (position 1)")
    torch.use_deterministic_algorithms(false)
    assert.is_false(torch.are_deterministic_algorithms_enabled())
    assert.is_false(torch.is_deterministic_algorithms_warn_only_enabled())
  end)
  it("the precision of float32 products", function()
    assert.equal("highest", torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision("high")
    assert.equal("high", torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision("low") -- a warning, and no effect
    assert.equal("high", torch.get_float32_matmul_precision())
    near.refuses(function() torch.set_float32_matmul_precision(3) end, "expects a str, but got integer")
    torch.set_float32_matmul_precision("highest")
  end)
  it("print options, by profile, by name and in order", function()
    local x = torch.tensor({ 1.23456789, 1000.5 })
    torch.set_printoptions { precision = 2 }
    assert.equal("tensor([   1.23, 1000.50])", tostring(x))
    torch.set_printoptions { sci_mode = true }
    assert.equal("tensor([1.23e+00, 1.00e+03])", tostring(x))
    torch.set_printoptions { profile = "short" }
    assert.equal("tensor([   1.23, 1000.50])", tostring(x))
    torch.set_printoptions { profile = "default" }
    assert.equal("tensor([   1.2346, 1000.5000])", tostring(x))
    torch.set_printoptions { threshold = 3, edgeitems = 1, linewidth = 40 }
    assert.equal("tensor([0,  ..., 4])", tostring(torch.arange(5)))
    torch.set_printoptions { profile = "full" }
    assert.equal(1001, select(2, tostring(torch.arange(1001)):gsub("%d+", "")))
    torch.set_printoptions { profile = "default" }
  end)
end)
