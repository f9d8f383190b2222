--- Indexing, joining, sorting, embedding and creation on a GPU at sizes where kernels take more than one block, tile or
-- pass, against the same calls on the CPU; and faults: bad positions that a kernel meets.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"

if gpu.missing(describe, it, "CUDA indexing") then return end

local ALL = {
  torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
  torch.uint8, torch.bool,
}
local FLOATS = { torch.float64, torch.float32, torch.float16, torch.bfloat16 }

--- Numbers of a dtype, with repeated ones, NaN, infinities and zeros of both signs among floats.
local function numbers(dtype, ...)
  local t = torch.randint(-40, 40, { ... })
  if not dtype.is_floating_point then return t:to(dtype) end
  t = t:to(torch.float64):mul(0.37)
  local flat = t:view(-1)
  for k, special in ipairs { 0 / 0, math.huge, -math.huge, -0.0, 0.0, 0 / 0 } do
    if flat:size(1) > 20 * k then flat[{ { 7 * k, -1, 97 } }] = special end
  end
  return t:to(dtype)
end
local function positions(count, ...) return torch.randint(1, count + 1, { ... }) end

local function there(t) return torch.is_tensor(t) and t:cuda() or t end

--- The results of f with tensors on both devices agree; bound nil: in every bit but those of NaN.
local function agree(what, bound, f, ...)
  local given, moved = table.pack(...), {}
  for k = 1, given.n do moved[k] = there(given[k]) end
  local wanted, got = table.pack(f(table.unpack(given, 1, given.n))), table.pack(f(table.unpack(moved, 1, given.n)))
  assert.equal(wanted.n, got.n, what)
  for k = 1, wanted.n do
    assert.is_true(got[k].is_cuda, what .. ": result " .. k .. " is not on the device")
    local a, b = wanted[k], got[k]:cpu()
    assert.equal(tostring(a:size()), tostring(b:size()), what)
    assert.equal(a.dtype, b.dtype, what)
    local same = bound and torch.allclose(a:double(), b:double(), bound, bound, true)
      or torch.equal(torch.nan_to_num(a:double(), 12345), torch.nan_to_num(b:double(), 12345))
    assert.is_true(same, ("%s in %s: result %d differs"):format(what, tostring(a.dtype), k))
  end
end

