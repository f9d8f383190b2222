--- Texts of tensors against PyTorch's (spec/golden/printing.lua), first for printing.lua alone on stand-in tensors that
-- offer nothing but the fields it may use, then for real tensors through tostring and torch.set_printoptions.
local printing = require "moontorch.printing"
local cases = dofile((debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".") .. "/golden/printing.lua")

local IS_FLOAT = { float32 = true, float64 = true, float16 = true, bfloat16 = true }

-- Flat values of a case, as the dtype holds them.
local function case_values(case)
  local numel = 1
  for _, size in ipairs(case.shape) do numel = numel * size end
  local values = {}
  for i = 1, numel do
    local v
    if case.gen then
      local a, m, s, d = table.unpack(case.gen)
      v = (((i - 1) * a) % m - s) / d
    else
      v = case.values[i]
    end
    if case.dtype == "bool" then v = v == true or (v ~= false and v ~= 0)
    elseif case.dtype == "float32" then v = string.unpack("f", string.pack("f", v))
    elseif IS_FLOAT[case.dtype] then v = v * 1.0
    else v = math.tointeger(v) end
    values[i] = v
  end
  return values
end

local function nested(values, shape, dim, position)
  if dim > #shape then return values[position] end
  local stride = 1
  for d = dim + 1, #shape do stride = stride * shape[d] end
  local list = {}
  for i = 1, shape[dim] do list[i] = nested(values, shape, dim + 1, position + (i - 1) * stride) end
  return list
end

-- Cuts nested lists by ranges {first, last} or {}, as t[{...}] does.
local function cut(data, key, dim)
  local range = key[dim]
  if not range then return data end
  local list = {}
  for i = range[1] or 1, range[2] or #data do list[#list + 1] = cut(data[i], key, dim + 1) end
  return list
end

-- A stand-in with printing.lua's view of a tensor; `reads` counts the elements given out by tolist.
local function stand_in(case, device)
  local shape, reads = case.shape, { count = 0 }
  local function make(data, sizes)
    local numel = 1
    for _, size in ipairs(sizes) do numel = numel * size end
    local self = {
      shape = sizes,
      dtype = setmetatable({ is_floating_point = IS_FLOAT[case.dtype] or false },
        { __tostring = function() return "torch." .. case.dtype end }),
      device = device or "cpu",
      requires_grad = case.requires_grad or false,
      is_parameter = case.parameter or false,
      grad_fn = case.grad_fn and { name = function() return case.grad_fn end },
      numel = function() return numel end,
      detach = function(self) return self end,
      cpu = function(self) return self end,
      tolist = function() reads.count = reads.count + numel return data end,
    }
    return setmetatable(self, { __index = function(_, key)
      if type(key) ~= "table" then return nil end
      local part = cut(data, key, 1)
      local new, level = {}, part
      for d = 1, #sizes do new[d] = #level level = level[1] end
      return make(part, new)
    end })
  end
  return make(nested(case_values(case), shape, 1, 1), shape), reads
end

