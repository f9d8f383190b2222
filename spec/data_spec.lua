--- torch.utils.data: datasets, samplers, collation and loaders; orders are PyTorch's (spec/golden/nn.lua).
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local golden = dofile(here .. "/golden/nn.lua")
local data = torch.utils.data
local check, refuses = near.check, near.refuses

local function ten() return { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } end

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
      "stack expects each tensor to be equal size, but got [2] at sample 1 and [3] at sample 3", "collate_fn")
    refuses(function() data.default_collate { { z(2), z(1) }, { z(2), z(4) } } end, "at sample 2", "in field 2")
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