describe("CUDA indexing", function()
  before_each(function() torch.manual_seed(5) end)
  after_each(function() torch.use_deterministic_algorithms(false) end)

  it("reads elements and rows of every width", function()
    for _, dtype in ipairs(ALL) do
      local x = numbers(dtype, 70, 33)
      agree("gather", nil, torch.gather, x, 1, positions(70, 90, 33))
      agree("gather d2", nil, torch.gather, x, 2, positions(33, 70, 5):int())
      agree("index_select", nil, torch.index_select, x, 1, positions(70, 300))
      agree("columns", nil, torch.index_select, x, 2, positions(33, 50))
      agree("a transposed table", nil, function(t, i) return t:t():index_select(1, i) end, x, positions(33, 20))
      agree("two indices", nil, function(t, i, j) return t[{ i, j }] end, x, positions(70, 40), positions(33, 3, 40))
      agree("take", nil, torch.take, x, positions(70 * 33, 11, 13))
      agree("negative positions", nil, function(t, i) return t[i] end, x, -positions(70, 9))
      for _, width in ipairs { 1, 4, 8, 12, 16 } do -- pieces of 1 to 16 bytes, some of which begin between two
        agree("rows of " .. width, nil, function(t, i) return t:narrow(2, 2, width)[i] end, x, positions(70, 65))
      end
    end
  end)

  it("writes elements and rows", function()
    for _, dtype in ipairs(ALL) do
      local x, row = numbers(dtype, 50, 40), torch.randperm(50)[{ { 1, 30 } }]
      agree("scatter", nil, torch.scatter, x, 1, row:unsqueeze(2):expand(30, 40), numbers(dtype, 30, 40))
      agree("scatter of a number", nil, torch.scatter, x, 1, row:unsqueeze(2):expand(30, 40), 3)
      agree("index_copy", nil, torch.index_copy, x, 1, row, numbers(dtype, 30, 40))
      agree("index_fill", nil, torch.index_fill, x, 1, row, 2)
      agree("index_fill by a tensor", nil, torch.index_fill, x, 1, row, torch.tensor(2):to(dtype))
      agree("put", nil, torch.put, x, torch.randperm(2000)[{ { 1, 700 } }], numbers(dtype, 700))
      agree("assignment by a mask", nil, function(t, mask) t = t:clone(); t[mask] = 1; return t end,
        x, numbers(torch.float32, 50, 40):gt(0))
    end
  end)

  it("adds, multiplies and compares where positions repeat", function()
    for _, dtype in ipairs(ALL) do
      local bound = dtype.is_floating_point and (dtype.itemsize == 2 and 0.1 or 1e-5) or nil
      local source = torch.randint(0, 3, { 900, 7 }):to(dtype)
      local x, at = torch.randint(0, 3, { 11, 7 }):to(dtype), positions(11, 900, 7)
      agree("scatter_add", bound, torch.scatter_add, x, 1, at, source)
      agree("index_add", bound, torch.index_add, x, 1, positions(11, 900), source)
      agree("index_add with alpha", bound, torch.index_add, x, 1, positions(11, 900), source, { alpha = 2 })
      agree("accumulate", bound, function(t, i, v) return t:index_put({ i }, v, true) end,
        x, positions(11, 900), source)
      if dtype ~= torch.bool then
        for _, how in ipairs { "prod", "amax", "amin", "mean" } do
          local few = how == "prod" and source[{ { 1, 60 } }] or source
          agree(how, bound, torch.scatter_reduce, x, 1, at[{ { 1, few:size(1) } }], few, how)
          agree(how .. " of src alone", bound, torch.scatter_reduce, x, 1, at[{ { 1, few:size(1) } }], few, how,
            { include_self = false })
        end
      end
    end
  end)

  it("does it in order under use_deterministic_algorithms, so that the bits are the CPU's", function()
    torch.use_deterministic_algorithms(true)
    for _, dtype in ipairs(FLOATS) do
      local x, source = torch.randn(13, 9):to(dtype), torch.randn(500, 9):to(dtype)
      local rows, each = positions(13, 500), positions(13, 500, 9)
      agree("scatter_add", nil, torch.scatter_add, x, 1, each, source)
      agree("index_add", nil, torch.index_add, x, 1, rows, source)
      agree("index_add d2", nil, torch.index_add, x:t():contiguous(), 2, rows, source:t())
      agree("the last write stays", nil, torch.scatter, x, 1, each, source)
      agree("the last row stays", nil, torch.index_copy, x, 1, rows, source)
      agree("accumulate", nil, function(t, i, j, v) return t:index_put({ i, j }, v, true) end,
        x, rows, each:select(2, 1):remainder(9):add(1), source:select(2, 1))
    end
    agree("the last integer stays", nil, torch.scatter, numbers(torch.int16, 40), 1, positions(40, 2000),
      numbers(torch.int16, 2000))
  end)

  it("finds elements that are not zero", function()
    for _, dtype in ipairs { torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.int16, torch.bool } do
      local x = torch.randint(-1, 2, { 3, 41, 83 }):to(dtype)
      agree("nonzero", nil, torch.nonzero, x)
      agree("nonzero of a view", nil, torch.nonzero, x:transpose(1, 3))
      agree("masked_select", nil, torch.masked_select, numbers(dtype, 3, 41, 83), x:bool())
      agree("masked_scatter", nil, torch.masked_scatter, numbers(dtype, 3, 41, 83), x:bool(), numbers(dtype, 10300))
      agree("masked_fill", nil, torch.masked_fill, x, x:bool(), 2)
      agree("all", nil, torch.nonzero, torch.ones(2048):to(dtype))
      agree("none", nil, torch.nonzero, torch.zeros(2049):to(dtype))
    end
    agree("minus zero", nil, torch.nonzero, torch.tensor { -0.0, 0 / 0, 0.0, 1 })
  end)

  it("sums parts that lie on one another into a gradient", function()
    local function gradient(t)
      t = t:clone():requires_grad_()
      local part = t:as_strided({ 60, 20 }, { 3, 1 }, 2)
      return torch.autograd.grad((part * part:detach()):sum(), t)
    end
    agree("as_strided", 1e-6, gradient, torch.randn(300))
    torch.use_deterministic_algorithms(true)
    agree("as_strided in order", nil, gradient, torch.randn(300))
    agree("select_scatter", nil, function(t, v) return t:select_scatter(v, 2, 5) end, torch.randn(20, 30),
      torch.randn(20))
    agree("as_strided_scatter", nil, function(t, v) return t:as_strided_scatter(v, { 10, 4 }, { 40, 3 }, 7) end,
      torch.randn(20, 30), torch.randn(10, 4))
  end)
end)

