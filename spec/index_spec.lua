--- Keys of x[key] and x[key] = v, and the operators that take positions. Expectations come from PyTorch
-- 2.15; spec/golden/ops_index.lua holds more keys, ops_scatter.lua and ops_arrange.lua the operators.
local torch = require "moontorch"
local golden = require "spec.support.golden"
local gradcheck = require "spec.support.gradcheck"
local near = require "spec.support.near"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local none, newaxis = torch.none, torch.newaxis

local function T(values) return torch.tensor(values) end
local function counted(...) -- 1, 2, ... in that shape
  local shape = { ... }
  local n = 1
  for _, s in ipairs(shape) do n = n * s end
  return (torch.arange(n, { dtype = torch.float64 }) + 1):view(shape)
end
local function same(wanted, shape, got)
  near.check(shape, table.move(got.shape, 1, #got.shape, 1, {}))
  near.check(wanted, got:reshape(-1):tolist())
end

for _, family in ipairs { "scatter", "arrange" } do
  describe("golden " .. family .. ":", function()
    for _, group in ipairs(golden.groups(dofile(here .. "/golden/ops_" .. family .. ".lua"))) do
      it(golden.title(group), function() golden.check(group) end)
    end
  end)
end

describe("a range", function()
  it("is clamped as string.sub clamps", function()
    local s, x = "abcde", T { 97, 98, 99, 100, 101 }
    for first = -8, 8 do
      for last = -8, 8 do
        local part = x[{ { first, last } }]
        assert.equal(s:sub(first, last), (part:numel() > 0 and string.char(table.unpack(part:tolist())) or ""),
          first .. ".." .. last)
      end
    end
  end)

  it("takes huge ends and steps", function()
    local x = counted(5)
    same({ 1, 2, 3, 4, 5 }, { 5 }, x[{ { math.mininteger, math.maxinteger } }])
    same({}, { 0 }, x[{ { math.maxinteger, math.mininteger } }])
    same({ 1 }, { 1 }, x[{ { 1, -1, math.maxinteger } }])
    local leaf = torch.ones(3):requires_grad_()
    local part = torch._slice(leaf, 1, 1, 3, math.maxinteger)
    assert.equal(1, part:numel())
    part:sum():backward()
    assert.same({ 0, 1, 0 }, leaf.grad:tolist())
    assert.equal(0, torch._slice(torch.ones(0), 1, 0, 3, math.maxinteger):numel())
    same({ 2, 4 }, { 2 }, x[{ { 2, 5, 2 } }])
    same({ 2, 3 }, { 2 }, x[{ { 2.0, 3.0 } }])
    same({ 1, 2 }, { 2 }, x[{ { none, 2 } }])
  end)

  it("says what is wrong with it", function()
    local x = counted(5)
    near.refuses(function() return x[{ { 3 } }] end, "index_spec.lua:", "{3, 3}", "{3, -1}")
    near.refuses(function() return x[{ { 1, 2, 3, 4 } }] end, "{first, last, step}", "torch.tensor")
    near.refuses(function() return x[{ { 1, 2, 0 } }] end, "step must be positive", "0")
    near.refuses(function() return x[{ { 1, 2.5 } }] end, "integers")
    near.refuses(function() return x[{ { 1, "2" } }] end, "integers", "string")
    near.refuses(function() return x[{ { first = 1 } }] end, "not a table with names")
  end)
end)

describe("a key", function()
  -- The second column of PyTorch's result; x counts from 1, so each value is one more than arange's.
  local x, x5 = counted(2, 3, 4), counted(5)
  local i, j = T { 1, 2 }, T { { 1 }, { 3 } }
  local mask = T { { true, false, true }, { false, true, false } }
  local cases = {
    { { i, {}, i }, { 2, 3 }, { 1, 5, 9, 14, 18, 22 } },
    { { {}, i, i }, { 2, 2 }, { 1, 6, 13, 18 } },
    { { i, i }, { 2, 4 }, { 1, 2, 3, 4, 17, 18, 19, 20 } },
    { { {}, j, i }, { 2, 2, 2 }, { 1, 2, 9, 10, 13, 14, 21, 22 } },
    { mask, { 3, 4 }, { 1, 2, 3, 4, 9, 10, 11, 12, 17, 18, 19, 20 } },
    { { mask, 1 }, { 3 }, { 1, 9, 17 } },
    { { mask, T { 1, 2, 3 } }, { 3 }, { 1, 10, 19 } },
    { { 1, {}, i }, { 3, 2 }, { 1, 2, 5, 6, 9, 10 } },
    { { i, newaxis, i }, { 2, 1, 4 }, { 1, 2, 3, 4, 17, 18, 19, 20 } },
    { { i, 2, i }, { 2 }, { 5, 18 } },
    { { i, "...", i }, { 2, 3 }, { 1, 5, 9, 14, 18, 22 } },
    { { i, { 1, 2 }, -1 }, { 2, 2 }, { 4, 8, 16, 20 } },
    { { T { { 1 }, { 2 } }, {}, { 2, 3 } }, { 2, 1, 3, 2 }, { 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23 } },
    { { {}, T { true, false, true }, 1 }, { 2, 2 }, { 1, 9, 13, 21 } },
    { { T { -1 }, T(2), -1.0 }, { 1 }, { 20 } },
    { { T(1), 2, 3 }, {}, { 7 } },
    { { 2, T(false) }, { 0, 3, 4 }, {} },
  }
  for k, case in ipairs(cases) do
    it("with tensors reads and writes, number " .. k, function()
      local key, shape, wanted = table.unpack(case)
      same(wanted, shape, x[key])
      for _, layout in ipairs { x:clone(), x:transpose(1, 3):contiguous():transpose(1, 3) } do
        same(wanted, shape, layout[key])
        layout[key] = x[key] * 100
        same((x[key] * 100):reshape(-1):tolist(), shape, layout[key])
        local changed = layout:ne(x):sum():item()
        assert.equal(#wanted, changed)
        layout[key] = -1
        assert.equal(#wanted, layout:eq(-1):sum():item())
      end
    end)
    it("with tensors has first and second gradients, number " .. k, function()
      local key = case[1]
      local a = x:clone():requires_grad_()
      local y = (a[key] ^ 3):sum()
      local g = torch.autograd.grad(y, a, { create_graph = true })
      g = torch.is_tensor(g) and g or g[1]
      local expected = torch.zeros_like(x)
      expected[key] = x[key] ^ 2 * 3
      near.check(expected:tolist(), g)
      local gg = torch.autograd.grad(g:sum(), a)
      gg = torch.is_tensor(gg) and gg or gg[1]
      expected[key] = x[key] * 6
      near.check(expected:tolist(), gg)
      -- writing: what was there gets no gradient, what was written all of it
      local b, v = x:clone():requires_grad_(), (x[key] * 2):detach():requires_grad_()
      local c = b * 1
      c[key] = v
      ;(c * x):sum():backward()
      expected = x:clone()
      expected[key] = 0
      near.check(expected:tolist(), b.grad)
      near.check(x[key]:tolist(), v.grad)
    end)
  end

  it("may be int32, strided or repeat positions", function()
    local strided = T { 1, 9, 2, 9, 2, 9 }[{ { 1, -1, 2 } }]
    same({ 1, 2, 2 }, { 3 }, x5[strided])
    same({ 1, 2, 2 }, { 3 }, x5[strided:int()])
    local a = counted(5):requires_grad_()
    a[strided]:sum():backward()
    near.check({ 1, 2, 0, 0, 0 }, a.grad)
    same({ 1, 2, 2 }, { 3 }, x5[{ strided }])
  end)

  it("of positions alone makes views that share memory and gradients", function()
    local a = counted(3, 4)
    local row = a[2]
    row[1] = -5
    assert.equal(-5, a[{ 2, 1 }]:item())
    assert.is_true(torch.is_tensor(a[{ 2, 1 }]))
    a[{ {}, { 2, 3 } }]:zero_()
    same({ 1, 0, 0, 4, -5, 0, 0, 8, 9, 0, 0, 12 }, { 3, 4 }, a)
    same({ 1, 0, 0, 4 }, { 1, 1, 4 }, a[{ newaxis, 1, newaxis }])
    local whole = a[{}]
    whole[{ 1, 1 }] = 77
    assert.equal(77, a[{ 1, 1 }]:item())
  end)

  it("that is wrong changes nothing and says why", function()
    local a, kept = counted(3, 4), counted(3, 4)
    local bad = {
      { 0, "position 0", "from 1" }, { 4, "index 4 is out of bounds for dimension 1 with size 3" },
      { -4, "index -4 is out of bounds for dimension 1 with size 3" },
      { { 1, 5 }, "index 5 is out of bounds for dimension 2 with size 4" },
      { { 1, 1, 1 }, "too many indices for tensor of dimension 2" }, { true, "bool tensor" },
      { { 1, false }, "bool tensor" },
      { 1.5, "integer" }, { 0 / 0, "integer" }, { 2 ^ 60, "out of bounds" }, { print, "only integers", "function" },
      { { "x" }, "only integers", "x" }, { { "...", "..." }, "single ellipsis" }, { { a = 1 }, "a table with names" },
      { T { 1, 4 }, "index 4 is out of bounds for dimension 1 with size 3" }, { T { 1, 0 }, "position 0", "from 1" },
      { { {}, T { 1, -5 } }, "index -5 is out of bounds for dimension 2 with size 4" },
      { { T { 1, 2 }, T { 1, 5 } }, "index 5 is out of bounds for dimension 2 with size 4" },
      { { T { 1, 2 }, T { 1, 2, 3 } }, "could not be broadcast together with shapes [2], [3]" },
      { T { 1.5 }, "must be long, int or bool", "float32" }, { torch.ones(3, { dtype = torch.uint8 }), "bool tensor" },
      { T { true, false },
        "The shape of the mask [2] at index 1 does not match the shape of the indexed tensor [3, 4] at index 1" },
      { { 1, T { { true } } }, "too many indices" },
    }
    for _, case in ipairs(bad) do
      near.refuses(function() return a[case[1]] end, "index_spec.lua:", table.unpack(case, 2))
      near.refuses(function() a[case[1]] = 7 end, "index_spec.lua:", table.unpack(case, 2))
    end
    near.refuses(function() a[T { 1, 2 }] = torch.ones(3, { dtype = torch.float64 }) end,
      "shape mismatch: value tensor of shape [3] cannot be broadcast to indexing result of shape [2, 4]")
    near.refuses(function() a[T { 1, 2 }] = torch.ones(4) end,
      "Index put requires the source and destination dtypes match", "Double", "Float")
    near.refuses(function() a[1] = torch.ones(3) end,
      "The expanded size of the tensor (4) must match the existing size (3)")
    near.refuses(function() a[1] = { 1, 2, 3, 4 } end, "can't assign a table", "torch.tensor")
    near.refuses(function() a[1] = "x" end, "can't assign a string")
    near.refuses(function() return T(3)[1] end, "invalid index of a 0-dim tensor", "item")
    near.check(kept:tolist(), a)
    local dead = T { 1 }
    dead:free()
    near.refuses(function() return a[dead] end, "freed")
    near.refuses(function() a[1] = dead end, "freed")
    local many = {}
    for k = 1, 40 do many[k] = newaxis end
    near.refuses(function() return a[many] end, "too many")
    for k = 15, 40 do many[k] = nil end
    assert.equal(16, #a[many].shape)
    many[15] = newaxis
    assert.is_false(pcall(function() return a[many] end))
  end)

  it("converts what views take and keeps leading ones of values", function()
    local a = torch.zeros(2, 3, { dtype = torch.int64 })
    a[1] = 1.75
    a[2] = T { 1.5, 2.5, -3.5 }
    near.check({ { 1, 1, 1 }, { 1, 2, -3 } }, a)
    a[1] = torch.ones(1, 1, 3)
    a[T { 2 }] = torch.full({ 1, 1, 1, 3 }, 9)
    near.check({ { 1, 1, 1 }, { 9, 9, 9 } }, a)
    a[a:eq(9)] = 4.5
    near.check({ { 1, 1, 1 }, { 4, 4, 4 } }, a)
    a[a:eq(4)] = T { 7, 8, 9 }
    near.check({ { 1, 1, 1 }, { 7, 8, 9 } }, a)
  end)

  it("reads what it writes before it writes", function()
    local a = counted(4)
    a[{ { 2, 4 } }] = a[{ { 1, 3 } }]
    near.check({ 1, 1, 2, 3 }, a)
    local b = counted(4)
    b[T { 4, 3, 2, 1 }] = b
    near.check({ 4, 3, 2, 1 }, b)
    b:index_copy_(1, T { 4, 3, 2, 1 }, b)
    near.check({ 1, 2, 3, 4 }, b)
    b:index_add_(1, T { 1, 1, 1, 2 }, b)
    near.check({ 7, 6, 3, 4 }, b)
  end)
end)

describe("index_put", function()
  it("skips dims at none, takes masks and accumulates", function()
    local a = counted(2, 3)
    near.check({ { 1, 0, 3 }, { 4, 0, 6 } }, a:index_put({ none, T { 2 } }, torch.zeros(1, { dtype = torch.float64 })))
    near.check({ { 1, 2, 3 }, { 4, 5, 6 } }, a)
    local y = a:index_put_({ T { 1, 1, 2 }, T { 1, 1, 3 } }, T { 1, 1, 1 }:double(), true)
    assert.is_true(rawequal(a, y))
    near.check({ { 3, 2, 3 }, { 4, 5, 7 } }, a)
    a:index_put_({ a:gt(4) }, torch.tensor(0.0, { dtype = torch.float64 }))
    near.check({ { 3, 2, 3 }, { 4, 0, 0 } }, a)
    near.refuses(function() a:index_put_({ none }, torch.zeros(1)) end, "at least one index tensor")
    near.refuses(function() a:index_put_({ T { 3 } }, torch.zeros(1, { dtype = torch.float64 })) end,
      "index 3 is out of bounds for dimension 1 with size 2")
  end)

  it("has gradients for both sides", function()
    local index = { T { 1, 3, 1 }, T { 2, 1, 2 } }
    for _, accumulate in ipairs { true, false } do
      local used = accumulate and index or { T { 1, 3 }, T { 2, 1 } }
      local function put(a, v) return a:index_put(used, v, accumulate) ^ 2 end
      for _, order in ipairs { "first", "second" } do
        local inputs = { counted(3, 2):requires_grad_(), (counted(accumulate and 3 or 2) * 0.5):requires_grad_() }
        local ok, why = gradcheck[order](put, inputs)
        assert.is_true(ok, why)
      end
    end
  end)
end)

describe("one_hot", function()
  it("counts labels from 1", function()
    near.check({ { 1, 0, 0 }, { 0, 0, 1 } }, torch.one_hot(T { 1, 3 }))
    near.check({ { { 0, 1, 0, 0 } } }, torch.one_hot(T { { 2 } }, 4))
    near.check({ { 0, 1 } }, torch.one_hot(T { 2 }, { num_classes = 2 }))
    near.refuses(function() torch.one_hot(T { 1, 3 }, 2) end, "Class values must be smaller than num_classes", "3", "2")
    near.refuses(function() torch.one_hot(T { 0, 1 }) end, "got 0", "count from 1")
    near.refuses(function() torch.one_hot(T { -1, 1 }) end, "Class values must be non-negative", "got -1")
    near.refuses(function() torch.one_hot(torch.zeros(0, { dtype = torch.int64 })) end, "empty tensor")
  end)
end)

describe("nonzero", function()
  it("gives rows, or a vector for each dim", function()
    local x = T { { 0, 3 }, { 5, 0 } }
    near.check({ { 1, 2 }, { 2, 1 } }, x:nonzero())
    local rows, cols = table.unpack(x:nonzero { as_tuple = true })
    near.check({ 1, 2 }, rows)
    near.check({ 2, 1 }, cols)
    near.check({ 3, 5 }, x[{ rows, cols }])
    local where = torch.where(x:gt(4))
    near.check({ 2 }, where[1])
    near.check({ 1 }, where[2])
  end)
end)

describe("large indexing", function()
  it("gives on all threads what it gives on one", function()
    local n, m = 1500, 300
    local x = torch.arange(n * m, { dtype = torch.float32 }):view(n, m)
    local rows = torch.arange(n - 1, -1, -1) + 1
    assert.is_true(x:index_select(1, rows):equal(x:flip(1)))
    assert.is_true(x[rows]:equal(x:flip(1)))
    local cols = torch.arange(m - 1, -1, -1) + 1
    assert.is_true(x:index_select(2, cols):equal(x:flip(2)))
    assert.is_true(x:gather(2, cols:expand(n, m)):equal(x:flip(2)))
    assert.is_true(torch.zeros(n, m):scatter_add(1, rows:view(n, 1):expand(n, m), x):equal(x:flip(1)))
    assert.is_true(x[x:gt(10)]:equal(x:reshape(-1)[{ { 12, -1 } }]))
    local wrong = cols:expand(n, m):clone()
    wrong[{ n, m }] = m + 1
    near.refuses(function() x:gather(2, wrong) end,
      "index " .. m + 1 .. " is out of bounds for dimension 2 with size " .. m)
    local kept = x:clone()
    near.refuses(function() x:scatter_(2, wrong, x:clone()) end, "out of bounds")
    assert.is_true(x:equal(kept))
  end)
end)

describe("joining", function()
  it("passes over empty vectors and gives each input its gradient", function()
    local a, b = counted(2, 2):requires_grad_(), torch.zeros(0, { dtype = torch.float64 }):requires_grad_()
    local c = torch.ones(2, 1, { requires_grad = true })
    local y = torch.cat({ a, b, c }, 2)
    assert.equal(torch.float64, y.dtype)
    ;(y * counted(2, 3)):sum():backward()
    near.check({ { 1, 2 }, { 4, 5 } }, a.grad)
    near.check({ { 3 }, { 6 } }, c.grad)
    assert.equal(torch.float32, c.grad.dtype)
    near.check({ 0 }, table.move(b.grad.shape, 1, 1, 1, {}))
  end)

  it("takes long lists", function()
    local list = {}
    for k = 1, 500 do list[k] = torch.full({ 1 }, k) end
    local y = torch.cat(list)
    assert.equal(125250, y:sum():item())
    assert.equal(500, torch.stack(list):size(1))
    local parts = y:split(7)
    assert.equal(72, #parts)
    assert.equal(3, parts[72]:numel())
    assert.equal(500, #y:unbind())
    parts[1][1] = -1
    assert.equal(-1, y[1]:item())
  end)

  it("nonzero with as_tuple = false gives one tensor, however it is called", function()
    local mask = torch.tensor { true, false, true }
    for _, found in ipairs {
      torch.nonzero(mask, { as_tuple = false }), mask:nonzero { as_tuple = false },
      torch.nonzero { input = mask, as_tuple = false },
    } do
      assert.same({ { 1 }, { 3 } }, found:tolist())
    end
    local ok, why = pcall(torch.nonzero)
    assert.is_false(ok)
    assert.matches("nonzero%(%)", why)
  end)
end)
