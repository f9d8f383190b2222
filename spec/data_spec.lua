--- torch.utils.data: datasets, samplers, collation and loaders; orders are PyTorch's (spec/golden/nn.lua).
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local golden = dofile(here .. "/golden/nn.lua")
local data = torch.utils.data
local check, refuses = near.check, near.refuses

local function ten() return { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } end

-- TensorDataset with samples of its own.
local function class_of_tensors()
  local Noisy = data.TensorDataset:class("Noisy")
  function Noisy:get(i) return self.tensors[1][i] + 100 end
  return Noisy
end

local function batches(loader)
  local list = {}
  for batch in loader do list[#list + 1] = batch:tolist() end
  return list
end

describe("orders for a seed", function()
  it("of a shuffling loader are PyTorch's, epoch by epoch, and leave the generator where PyTorch leaves it", function()
    torch.manual_seed(5)
    local loader = data.DataLoader(ten(), { batch_size = 4, shuffle = true })
    assert.same(golden.orders.two_epochs, { batches(loader), batches(loader) })
    check(golden.orders.rand_after, torch.rand(2), 0)
    torch.manual_seed(5)
    local dropping = data.DataLoader(ten(), { batch_size = 4, shuffle = true, drop_last = true })
    assert.same(golden.orders.dropped, batches(dropping))
    assert.equal(2, #dropping)
  end)

  it("with a generator of its own", function()
    local generator = torch.Generator():manual_seed(9)
    assert.same(golden.orders.generator,
      batches(data.DataLoader(ten(), { batch_size = 4, shuffle = true, generator = generator })))
  end)

  it("of random_split and RandomSampler", function()
    torch.manual_seed(5)
    local parts = {}
    for i, part in ipairs(data.random_split(ten(), { 0.5, 0.3, 0.2 })) do parts[i] = part.indices end
    assert.same(golden.orders.split, parts)
    torch.manual_seed(5)
    local seven = { 1, 2, 3, 4, 5, 6, 7 }
    assert.same(golden.orders.replacement,
      data.RandomSampler(seven, { replacement = true, num_samples = 40 }):positions():tolist())
    torch.manual_seed(5)
    assert.same(golden.orders.longer, data.RandomSampler(seven, { num_samples = 17 }):positions():tolist())
  end)

  it("unshuffled loaders draw their one number too", function()
    torch.manual_seed(5)
    local first
    for x in data.DataLoader({ 1, 2, 3 }) do first = first or x:item() end
    check(golden.orders.unshuffled_rand, { first, torch.rand(1):item() }, 0)
  end)
end)

describe("TensorDataset", function()
  local x, y = torch.arange(12):reshape(6, 2), torch.arange(6)

  it("gives samples by position from 1", function()
    local set = data.TensorDataset(x, y)
    assert.equal(6, #set)
    assert.same({ 2, 3 }, set[2][1]:tolist())
    assert.equal(1, set[2][2]:item())
    assert.equal(5, set[-1][2]:item())
    assert.is_nil(set[7])
    local count = 0
    for i, sample in ipairs(set) do assert.equal(i - 1, sample[2]:item()); count = count + 1 end
    assert.equal(6, count)
    refuses(function() return set[0] end, "position 0: positions count from 1")
    refuses(function() return set[9] end, "index 9 is out of range")
  end)

  it("refuses tensors of different lengths and what is no tensor", function()
    refuses(function() data.TensorDataset(torch.zeros(2, 3), torch.zeros(3)) end, "Size mismatch between tensors",
      "[2, 3], [3]")
    refuses(function() data.TensorDataset(torch.zeros(2), 3) end, "argument 2 must be Tensor, not integer")
    refuses(function() data.TensorDataset() end, "at least one tensor")
  end)

  it("loads batches equal to stacked samples, that do not share memory with the data", function()
    local set = data.TensorDataset(x, y)
    local at = 1
    for bx, by in data.DataLoader(set, { batch_size = 4 }) do
      for i = 1, bx:size(1) do
        assert.is_true(bx[i]:equal(x[at]))
        assert.equal(at - 1, by[i]:item())
        at = at + 1
      end
      bx:zero_()
    end
    assert.equal(7, at)
    assert.equal(11, x[6][2]:item())
  end)
end)

describe("loops over a loader", function()
  local function loader()
    return data.DataLoader(data.TensorDataset(torch.arange(5), torch.arange(5)), { batch_size = 2 })
  end

  -- The first batch of a loader.
  local function first(l)
    for x in l do return x end -- luacheck: ignore 512
  end

  it("in every form", function()
    local l = loader()
    assert.equal(3, #l)
    local a, b, c, d = 0, 0, 0, 0
    for x, y in l do a = a + x:sum():item() + y:sum():item() end
    for x, y in l() do b = b + x:sum():item() + y:sum():item() end
    for x, y in l:iter() do c = c + x:sum():item() + y:sum():item() end
    for i, batch in pairs(l) do d = d + i * (batch[1]:sum():item() + batch[2]:sum():item()) end
    assert.same({ 20, 20, 20, 2 * (1 * 1 + 2 * 5 + 3 * 4) }, { a, b, c, d })
  end)

  it("are not ipairs, which would find nothing", function()
    refuses(function() for _ in ipairs(loader()) do end end, "'DataLoader' object is not subscriptable", -- luacheck: ignore
      "for batch in loader do")
    refuses(function() return loader()[1] end, "'DataLoader' object is not subscriptable")
  end)

  it("start anew after break, and iterators are independent", function()
    local l = loader()
    assert.same({ 0, 1 }, first(l):tolist())
    assert.same({ 0, 1 }, first(l):tolist())
    local n = 0
    for _ in l do
      for _ in l() do n = n + 1 end
    end
    assert.equal(9, n)
  end)

  it("give what collate_fn returns, as it returns it", function()
    local function count(samples) return #samples, samples end
    local l = data.DataLoader({ 1, 2, 3 }, { batch_size = 2, collate_fn = count })
    local sizes = {}
    for n, samples in l do sizes[#sizes + 1] = n * 10 + samples[1] end
    assert.same({ 21, 13 }, sizes)
  end)

  it("without batching, by batch_sampler, by sampler", function()
    local seen = {}
    for v in data.DataLoader(ten(), { batch_size = torch.none }) do seen[#seen + 1] = v end
    assert.same(ten(), seen)
    assert.same({ { 3, 1 }, { 2 } }, batches(data.DataLoader(ten(), { batch_sampler = { { 3, 1 }, { 2 } } })))
    assert.same({ { 5, 4 }, { 9 } }, batches(data.DataLoader(ten(), { batch_size = 2, sampler = { 5, 4, 9 } })))
    local sampler = data.BatchSampler(data.SequentialSampler(ten()), 4, true)
    assert.equal(2, #sampler)
    assert.same({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 } }, batches(data.DataLoader(ten(), { batch_sampler = sampler })))
  end)

  it("over a dataset class of one's own", function()
    local Squares = data.Dataset:class("Squares")
    function Squares:init(n) self.n = n end
    function Squares:get(i) return { torch.tensor(i), i * i } end
    function Squares:len() return self.n end
    local total = 0
    for x, square in data.DataLoader(Squares(5), { batch_size = 2 }) do total = total + (x * square):sum():item() end
    assert.equal(225, total)
    local subset = data.Subset(Squares(5), { 5, 2 })
    assert.equal(25, subset[1][2])
    local both = data.ConcatDataset { Squares(2), Squares(3) }
    assert.equal(5, #both)
    assert.equal(9, both[5][2])
    refuses(function() return data.Dataset:class("Bare")()[1] end, "should implement get(i) and len()")
  end)

  it("over a subset of a TensorDataset", function()
    local subset = data.Subset(data.TensorDataset(torch.arange(10, 20)), { 9, 1, 4 })
    assert.same({ { 18, 10 }, { 13 } }, batches(data.DataLoader(subset, { batch_size = 2 })))
  end)
end)

describe("default_collate", function()
  it("makes tensors of numbers, stacks tensors, goes into tables", function()
    local batch = data.default_collate { { a = 1, b = { 1.5, "x" }, c = true }, { a = 2, b = { 2.5, "y" }, c = false } }
    assert.equal(torch.int64, batch.a.dtype)
    assert.equal(torch.float64, batch.b[1].dtype)
    assert.same({ "x", "y" }, batch.b[2])
    assert.equal(torch.bool, batch.c.dtype)
    assert.same({ 2, 3 }, { table.unpack(data.default_collate({ torch.zeros(3), torch.ones(3) }).shape) })
  end)

  it("names the samples and the field that do not fit", function()
    local z = torch.zeros
    refuses(function() data.default_collate { z(2), z(2), z(3) } end,
      "stack expects each tensor to be equal size, but got [2] at entry 1 and [3] at entry 3", "collate_fn")
    refuses(function() data.default_collate { { z(2), z(1) }, { z(2), z(4) } } end, "at entry 2", "in field 2")
    refuses(function() data.default_collate { { image = z(2) }, { image = z(5) } } end, "in field image")
    refuses(function() data.default_collate { { image = z(2) }, {} } end, "sample 2", "no field image")
    refuses(function() data.default_collate { { 1 }, { 1, 2 } } end, "each element in list of batch should be of equal "
      .. "size", "sample 1 has 1 and sample 2 has 2")
    refuses(function() data.default_collate { z(1), 3 } end, "expected Tensor as sample 2", "got integer")
    refuses(function() data.default_collate { print } end, "found function")
    refuses(function() data.default_collate {} end, "an empty table")
  end)
end)

describe("wrong settings are refused", function()
  it("by DataLoader", function()
    refuses(function() data.DataLoader(ten(), { batch_size = 0 }) end,
      "batch_size should be a positive integer value, but got batch_size=0")
    refuses(function() data.DataLoader(ten(), { batch_size = 1.5 }) end, "must be an integer")
    refuses(function() data.DataLoader(ten(), { shuffle = true, sampler = { 1 } }) end,
      "sampler option is mutually exclusive with shuffle")
    refuses(function() data.DataLoader(ten(), { batch_sampler = { { 1 } }, batch_size = 3 }) end,
      "batch_sampler option is mutually exclusive")
    refuses(function() data.DataLoader({}, { shuffle = true }) end,
      "num_samples should be a positive integer value, but got num_samples=0", "empty")
    refuses(function() data.DataLoader(3) end, "must be a dataset, not integer")
    refuses(function() data.DataLoader(ten(), { bacth_size = 3 }) end, "unexpected keyword argument 'bacth_size'")
    refuses(function() data.DataLoader(ten(), { sampler = { 11 } })()() end, "no sample 11")
  end)

  it("by random_split", function()
    refuses(function() data.random_split(ten(), { 3, 3 }) end,
      "Sum of input lengths does not equal the length of the input dataset!", "6", "10")
    refuses(function() data.random_split(ten(), { 0.3, -0.3, 1.0 }) end, "Fraction at index 2 is not between 0 and 1")
    refuses(function() data.random_split(ten(), { 12, -2 }) end, "length 2 is no size")
  end)
end)

describe("streams, stacks and chains", function()
  local Count = data.IterableDataset:class("Count")
  function Count:init(first, last, counted) self.first, self.last, self.len = first, last, counted end
  function Count:iter()
    local i = self.first - 1
    return function()
      i = i + 1
      if i <= self.last then return i end
    end
  end

  it("a stream is loaded in its own order, epoch after epoch", function()
    local l = data.DataLoader(Count(1, 5), { batch_size = 2 })
    assert.same({ { 1, 2 }, { 3, 4 }, { 5 } }, batches(l))
    assert.same({ { 1, 2 }, { 3, 4 }, { 5 } }, batches(l))
    assert.same({ { 1, 2 }, { 3, 4 } }, batches(data.DataLoader(Count(1, 5), { batch_size = 2, drop_last = true })))
    local seen = {}
    for v in data.DataLoader(Count(1, 3), { batch_size = torch.none }) do seen[#seen + 1] = v end
    assert.same({ 1, 2, 3 }, seen)
    local sum = 0
    for v in Count(1, 4)() do sum = sum + v end
    assert.equal(10, sum)
  end)

  it("several values from an iterator are one sample", function()
    local Pairs = data.IterableDataset:class("Pairs")
    function Pairs:iter()
      return coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i, i * i) end end)
    end
    local seen = {}
    for a, b in data.DataLoader(Pairs(), { batch_size = 2 }) do seen[#seen + 1] = { a:tolist(), b:tolist() } end
    assert.same({ { { 1, 2 }, { 1, 4 } }, { { 3 }, { 9 } } }, seen)
  end)

  it("a stream has a length only when it says so, and is warned about when it lied", function()
    refuses(function() return #data.DataLoader(Count(1, 5)) end, "object of type 'Count' has no len()")
    local l = data.DataLoader(Count(1, 5, function() return 3 end), { batch_size = 1 })
    assert.equal(3, #l)
    local said = warnings_of(function() batches(l) end)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("Length of IterableDataset Count was reported to be 3", 1, true))
    refuses(function() data.DataLoader(Count(1, 2), { shuffle = true }) end,
      "DataLoader with IterableDataset: expected unspecified shuffle option, but got shuffle=True")
    refuses(function() data.DataLoader(Count(1, 2), { sampler = { 1 } }) end, "expected unspecified sampler option")
    refuses(function() data.DataLoader(Count(1, 2), { batch_sampler = { { 1 } } }) end,
      "expected unspecified batch_sampler option")
    refuses(function() return Count(1, 2)[1] end, "has no samples by position")
    refuses(function() data.DataLoader(data.IterableDataset:class("Bare")())()() end, "should implement iter()")
  end)

  it("ChainDataset gives one stream after the other", function()
    local len = function(self) return self.last - self.first + 1 end
    local chain = data.ChainDataset { Count(1, 2, len), Count(1, 0, len), Count(7, 9, len) }
    local seen = {}
    for v in chain:iter() do seen[#seen + 1] = v end
    assert.same({ 1, 2, 7, 8, 9 }, seen)
    assert.equal(5, #chain)
    assert.same({ { 1, 2, 7 }, { 8, 9 } }, batches(data.DataLoader(chain, { batch_size = 3 })))
    refuses(function() data.ChainDataset({ ten() }):iter() end, "only supports IterableDataset", "dataset 1")
  end)

  it("StackDataset puts samples side by side, by position or by name", function()
    local x = torch.arange(8):reshape(4, 2)
    local stack = data.StackDataset(x, { 5, 6, 7, 8 })
    assert.equal(4, #stack)
    assert.same({ 2, 3 }, stack[2][1]:tolist())
    assert.equal(6, stack[2][2])
    local named = data.StackDataset { image = x, label = data.Subset({ 9, 8, 7, 6 }, { 4, 3, 2, 1 }) }
    assert.equal(6, named[1].label)
    local batch = data.DataLoader(named, { batch_size = 3 })()()
    assert.same({ 6, 7, 8 }, batch.label:tolist())
    assert.same({ { 0, 1 }, { 2, 3 }, { 4, 5 } }, batch.image:tolist())
    refuses(function() data.StackDataset({ 1 }, { 1, 2 }) end, "Size mismatch between datasets")
    refuses(function() data.StackDataset() end, "At least one dataset should be passed")
    refuses(function() data.StackDataset(3) end, "expected a dataset")
  end)

  it("ConcatDataset finds every sample and refuses streams", function()
    local both = data.ConcatDataset { { 1, 2 }, {}, { 3 }, torch.tensor { 4, 5 } }
    local seen = {}
    for i = 1, #both do seen[i] = torch.is_tensor(both[i]) and both[i]:item() or both[i] end
    assert.same({ 1, 2, 3, 4, 5 }, seen)
    assert.equal(5, both[-1]:item())
    assert.same({ 2, 2, 3, 5 }, both.cumulative_sizes)
    refuses(function() data.ConcatDataset { ten(), Count(1, 2) } end, "does not support IterableDataset", "dataset 2")
    refuses(function() data.ConcatDataset {} end, "should not be an empty iterable")
  end)

  it("a class that defines get anew does not inherit its parent's batches", function()
    local Noisy = class_of_tensors()
    local l = data.DataLoader(Noisy(torch.arange(4)), { batch_size = 2 })
    local seen = {}
    for x in l do seen[#seen + 1] = x:tolist() end
    assert.same({ { 100, 101 }, { 102, 103 } }, seen)
  end)
end)

describe("samplers", function()
  local orders = dofile(here .. "/golden/data.lua").orders
  local generator = torch.Generator()

  it("with a generator of their own leave it where PyTorch leaves it", function()
    for _, n in ipairs { 8, 10 } do
      generator:manual_seed(3)
      local list = {}
      for i = 1, n do list[i] = i end
      local l = data.DataLoader(list, { batch_size = 4, shuffle = true, generator = generator })
      assert.same(orders["own_generator_" .. n], { batches(l), batches(l) })
    end
    generator:manual_seed(3)
    local nine = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }
    local l = data.DataLoader(nine, { batch_size = 2, drop_last = true,
      sampler = data.RandomSampler(nine, { num_samples = 20, generator = generator }) })
    assert.same(orders.longer, { batches(l), batches(l) })
  end)

  it("by subset and weight, and random_split, draw as PyTorch", function()
    generator:manual_seed(4)
    -- The golden subset holds positions as they are, PyTorch's and ours.
    assert.same(orders.subset, data.SubsetRandomSampler({ 2, 4, 6, 8 }, { generator = generator }):positions():tolist())
    local weights = { 0.1, 0.9, 0.4, 0.7 }
    assert.same(orders.weighted, data.WeightedRandomSampler(weights, 9, { generator = generator }):positions():tolist())
    assert.same(orders.weighted_once,
      data.WeightedRandomSampler(weights, 3, false, { generator = generator }):positions():tolist())
    local parts = data.random_split(ten(), { 3, 7 }, { generator = generator })
    assert.same(orders.split, { parts[1].indices, parts[2].indices })
  end)

  it("of one's own: an array, positions(), iter(), a function", function()
    local Odd = data.Sampler:class("Odd")
    function Odd:positions() return { 1, 3, 5 } end
    function Odd:len() return 3 end
    local Lazy = data.Sampler:class("Lazy")
    function Lazy:iter()
      local i = 0
      return function() i = i + 2 if i <= 6 then return i end end
    end
    function Lazy:len() return 3 end
    assert.same({ { 1, 3 }, { 5 } }, batches(data.DataLoader(ten(), { batch_size = 2, sampler = Odd() })))
    assert.same({ { 2, 4 }, { 6 } }, batches(data.DataLoader(ten(), { batch_size = 2, sampler = Lazy() })))
    assert.equal(2, #data.DataLoader(ten(), { batch_size = 2, sampler = Lazy() }))
    assert.same({ { 2, 4 }, { 6 } }, batches(data.DataLoader(ten(), { batch_sampler = data.BatchSampler(Lazy(), 2) })))
    local function counter()
      local i = 0
      return function() i = i + 1 if i < 4 then return i end end
    end
    assert.same({ { 1, 2, 3 } }, batches(data.DataLoader(ten(), { batch_size = 3, sampler = counter })))
    refuses(function() return #data.DataLoader(ten(), { sampler = counter }) end, "has no len()")
    local seen = {}
    for p in Odd() () do seen[#seen + 1] = p end
    for i, p in pairs(Lazy()) do seen[#seen + 1] = i * 10 + p end
    assert.same({ 1, 3, 5, 12, 24, 36 }, seen)
    -- A sampler of one's own may pass on what another gives.
    local Twice = data.Sampler:class("Twice")
    function Twice:init(inner) self.inner = inner end
    function Twice:iter()
      local following = self.inner:iter()
      return function()
        local i = following()
        return i and 2 * i
      end
    end
    for _, inner in ipairs { data.SequentialSampler { 0, 0, 0 }, Odd(), Lazy() } do
      local given, doubled = {}, {}
      for p in inner:iter() do given[#given + 1] = 2 * p end
      for p in Twice(inner):iter() do doubled[#doubled + 1] = p end
      assert.equal(3, #given)
      assert.same(given, doubled)
    end
    assert.same({ { 2, 4 }, { 6 } },
      batches(data.DataLoader(ten(), { batch_size = 2, sampler = Twice(data.SequentialSampler { 0, 0, 0 }) })))
    -- An object that is no Sampler will do, by either name.
    local function falling()
      local i = 4
      return function()
        i = i - 1
        return i > 0 and i or nil
      end
    end
    for _, object in ipairs { { iter = falling }, setmetatable({}, { __index = { __iter__ = falling } }),
      setmetatable({}, { __index = { iter = falling }, __len = function() return 3 end }) } do
      assert.same({ { 3, 2 }, { 1 } }, batches(data.DataLoader(ten(), { batch_size = 2, sampler = object })))
    end
    refuses(function() data.DataLoader(ten(), { sampler = 3 })()() end, "expected a Sampler or an array of positions")
    refuses(function() data.Sampler:class("Bare")():positions() end, "should implement positions()")
  end)
end)

describe("a loader's other settings", function()
  it("are PyTorch's, and wrong ones are refused in its words", function()
    refuses(function() data.DataLoader(ten(), { num_workers = -1 }) end, "num_workers option should be non-negative")
    refuses(function() data.DataLoader(ten(), { timeout = -1 }) end, "timeout option should be non-negative")
    refuses(function() data.DataLoader(ten(), { prefetch_factor = 2 }) end,
      "prefetch_factor option could only be specified in multiprocessing")
    refuses(function() data.DataLoader(ten(), { num_workers = 1, prefetch_factor = 0 }) end, "prefetch_factor")
    refuses(function() data.DataLoader(ten(), { persistent_workers = true }) end,
      "persistent_workers option needs num_workers > 0")
    refuses(function() data.DataLoader(ten(), { batch_size = torch.none, drop_last = true }) end,
      "batch_size=None option disables auto-batching")
    refuses(function() data.DataLoader("no.such.module") end, "names no module that loads")
    local l = data.DataLoader(ten(), { batch_size = 5, pin_memory = true, pin_memory_device = "cuda", in_order = true,
      multiprocessing_context = "spawn" })
    assert.equal(2, #l)
  end)

  it("a function makes the dataset", function()
    assert.same({ { 1, 2 } }, batches(data.DataLoader(function() return { 1, 2 } end, { batch_size = 2 })))
  end)

  it("warns of a last batch of one sample, from which batch norm cannot train", function()
    local said = warnings_of(function()
      for _, options in ipairs { { batch_size = 3, shuffle = true }, { batch_size = 3 },
        { batch_size = 1, shuffle = true }, { batch_size = 3, shuffle = true, drop_last = true },
        { batch_size = 4, shuffle = true } } do
        local l = data.DataLoader(ten(), options)
        batches(l)
        batches(l)
      end
    end)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("1 sample (10 samples in batches of 3)", 1, true))
    assert.is_truthy(said[1]:find("drop_last = true", 1, true))
  end)

  it("default_convert keeps single samples as they are", function()
    local x = torch.ones(2)
    local y = data.default_convert { a = x, b = { 1, "s" } }
    assert.is_true(rawequal(x, y.a))
    assert.same({ 1, "s" }, y.b)
    assert.equal(3, data.default_convert(3))
  end)
end)