describe("CUDA sorting", function()
  before_each(function() torch.manual_seed(6) end)

  it("sorts lines of every length", function()
    local some = { torch.float32, torch.bfloat16, torch.int8 }
    local lines = { [1] = some, [2] = some, [31] = ALL, [700] = ALL, [2048] = { torch.float64, torch.int32 } }
    for n, dtypes in pairs(lines) do
      for _, dtype in ipairs(dtypes) do
        local x = numbers(dtype, n < 100 and 40 or 2, n)
        agree("sort " .. n, nil, torch.sort, x)
        agree("descending " .. n, nil, torch.sort, x, 2, true)
      end
    end
    for n, dtype in pairs { [2049] = torch.float16, [4097] = torch.float64, [8200] = torch.int16 } do -- tiles
      agree("sort " .. n, nil, torch.sort, numbers(dtype, 2, n), 2, n == 8200)
    end
    agree("along another dim", nil, torch.sort, numbers(torch.float32, 4, 100, 6), 2)
    agree("a long one", nil, torch.sort, numbers(torch.int8, 1, 2100, 2), 2, true)
    agree("wide integers", nil, torch.sort, torch.randint(-(1 << 62), 1 << 62, { 3000 }))
    agree("strided", nil, torch.sort, numbers(torch.float64, 90, 8):t())
  end)

  it("finds the first of long lines", function()
    for _, dtype in ipairs { torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.int8 } do
      local x = numbers(dtype, 2, 3000)
      agree("topk 1", nil, torch.topk, x, 1)
      agree("least 100", nil, torch.topk, x, 100, 2, false)
    end
    agree("topk 1024", nil, torch.topk, numbers(torch.float32, 2500), 1024)
    agree("topk 1025", nil, torch.topk, numbers(torch.int8, 2500), 1025)
    agree("topk along the first dim", nil, torch.topk, numbers(torch.float32, 2500, 3), 7, 1)
  end)

  it("picks one element of a line", function()
    for _, n in ipairs { 1, 40, 900 } do
      for _, dtype in ipairs { torch.float32, torch.float16, torch.int64, torch.uint8 } do
        local x = numbers(dtype, 3, n)
        agree("kthvalue", nil, torch.kthvalue, x, (n + 2) // 3)
        agree("median", nil, torch.median, x, 2)
        agree("nanmedian", nil, torch.nanmedian, x, 2)
        agree("mode", nil, torch.mode, x, 2)
        agree("median of all", nil, torch.median, x)
      end
    end
    agree("median of none", nil, torch.median, torch.zeros(0))
  end)

  it("searches, and finds what is unique", function()
    for _, dtype in ipairs { torch.float32, torch.float16, torch.int64 } do
      local lines = torch.sort(torch.nan_to_num(numbers(dtype, 4, 500):double(), 1):to(dtype))
      local x = numbers(dtype, 4, 700)
      agree("searchsorted", nil, torch.searchsorted, lines, x)
      agree("right", nil, torch.searchsorted, lines, x, { right = true, out_int32 = true })
      agree("bucketize", nil, torch.bucketize, x, lines[1])
      local mixed = lines[1][torch.randperm(500)]
      agree("sorter", nil, function(t, v, o) return torch.searchsorted(t, v, { sorter = o }) end, mixed, x[1],
        torch.argsort(mixed))
    end
    agree("unique", nil, function(t) return t:unique(true, true, true) end, numbers(torch.int32, 1500))
    agree("unique rows", nil, function(t) return t:unique(true, true, true, 1) end, torch.randint(0, 3, { 700, 4 }))
    agree("unique columns", nil, function(t) return t:unique(true, true, true, 2) end, torch.randint(0, 2, { 3, 90 }))
  end)
end)

describe("CUDA embedding", function()
  before_each(function() torch.manual_seed(7) end)
  after_each(function() torch.use_deterministic_algorithms(false) end)
  local F = torch.nn.functional

  it("takes rows and gives their gradients", function()
    for _, dtype in ipairs(FLOATS) do
      local weight, at = torch.randn(37, 24):to(dtype), positions(37, 40, 9)
      local bound = dtype.itemsize == 2 and 0.1 or 1e-5
      agree("embedding", nil, function(w, i) return F.embedding(i, w) end, weight, at)
      local function gradient(w, i)
        w = w:clone():requires_grad_()
        local out = F.embedding(i, w, { padding_idx = 3, scale_grad_by_freq = true })
        return torch.autograd.grad((out * out:detach()):sum(), w)
      end
      agree("gradient", bound, gradient, weight, at)
      torch.use_deterministic_algorithms(true)
      agree("gradient in order", nil, gradient, weight, at)
      torch.use_deterministic_algorithms(false)
      for _, p in ipairs { 0.5, 1, 2, 3, math.huge } do
        agree("max_norm " .. p, bound, function(w, i)
          w = w:clone()
          F.embedding(i, w, { max_norm = 1.5, norm_type = p })
          return w
        end, weight, at)
      end
      for _, mode in ipairs { "sum", "mean", "max" } do
        agree(mode, bound, function(w, i) return F.embedding_bag(i, w, { mode = mode }) end, weight, at)
      end
    end
  end)
end)

describe("CUDA creation", function()
  local function created(name, ...)
    local given = table.pack(...)
    local options = type(given[given.n]) == "table" and given[given.n] or nil
    local n = options and given.n - 1 or given.n
    local args, moved = table.move(given, 1, n, 1, {}), table.move(given, 1, n, 1, {})
    args[n + 1], moved[n + 1] = { device = "cpu" }, { device = "cuda" }
    for key, value in pairs(options or {}) do args[n + 1][key], moved[n + 1][key] = value, value end
    local a, b = torch[name](table.unpack(args)), torch[name](table.unpack(moved))
    assert.is_true(b.is_cuda, name)
    assert.equal(a.dtype, b.dtype)
    assert.equal(tostring(a:size()), tostring(b:size()), name)
    local bound = (name == "logspace" or name:find("window$")) and 1e-6 or 0 -- of elementary functions, each its own
    assert.is_true(torch.allclose(a:double(), b:cpu():double(), bound, bound), name .. " in " .. tostring(a.dtype))
  end

  it("makes the CPU's numbers", function()
    for _, dtype in ipairs(ALL) do
      if dtype ~= torch.bool then
        created("arange", -3, 600, 7, { dtype = dtype })
        created("linspace", 2, 97, 333, { dtype = dtype })
        created("logspace", 0, 2, 40, { dtype = dtype })
      end
      created("eye", 20, 33, { dtype = dtype })
    end
    created("arange", 0.5, 90, 0.37)
    created("linspace", 1, 1, 1)
    for _, offset in ipairs { -70, -5, 0, 4, 99 } do
      created("tril_indices", 40, 30, offset)
      created("triu_indices", 30, 40, offset, { dtype = torch.int32 })
    end
    created("kaiser_window", 50)
    created("hann_window", 50)
  end)

  it("turns, joins and clears", function()
    for _, dtype in ipairs(ALL) do
      local x = numbers(dtype, 30, 20, 10)
      agree("flip", nil, torch.flip, x, { 1, 3 })
      agree("roll", nil, torch.roll, x, { 3, -2 }, { 1, 2 })
      agree("cat", nil, function(a, b) return torch.cat({ a, b, a }, 2) end, x, x:narrow(2, 1, 5))
      for _, diagonal in ipairs { -25, -3, 0, 8, 40 } do
        agree("tril", nil, torch.tril, x:transpose(1, 3), diagonal)
        agree("triu", nil, torch.triu, x, diagonal)
      end
      for _, shape in ipairs { { 29, 5 }, { 5, 29 }, { 24, 5 }, { 25, 5 }, { 6, 6 } } do
        for _, wrap in ipairs { true, false } do
          agree("fill_diagonal", nil, function(t) return t:clone():fill_diagonal_(1, wrap) end,
            numbers(dtype, shape[1], shape[2]))
        end
      end
    end
    local repeats = torch.randint(0, 5, { 90 })
    agree("repeat_interleave", nil, torch.repeat_interleave, numbers(torch.float32, 90, 4), repeats, 1)
    agree("repeated positions", nil, torch.repeat_interleave, repeats)
    assert.has_error(function() torch.repeat_interleave(torch.tensor({ 2, -1 }):cuda()) end)
    for _, p in ipairs { 0, 1, 2, 3.5, math.huge } do
      agree("cdist " .. p, 1e-6, torch.cdist, torch.randn(2, 7, 70), torch.randn(2, 9, 70), p,
        { compute_mode = "donot_use_mm_for_euclid_dist" })
    end
    for _, dtype in ipairs(FLOATS) do agree("frexp", nil, torch.frexp, numbers(dtype, 400)) end
  end)
end)

describe("CUDA faults", function()
  --- What the next call that waits says of a bad position in f(); everything works afterwards.
  local function met(value, limit, operator, f)
    local line = debug.getinfo(f, "S").linedefined
    local ok, why = pcall(function() f() torch.cuda.synchronize() end)
    assert.is_false(ok, operator)
    local place = operator .. "() at spec/cuda_index_spec.lua:" .. line .. " "
    for _, part in ipairs { tostring(value), limit, place } do
      assert.is_truthy(why:find(part, 1, true), ("no '%s' in: %s"):format(part, why))
    end
    torch.cuda.synchronize()
    assert.same({ 2, 4 }, torch.tensor({ 1, 2 }):cuda():mul(2):cpu():tolist())
  end
  local x = torch.arange(1, 13):float():view(4, 3):cuda()
  local bad, row = torch.tensor({ 1, 99, 2 }):cuda(), torch.tensor({ { 1, 99, 2 } }):cuda()

  it("are told at the next waiting call, with value, limit, operator and line", function()
    met(99, "size 4", "gather", function() x:gather(1, row) end)
    met(99, "size 4", "scatter", function() x:scatter(1, row, 5) end)
    met(99, "size 4", "scatter_add", function() x:scatter_add(1, row, x) end)
    met(99, "size 4", "scatter_reduce", function() x:scatter_reduce(1, row, x, "amax") end)
    met("index out of range in self: index 99", "size 4", "index_select", function() x:index_select(1, bad) end)
    met(99, "size 3", "index_add", function() x:index_add(2, bad, x) end)
    met(99, "size 3", "index_copy", function() x:index_copy(2, bad, x) end)
    met(99, "size 3", "index_fill", function() x:index_fill(2, bad, 0) end)
    met(99, "size 4", "index_at", function() return x[bad] end)
    met(99, "12 elements", "take", function() x:take(bad) end)
    met(99, "12 elements", "put", function() x:put(bad, bad:float()) end)
    met(-5, "size 4", "index_put", function() x:index_put({ torch.tensor({ -5 }):cuda() }, x[1]) end)
    local embedding = torch.nn.functional.embedding
    for _, given in ipairs { bad, bad:int() } do
      met("index out of range in self: element 2 of the indices [3] is 99", "3 rows", "embedding",
        function() embedding(given, x[{ { 1, 3 } }]) end)
    end
    local apart = torch.tensor({ { 1, 2, 1 }, { 3, 2, 0 } }):cuda():t() -- counted in rows, not as it lies
    met("element 6 of the indices [3, 2] is 0", "indices + 1", "embedding", function() embedding(apart, x) end)
    met("element 2 of the indices [3] is 99", "4 rows", "embedding",
      function() embedding(bad, x:clone(), nil, 1) end)
    met(99, "size 3", "searchsorted", function() torch.searchsorted(bad:float(), x, { sorter = bad }) end)
    met(99, "12 elements", "unravel_index", function() torch.unravel_index(bad, { 4, 3 }) end)
    met(0, "size 4", "index_select", function() x:index_select(1, torch.zeros(1):long():cuda()) end)
  end)

  it("leave out the element and touch nothing else", function()
    for _, ordered in ipairs { false, true } do
      torch.use_deterministic_algorithms(ordered)
      local whole = torch.zeros(6, 3):cuda()
      local inner = whole[{ { 2, 5 } }] -- positions outside of it lie inside of the memory
      local added, copied = torch.tensor({ 1, 0, 5, 4 }):cuda(), torch.tensor({ 3, -1, 6, 99 }):cuda()
      local rows = torch.ones(4, 3):cuda()
      inner:index_add_(1, added, rows)
      inner:index_copy_(1, copied, rows * 2)
      assert.is_false((pcall(torch.cuda.synchronize)))
      assert.same({ 0, 1, 0, 2, 1, 0 }, whole:select(2, 1):cpu():tolist())
    end
    torch.use_deterministic_algorithms(false)
    local read = x:index_select(1, bad)
    assert.is_false((pcall(torch.cuda.synchronize)))
    assert.same({ { 1, 2, 3 }, { 0, 0, 0 }, { 4, 5, 6 } }, read:cpu():tolist())
  end)

  it("come back from a gradient", function()
    local w = x:clone():requires_grad_()
    local out = w:index_select(1, bad)
    assert.is_false((pcall(torch.cuda.synchronize)))
    out:sum():backward()
    assert.is_false((pcall(torch.cuda.synchronize)))
    assert.same({ 1, 1, 0, 0 }, w.grad:select(2, 1):cpu():tolist())
  end)
end)