local function check(make_text)
  local wrong = {}
  for _, case in ipairs(cases) do
    local got = make_text(case)
    if got ~= case.text then
      wrong[#wrong + 1] = ("%s [%s]\nexpected %s\ngot      %s"):format(case.dtype, table.concat(case.shape, ", "),
        case.text, got)
    end
  end
  if #wrong > 0 then
    error(("%d of %d texts differ\n"):format(#wrong, #cases) .. table.concat(wrong, "\n", 1, math.min(#wrong, 6)), 0)
  end
end

describe("printing", function()
  after_each(function() printing.set_printoptions{ profile = "default" } end)

  it("writes PyTorch's text from a tensor's public face", function()
    check(function(case)
      if case.options then printing.set_printoptions(case.options) end
      local text = printing((stand_in(case)))
      printing.set_printoptions{ profile = "default" }
      return text
    end)
  end)

  it("names a device other than the CPU, and reads through a copy on it", function()
    local case = { shape = { 2 }, dtype = "float64", values = { 1, 2 }, requires_grad = true }
    assert.equal("tensor([1., 2.], device='cuda:0', dtype=torch.float64, requires_grad=True)",
      printing((stand_in(case, "cuda:0"))))
  end)

  it("reads only the edges of a big tensor", function()
    local t, reads = stand_in({ shape = { 300, 300 }, dtype = "int64", gen = { 7, 11, 0, 1 } })
    printing(t)
    assert.equal(36, reads.count)
  end)

  it("writes a shape as torch.Size", function()
    assert.equal("torch.Size([1, 4, 3])", printing.size_text{ 1, 4, 3 })
    assert.equal("torch.Size([])", printing.size_text{})
  end)

  it("takes options by position too, and gives them back", function()
    printing.set_printoptions(2, 5, 1)
    local got = printing.get_printoptions()
    assert.same({ precision = 2, threshold = 5, edgeitems = 1, linewidth = 80 }, got)
    printing.set_printoptions{ sci_mode = true }
    assert.is_true(printing.get_printoptions().sci_mode)
    printing.set_printoptions{ precision = 3 }
    assert.is_nil(printing.get_printoptions().sci_mode)
  end)

  it("refuses wrong options and keeps the old ones", function()
    local before = printing.get_printoptions()
    local function refused(options, text)
      assert.error_matches(function() printing.set_printoptions(options) end, text)
    end
    refused({ precisoin = 2 }, "unknown keyword 'precisoin'; accepted are precision")
    refused({ precision = 2, edgeitems = -1 }, "edgeitems must be a whole number")
    refused({ precision = 0 / 0 }, "precision must be a whole number")
    refused({ precision = 100 }, "at most 99")
    refused({ profile = "tall" }, "profile must be 'default', 'short' or 'full'")
    refused({ sci_mode = 1 }, "sci_mode must be true, false")
    local ok, message = pcall(function() printing.set_printoptions{ precision = {} } end)
    assert.is_false(ok)
    assert.matches("printing_spec.lua:%d+: set_printoptions", message)
    assert.same(before, printing.get_printoptions())
  end)

  describe("of real tensors", function()
    local torch = require "moontorch"

    local function make(case)
      local dtype = torch[case.dtype]
      local t
      if #case.shape == 0 then
        t = torch.tensor(case_values(case)[1], { dtype = dtype })
      else
        t = torch.tensor(case_values(case), { dtype = dtype }):reshape(table.unpack(case.shape))
      end
      if case.parameter then t = torch.nn.Parameter(t, { requires_grad = case.requires_grad or false }) end
      if case.requires_grad and not case.parameter then t.requires_grad = true end
      if case.fn == "mul" then t = t * 1 elseif case.fn == "clone" then t = t:clone() end
      return t
    end

    it("are PyTorch's texts", function()
      check(function(case)
        if case.options then torch.set_printoptions(case.options) end
        local text = tostring(make(case))
        torch.set_printoptions{ profile = "default" }
        return text
      end)
    end)

    it("are the same for views", function()
      local t = torch.tensor{ { 1, 2 }, { 3, 4 } }
      assert.equal("tensor([[1, 3],\n        [2, 4]])", tostring(t:t()))
      assert.equal("tensor([2, 4])", tostring(t[{ {}, 2 }]))
      local row = "[0., 0., 0.,  ..., 0., 0., 0.]"
      local expected = "tensor([" .. table.concat({ row, row, row, "...", row, row, row }, ",\n        ") .. "])"
      assert.equal(expected, tostring(torch.zeros(1):expand(100000, 100000)))
    end)

    it("leave the default dtype out", function()
      finally(function() torch.set_default_dtype(torch.float32) end)
      torch.set_default_dtype(torch.float64)
      assert.equal("tensor([1.])", tostring(torch.tensor{ 1.0 }))
      assert.equal("tensor([1.], dtype=torch.float32)", tostring(torch.tensor({ 1.0 }, { dtype = torch.float32 })))
    end)

    it("concatenate with strings", function()
      assert.equal("x = tensor(3)", "x = " .. torch.tensor(3))
      assert.equal("tensor(3) = x", torch.tensor(3) .. " = x")
      assert.equal("torch.Size([2, 3])", tostring(torch.zeros(2, 3).shape))
    end)
  end)
end)
