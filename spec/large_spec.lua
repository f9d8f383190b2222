--- Large tensors take paths that small ones do not: past the caches, through blocks, shared among threads. What comes
-- out is held against the plain definition, or against the same operator on parts too small for the path.
local torch = require "moontorch"

local F = torch.nn.functional

local function with_threads(f)
  local before = torch.get_num_threads()
  for _, threads in ipairs { 1, 2, 3 } do
    torch.set_num_threads(threads)
    local good, message = pcall(f)
    torch.set_num_threads(before)
    if not good then error(message, 0) end
  end
end

describe("results of 32 MB", function()
  local N = (32 << 20) // 4 + 77
  local x, y
  setup(function()
    torch.manual_seed(1)
    x, y = torch.randn(N), torch.randn(N)
  end)
  teardown(function() x, y = nil, nil end)
  -- f of the whole is f of thirds.
  local function in_parts(f, ...)
    local inputs = { ... }
    local whole, third = f(...), N // 3
    for k = 0, 2 do
      local range, part = { k * third + 1, k == 2 and N or (k + 1) * third }, {}
      for i, t in ipairs(inputs) do part[i] = t[{ range }] end
      assert.is_true(whole[{ range }]:equal(f(table.unpack(part))))
    end
    return whole
  end
  it("of formulas", function()
    in_parts(F.relu, x)
    in_parts(torch.add, x, y)
    in_parts(function(a) return a * 2.5 end, x)
    in_parts(function(a, b) return torch.where(a:gt(b), a, 1.5) end, x, y)
    in_parts(function(a, b) return a:masked_fill(b:gt(0), -1) end, x, y)
    in_parts(function(a) return a:double() end, x)
    in_parts(function(a, b) return a:clone():mul_(b) end, x, y)
  end)
  it("of copies, to an odd start too", function()
    in_parts(function(a) return a:clone() end, x)
    local z = torch.zeros(N + 3)
    z[{ { 3, N + 2 } }]:copy_(x)
    assert.is_true(z[{ { 3, N + 2 } }]:equal(x))
    assert.is_true(z[1]:item() == 0 and z[2]:item() == 0 and z[-1]:item() == 0)
    assert.is_true(x[{ { 1, 4 } }]:unsqueeze(2):expand(4, N // 4):contiguous()[3]:eq(x[3]):all():item())
  end)
  it("of fills", function()
    local z = torch.zeros(N + 3)
    z[{ { 3, N + 2 } }]:fill_(7)
    assert.equal(7 * N, z:double():sum():item())
    assert.is_true(z[1]:item() == 0 and z[2]:item() == 0 and z[-1]:item() == 0)
  end)
  it("of rows by position", function()
    local table_, at = torch.randn(1000, 256), torch.randint(1, 1001, { 32800 })
    local rows = F.embedding(at, table_)
    for _, i in ipairs { 1, 2, 77, 16400, 32799, 32800 } do assert.is_true(rows[i]:equal(table_[at[i]:item()])) end
    assert.is_true(table_:index_select(1, at):equal(rows))
    assert.is_true(rows:sum(2):equal(table_:sum(2):index_select(1, at)))
  end)
end)

describe("transposed copies", function()
  -- Element [i][j] of the copy is [j][i] of x.
  local function turned(x, copy)
    local rows, cols = x:size(1), x:size(2)
    local i, j = torch.arange(0, cols):unsqueeze(2), torch.arange(0, rows):unsqueeze(1)
    return copy:is_contiguous() and x:flatten():index_select(1, (j * cols + i + 1):flatten()):equal(copy:flatten())
  end
  for _, dtype in ipairs { "bool", "int16", "float32", "int64" } do
    it("of " .. dtype, function()
      torch.manual_seed(2)
      for _, s in ipairs { { 8, 8 }, { 9, 17 }, { 63, 65 }, { 64, 128 }, { 130, 129 }, { 20, 1100 }, { 1100, 9 },
        { 1025, 2100 } } do
        local x = torch.randint(0, 2000, s):to(dtype)
        assert.is_true(turned(x, x:t():contiguous()), ("%d x %d"):format(s[1], s[2]))
      end
    end)
  end
  it("of planes, by any number of threads", function()
    local x = torch.randint(0, 1 << 20, { 3, 40, 9, 70 }):float()
    with_threads(function()
      for k = 1, 3 do
        local y, z = x:permute(1, 3, 4, 2):contiguous(), x:transpose(2, 4):contiguous()
        assert.is_true(turned(x[k]:reshape(40, 630), y[k]:view(630, 40)))
        for c = 1, 9 do assert.is_true(turned(x[k]:select(2, c), z[k]:select(2, c):contiguous())) end
      end
    end)
  end)
  it("that an operator makes of what lies across", function()
    local a, b = torch.randn(300, 260), torch.randn(260, 300)
    local sum, expected = a + b:t(), b:t():contiguous() + a
    assert.is_true(sum:equal(expected))
    local c = a:clone()
    c:add_(b:t())
    assert.is_true(c:equal(expected))
    local square = torch.randn(300, 300)
    local twice = square + square:t()
    square:add_(square:t())
    assert.is_true(square:equal(twice) and twice:equal(twice:t()))
  end)
end)

describe("writing by position, by any number of threads,", function()
  local shape, list = { 40, 50, 30 }, nil
  local function strides(d) return d == 1 and 1500 or d == 2 and 30 or 1 end
  setup(function()
    torch.manual_seed(3)
    list = torch.randint(-9, 10, shape):double():flatten():tolist()
  end)
  for dim = 1, 3 do
    it("along dim " .. dim, function()
      local s = torch.tensor(list, { dtype = torch.float64 }):view(shape)
      local x = torch.zeros_like(s)
      local at = torch.randint(1, shape[dim] + 1, shape)
      local places, sum, last = at:flatten():tolist(), {}, {}
      for i = 1, #list do sum[i], last[i] = 0, 0 end
      for i, v in ipairs(list) do -- in order, so that the last of several stays
        local own = (i - 1) // strides(dim) % shape[dim]
        local to = i + (places[i] - 1 - own) * strides(dim)
        sum[to], last[to] = sum[to] + v, v
      end
      with_threads(function()
        assert.same(sum, x:scatter_add(dim, at, s):flatten():tolist())
        assert.same(last, x:scatter(dim, at, s):flatten():tolist())
        local narrow = torch.zeros(shape):scatter_add(dim, at:int(), s:float())
        assert.same(sum, narrow:double():flatten():tolist())
      end)
    end)
  end
  for dim = 1, 2 do
    it("whole rows and columns, dim " .. dim, function()
      local n, width = 600, 90
      local index = torch.randint(1, 21, { n })
      local s = torch.randint(-9, 10, dim == 1 and { n, width } or { width, n }):double()
      local expected, copied = {}, {}
      for k = 1, 20 do expected[k] = torch.zeros(width, { dtype = torch.float64 }) end
      for i, at in ipairs(index:tolist()) do
        copied[at] = s:select(dim, i)
        expected[at] = expected[at] + copied[at]
      end
      for k = 1, 20 do copied[k] = copied[k] or torch.zeros(width, { dtype = torch.float64 }) end
      expected, copied = torch.stack(expected, dim), torch.stack(copied, dim)
      local x = torch.zeros(expected:size(), { dtype = torch.float64 })
      with_threads(function()
        assert.is_true(x:index_add(dim, index, s):equal(expected))
        assert.is_true(x:index_add(dim, index, s, { alpha = 2 }):equal(expected * 2))
        assert.is_true(x:float():index_add(dim, index, s:float()):double():equal(expected))
        assert.is_true(x:index_copy(dim, index, s):equal(copied))
      end)
    end)
  end
end)

it("a position that is out of range is found wherever it is, and nothing is written", function()
  for _, k in ipairs { 1, 8, 9, 512, 513, 1500, 40000 } do
    for _, bad in ipairs { 0, -1, 7, math.maxinteger, math.mininteger } do
      local x, at = torch.ones(6), torch.ones(40000, { dtype = torch.int64 })
      at[k] = bad
      local good, message = pcall(torch.gather, x, 1, at)
      assert.is_false(good)
      local expected = bad == 0 and "position 0" or ("index %d is out of bounds"):format(bad)
      assert.is_truthy(tostring(message):find(expected, 1, true))
      assert.is_false(pcall(x.scatter_add_, x, 1, at, torch.ones(40000)))
      assert.equal(6, x:sum():item())
    end
  end
end)
