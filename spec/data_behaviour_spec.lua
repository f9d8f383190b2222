--- Behaviour of torch.utils.data that PyTorch's documentation and test suite show: datasets that are added, indexed by
-- ranges, or written with Python's method names; loops over samplers; what a loader shows of itself; what is refused.
-- Expectations are PyTorch's, positions counted from 1.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local nn, data = torch.nn, torch.utils.data
local refuses = near.refuses

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i * 10 end
  return list
end

local function collect(iterator)
  local list = {}
  for x in iterator do list[#list + 1] = torch.is_tensor(x) and x:tolist() or x end
  return list
end

local Squares = nn.class("Squares", data.Dataset)
function Squares:init(n) self.n = n end
function Squares:__getitem__(i) return i * i end
function Squares:__len__() return self.n end

local Count = nn.class("Count", data.IterableDataset)
function Count:init(n) self.n = n end
function Count:__iter__()
  local list = {}
  for i = 1, self.n do list[i] = i end
  return list
end

describe("datasets", function()
  it("may have methods with Python's names", function()
    local squares = Squares(5)
    assert.equal(5, #squares)
    assert.equal(9, squares[3])
    assert.equal(25, squares[-1])
    assert.same({ { 1, 4 }, { 9, 16 }, { 25 } }, collect(data.DataLoader(squares, { batch_size = 2 })))
    assert.same({ { 1, 2 }, { 3 } }, collect(data.DataLoader(Count(3), { batch_size = 2 })))
    local Named = nn.class("Named", data.TensorDataset)
    function Named:__getitem__(i) return { self.tensors[1][i] * 2 } end
    local named = Named(torch.tensor { 1, 2, 3 })
    assert.equal(4, named[2][1]:item())
    assert.same({ { 2, 4, 6 } }, collect(data.DataLoader(named, { batch_size = 3 })))
    local Sized = nn.class("Sized", data.Dataset)
    function Sized:get(i) return i end
    function Sized:__len() return 3 end
    assert.same({ 1, 2, 3 }, collect(data.DataLoader(Sized(), { batch_size = torch.none })))
  end)

  it("may return several values, which are one sample", function()
    local Pairs = nn.class("Pairs", data.Dataset)
    function Pairs:__getitem__(i) return torch.tensor(i * i), i end
    function Pairs:__len__() return 3 end
    local set = Pairs()
    assert.same({ 4, 2 }, { set[2][1]:item(), set[2][2] })
    local seen = {}
    for squares, roots in data.DataLoader(set, { batch_size = 2 }) do
      seen[#seen + 1] = { squares:tolist(), roots:tolist() }
    end
    assert.same({ { { 1, 4 }, { 1, 2 } }, { { 9 }, { 3 } } }, seen)
  end)

  it("that are added are one after the other", function()
    local both = data.TensorDataset(torch.ones(2)) + Squares(3)
    assert.equal(5, #both)
    assert.equal(4, both[4])
    assert.equal(9, both[-1])
    assert.same({ 1, 2, 1, 2, 3 }, collect((Count(2) + Count(3))()))
  end)

  it("of tensors take ranges and index tensors", function()
    local set = data.TensorDataset(torch.arange(4), torch.arange(4) * 2)
    local part = set[{ { 1, 2 } }]
    assert.same({ { 0, 1 }, { 0, 2 } }, { part[1]:tolist(), part[2]:tolist() })
    assert.same({ 3, 0 }, set[torch.tensor { 4, 1 }][1]:tolist())
  end)

  it("that are streams go into a loop as they are", function()
    local seen = {}
    for x in Count(3) do seen[#seen + 1] = x end
    assert.same({ 1, 2, 3 }, seen)
    local counts = Count(3)
    for x in counts do
      if x == 2 then break end
    end
    assert.same({ 1, 2, 3 }, collect(counts))
  end)

  for _, case in ipairs {
    { function() return data.StackDataset(numbers(3), { a = numbers(3) }) end,
      "Supported either ``tuple``- (via ``args``) or ``dict``- (via ``kwargs``) like input/output, but both types" },
    { function() return data.ConcatDataset { numbers(3), numbers(2) }[-6] end,
      "absolute value of index should not exceed dataset length" },
    { function() return #Count(3) end, "object of type 'Count' has no len()" },
    { function() return data.Dataset()[1] end, "Subclasses of Dataset should implement" },
    { function() return data.TensorDataset(torch.ones(1)) + Count(1) end,
      "ConcatDataset does not support IterableDataset" },
  } do
    it("refuse: " .. case[2], function() refuses(case[1], case[2]) end)
  end
end)

describe("samplers", function()
  it("go into a loop as they are, and may be left", function()
    local sampler, seen = data.SequentialSampler(numbers(3)), {}
    for i in sampler do seen[#seen + 1] = i end
    for i in sampler do
      seen[#seen + 1] = i
      if i == 1 then break end
    end
    for i in sampler do seen[#seen + 1] = i end
    assert.same({ 1, 2, 3, 1, 1, 2, 3 }, seen)
    assert.same({ { 1, 2 }, { 3 } }, collect(data.BatchSampler(sampler, 2, false)))
  end)

  it("may have methods with Python's names", function()
    local Reversed = nn.class("Reversed", data.Sampler)
    function Reversed:init(source) self.source = source end
    function Reversed:__iter__()
      local list = {}
      for i = #self.source, 1, -1 do list[#list + 1] = i end
      return list
    end
    function Reversed:__len__() return #self.source end
    local sampler = Reversed(numbers(3))
    assert.equal(3, #sampler)
    assert.same({ 3, 2, 1 }, collect(sampler()))
    assert.same({ { 30, 20 }, { 10 } }, collect(data.DataLoader(numbers(3), { sampler = sampler, batch_size = 2 })))
  end)

  for _, case in ipairs {
    { function() data.RandomSampler(numbers(4), { replacement = 3 }) end,
      "replacement should be a boolean value, but got replacement=3" },
    { function() data.RandomSampler(numbers(4), { num_samples = 1.5 }) end,
      "num_samples should be a positive integer value, but got num_samples=1.5" },
    { function() data.RandomSampler(numbers(4), { num_samples = 0 }) end,
      "num_samples should be a positive integer value, but got num_samples=0" },
    { function() data.WeightedRandomSampler({ 1, 2 }, 1, 3) end,
      "replacement should be a boolean value, but got replacement=3" },
    { function() data.WeightedRandomSampler({ 1, 2 }, 2.5) end,
      "num_samples should be a positive integer value, but got num_samples=2.5" },
    { function() data.BatchSampler(data.SequentialSampler(numbers(4)), 3, 5) end,
      "drop_last should be a boolean value, but got drop_last=5" },
    { function() data.BatchSampler(data.SequentialSampler(numbers(4)), true) end,
      "batch_size should be a positive integer value, but got batch_size=True" },
  } do
    it("refuse: " .. case[2], function() refuses(case[1], case[2]) end)
  end
end)

describe("a DataLoader", function()
  it("shows what it is made of", function()
    local loader = data.DataLoader(numbers(10), { batch_size = 4, drop_last = true })
    assert.same({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 } }, collect(loader.batch_sampler()))
    assert.equal(2, #loader.batch_sampler)
    assert.equal(10, #loader.sampler)
    assert.equal(data.default_collate, loader.collate_fn)
    assert.equal(data.default_convert, data.DataLoader(numbers(1), { batch_size = torch.none }).collate_fn)
    assert.is_nil(loader.prefetch_factor)
    assert.is_nil(data.DataLoader(numbers(1), { batch_size = torch.none }).batch_sampler)
    assert.is_nil(data.DataLoader(numbers(2), { batch_sampler = { { 1 } } }).batch_size)
    assert.equal(0, data.DataLoader(numbers(1), { timeout = 0 }).timeout)
    assert.equal(3, data.DataLoader(numbers(1), { timeout = 3 }).timeout)
  end)

  it("takes a collate function later, but nothing else that it is made of", function()
    local loader = data.DataLoader(numbers(2), { batch_size = 2 })
    loader.collate_fn = function(samples) return #samples end
    assert.same({ 2 }, collect(loader))
    for _, name in ipairs { "batch_size", "sampler", "batch_sampler", "drop_last", "dataset", "persistent_workers" } do
      refuses(function() loader[name] = {} end, name .. " attribute should not be set after DataLoader is initialized")
    end
  end)

  it("gives numbered batches whole, also those of a collate function with several results", function()
    local loader = data.DataLoader(numbers(2), { collate_fn = function(samples) return samples[1], "label" end })
    local seen = {}
    for i, batch in pairs(loader) do seen[i] = batch end
    assert.same({ { 10, "label" }, { 20, "label" } }, seen)
    for number, label in loader do seen[#seen + 1] = { number, label } end
    assert.same({ 20, "label" }, seen[4])
  end)

  it("refuses a negative prefetch_factor", function()
    refuses(function() data.DataLoader(numbers(2), { num_workers = 1, prefetch_factor = -2 }) end,
      "prefetch_factor option should be non-negative")
  end)
end)
