--- Datasets: anything that gives sample number i, from 1, and knows how many there are.
--
-- `dataset[i]` is a sample (a tensor, a number, or an array of several values), `#dataset` their number. A plain array
-- and a tensor are datasets; a class of one's own inherits from Dataset and defines `get(i)` and `len()`. A stream of
-- samples inherits from IterableDataset and defines `iter()`. Several values that `get` returns are an array. Python's
-- names for these, `__getitem__`, `__len__` and `__iter__`, will do as well. `a + b` is a ConcatDataset or, of streams,
-- a ChainDataset.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"
local loops = require "moontorch.utils.loops"

local datasets = {}
local Dataset

-- Several values are one sample, an array of them.
local function as_sample(first, ...)
  if first == nil or select("#", ...) == 0 then return first end
  return { first, ... }
end
datasets.as_sample = as_sample

-- Calls what the lowest class gives as `name` or under Python's name for it.
local function call(self, name, python, ...)
  local method = loops.method(self, Dataset, name, python)
  if method then return method(self, ...) end
  return Dataset[name](self)
end

local function size_of(self)
  local method = loops.method(self, Dataset, "len", "__len__", "__len")
  if method then return method(self) end
  return Dataset.len(self)
end

-- dataset[i] is get(i), anything else a field or method.
local function index(self, key)
  if type(key) == "number" then
    local i = math.tointeger(key)
    local n = size_of(self)
    if i == 0 then core.raise("Dataset", "position 0: positions count from 1 in Lua") end
    if i and i < 0 then i = n + 1 + i end
    if i == nil or i < 1 or i > n then
      -- Reading past the end gives nil, so that ipairs(dataset) ends.
      if i == n + 1 then return nil end
      core.raise("Dataset", "%sindex %s is out of range: the dataset has %d samples",
        key < 0 and "absolute value of index should not exceed dataset length: " or "", tostring(key), n)
    end
    return as_sample(call(self, "get", "__getitem__", i))
  elseif type(key) ~= "string" then
    local cls = getmetatable(self)
    local range = (core.is_tensor(key) or (type(key) == "table" and getmetatable(key) == nil)) and cls.get_range
    if range then return range(self, key) end
    return cls[key]
  end
  return getmetatable(self)[key]
end

--- Base of datasets: `local Squares = torch.utils.data.Dataset:class("Squares")`, then `Squares:init(…)`,
-- `Squares:get(i)` (the sample at position i) and `Squares:len()`.
Dataset = class.root("Dataset", {
  __index = index, __len = size_of, __add = function(a, b) return datasets.ConcatDataset { a, b } end,
})

--- A class that inherits from this one.
function Dataset:class(name)
  return class.extend(name, self)
end

function Dataset:get()
  core.raise(getmetatable(self).__name, "Subclasses of Dataset should implement get(i) and len()")
end

Dataset.len = Dataset.get

--- TensorDataset(t1, t2, …): sample i is {t1[i], t2[i], …}. All have the same size of dim 1.
local TensorDataset = class.extend("TensorDataset", Dataset)

function TensorDataset:init(...)
  self.tensors = { ... }
  local n = select("#", ...)
  if n == 0 then core.raise("TensorDataset", "needs at least one tensor") end
  local sizes = {}
  for i = 1, n do
    local t = self.tensors[i]
    if not core.is_tensor(t) then
      core.raise("TensorDataset", "argument %d must be Tensor, not %s", i, arguments.type_name(t))
    end
    sizes[i] = text.sizes(t)
    if t.ndim == 0 or t:size(1) ~= self.tensors[1]:size(1) then
      core.raise("TensorDataset", "Size mismatch between tensors: dim 1 must be the same in all, but the shapes are %s",
        table.concat(sizes, ", "))
    end
  end
end

function TensorDataset:get(i)
  local sample = {}
  for k, t in ipairs(self.tensors) do sample[k] = t[i] end
  return sample
end

function TensorDataset:len()
  return self.tensors[1]:size(1)
end

--- The samples of a range or at an index tensor, as `t[key]` of each tensor gives them.
function TensorDataset:get_range(key)
  local part = {}
  for k, t in ipairs(self.tensors) do part[k] = t[key] end
  return part
end

--- The samples at the positions in the int64 tensor `positions`, already stacked: an array of tensors.
function TensorDataset:get_batch(positions)
  local batch = {}
  for k, t in ipairs(self.tensors) do batch[k] = t:index_select(1, positions:to(t.device)) end
  return batch
end

--- Is `v` something with samples?
function datasets.is_dataset(v)
  return type(v) == "table" or core.is_tensor(v)
end

local function check_dataset(owner, v, position)
  if not datasets.is_dataset(v) then
    core.raise(owner, "expected a dataset%s, but got %s", position and " at position " .. position or "",
      arguments.type_name(v))
  end
end

-- Does the class of `dataset` load whole batches, by a `get_batch` that belongs to its `get`? A class that defines
-- `get` anew does not inherit the batches of its parent's.
local function loads_batches(dataset)
  local level = getmetatable(dataset)
  while type(level) == "table" do
    if rawget(level, "get_batch") then return true end
    if rawget(level, "get") or rawget(level, "__getitem__") then return false end
    level = rawget(level, "super")
  end
  return rawget(dataset, "get_batch") ~= nil
end

--- The samples at the positions in an int64 tensor as one batch, where the dataset can load it without single samples;
-- else nil.
function datasets.batch_of(dataset, positions)
  if core.is_tensor(dataset) then return dataset:index_select(1, positions:to(dataset.device)) end
  if not loads_batches(dataset) then return nil end
  return dataset:get_batch(positions)
end

--- Base of streams: `local Lines = torch.utils.data.IterableDataset:class("Lines")`, then `Lines:iter()`, which gives a
-- function that returns the next sample (several values are an array of them) and nil at the end, such as
-- `coroutine.wrap(function() … coroutine.yield(sample) … end)`. `len()` may tell how many there are. In a worker,
-- `torch.utils.data.get_worker_info()` says which part of the stream is its own.
local IterableDataset = class.extend("IterableDataset", Dataset)
IterableDataset.len = false
IterableDataset.get = false

rawset(IterableDataset, "__index", function(self, key)
  if type(key) == "number" then
    core.raise(getmetatable(self).__name, "an IterableDataset has no samples by position: loop over dataset:iter()")
  end
  return getmetatable(self)[key]
end)

rawset(IterableDataset, "__len", function(self)
  local method = loops.method(self, IterableDataset, "len", "__len__", "__len")
  if not method then
    core.raise("len", "object of type '%s' has no len(): define len() where the number of samples is known",
      getmetatable(self).__name)
  end
  return method(self)
end)

rawset(IterableDataset, "__call", loops.call(function(self) return datasets.stream(self) end))
rawset(IterableDataset, "__add", function(a, b) return datasets.ChainDataset { a, b } end)

function IterableDataset:iter()
  core.raise(getmetatable(self).__name, "Subclasses of IterableDataset should implement iter()")
end

--- The iterator over a stream's samples.
function datasets.stream(dataset)
  local given = (loops.method(dataset, IterableDataset, "iter", "__iter__") or IterableDataset.iter)(dataset)
  local following = loops.iterator(given)
  if following == nil then
    core.raise(getmetatable(dataset).__name, "iter() must return a function that gives the next sample, not %s",
      type(given))
  end
  return following
end

--- Is `v` a stream?
function datasets.is_iterable(v)
  return class.isinstance(v, IterableDataset)
end

--- ChainDataset{d1, d2}: one stream after the other.
local ChainDataset = class.extend("ChainDataset", IterableDataset)

function ChainDataset:init(list)
  if arguments.is_keywords(list) and list.datasets ~= nil then list = list.datasets end
  if type(list) ~= "table" then
    core.raise("ChainDataset", "expected an array of datasets, but got %s", arguments.type_name(list))
  end
  self.datasets = list
end

local function check_streams(list)
  for i, dataset in ipairs(list) do
    if not datasets.is_iterable(dataset) then
      core.raise("ChainDataset", "ChainDataset only supports IterableDataset, but dataset %d is %s; use ConcatDataset",
        i, arguments.type_name(dataset))
    end
  end
end

function ChainDataset:iter()
  check_streams(self.datasets)
  local at, following = 0, nil
  local function continue(first, ...)
    if first ~= nil then return first, ... end
    at = at + 1
    if self.datasets[at] == nil then
      following = function() return nil end
      return nil
    end
    following = datasets.stream(self.datasets[at])
    return continue(following())
  end
  return function()
    if following == nil then return continue(nil) end
    return continue(following())
  end
end

function ChainDataset:len()
  check_streams(self.datasets)
  local n = 0
  for _, dataset in ipairs(self.datasets) do n = n + #dataset end
  return n
end

--- Subset(dataset, indices): sample i is dataset[indices[i]].
local Subset = class.extend("Subset", Dataset)

function Subset:init(dataset, indices)
  if arguments.is_keywords(dataset) and indices == nil then dataset, indices = dataset.dataset, dataset.indices end
  if arguments.is_keywords(indices) and indices.indices ~= nil then indices = indices.indices end
  check_dataset("Subset", dataset)
  if core.is_tensor(indices) then indices = indices:tolist() end
  if type(indices) ~= "table" then
    core.raise("Subset", "expected an array of positions, but got %s", arguments.type_name(indices))
  end
  self.dataset, self.indices = dataset, indices
end

function Subset:get(i)
  return self.dataset[self.indices[i]]
end

function Subset:len()
  return #self.indices
end

function Subset:get_batch(positions)
  if self.positions == nil then self.positions = core.tensor(self.indices, { dtype = core.int64, device = "cpu" }) end
  return datasets.batch_of(self.dataset, self.positions:index_select(1, positions))
end

--- StackDataset(d1, d2, …): sample i is {d1[i], d2[i], …}. StackDataset{image = d1, label = d2}: sample i is
-- {image = d1[i], label = d2[i]}.
local StackDataset = class.extend("StackDataset", Dataset)

function StackDataset:init(...)
  local first = ...
  local n = select("#", ...)
  if n == 1 and arguments.is_keywords(first) and next(first) ~= nil then
    self.datasets, self.named = first, true
  elseif n > 1 and arguments.is_keywords((select(n, ...))) and next((select(n, ...))) ~= nil then
    core.raise("StackDataset", "Supported either ``tuple``- (via ``args``) or ``dict``- (via ``kwargs``) like "
      .. "input/output, but both types are given.")
  else
    self.datasets, self.named = { ... }, false
  end
  if next(self.datasets) == nil then core.raise("StackDataset", "At least one dataset should be passed") end
  local count, first_key
  for key, dataset in pairs(self.datasets) do
    check_dataset("StackDataset", dataset, key)
    if count == nil then count, first_key = #dataset, key end
    if #dataset ~= count then
      core.raise("StackDataset", "Size mismatch between datasets: %s has %d samples and %s has %d", tostring(first_key),
        count, tostring(key), #dataset)
    end
  end
  self.length = count
end

function StackDataset:get(i)
  local sample = {}
  for key, dataset in pairs(self.datasets) do sample[key] = dataset[i] end
  return sample
end

function StackDataset:len()
  return self.length
end

function StackDataset:get_batch(positions)
  local batch = {}
  for key, dataset in pairs(self.datasets) do
    batch[key] = datasets.batch_of(dataset, positions)
    if batch[key] == nil then return nil end
  end
  return batch
end

--- ConcatDataset{d1, d2}: the samples of one dataset after those of another.
local ConcatDataset = class.extend("ConcatDataset", Dataset)

function ConcatDataset:init(list)
  if arguments.is_keywords(list) and list.datasets ~= nil then list = list.datasets end
  if type(list) ~= "table" or #list == 0 then
    core.raise("ConcatDataset", "datasets should not be an empty iterable")
  end
  self.datasets, self.cumulative_sizes = list, {}
  local n = 0
  for i, dataset in ipairs(list) do
    check_dataset("ConcatDataset", dataset, i)
    if datasets.is_iterable(dataset) then
      core.raise("ConcatDataset", "ConcatDataset does not support IterableDataset, which dataset %d is; use "
        .. "ChainDataset", i)
    end
    n = n + #dataset
    self.cumulative_sizes[i] = n
  end
end

function ConcatDataset:get(i)
  local sizes = self.cumulative_sizes
  local low, high = 1, #sizes
  while low < high do
    local middle = (low + high) // 2
    if i <= sizes[middle] then high = middle else low = middle + 1 end
  end
  return self.datasets[low][i - (sizes[low - 1] or 0)]
end

function ConcatDataset:len()
  return self.cumulative_sizes[#self.cumulative_sizes]
end

-- Lengths from fractions that sum to 1: rounded down, the rest dealt out one by one from the first.
local function lengths_of(fractions, total)
  local lengths, given = {}, 0
  for i, fraction in ipairs(fractions) do
    if fraction < 0 or fraction > 1 then
      core.raise("random_split", "Fraction at index %d is not between 0 and 1: %s", i, text.repr(fraction))
    end
    lengths[i] = math.floor(total * fraction)
    given = given + lengths[i]
  end
  for i = 0, total - given - 1 do
    local at = i % #lengths + 1
    lengths[at] = lengths[at] + 1
  end
  for i, length in ipairs(lengths) do
    if length == 0 then
      arguments.warn_once("random_split", "Length of split at index %d is 0. This might result in an empty dataset.", i)
    end
  end
  return lengths
end

local split_arguments = arguments.signature("random_split", {
  { "dataset", "any" }, { "lengths", "list" }, { "generator", "any?" },
})

--- Splits a dataset into an array of Subsets of the given lengths, or of fractions that sum to 1, at random. Keyword:
-- generator.
function datasets.random_split(...)
  local dataset, lengths, generator = split_arguments(...)
  check_dataset("random_split", dataset, 1)
  local total, sum = #dataset, 0
  for i, length in ipairs(lengths) do
    if type(length) ~= "number" then
      core.raise("random_split", "length %d must be a number, not %s", i, arguments.type_name(length))
    end
    sum = sum + length
  end
  if math.abs(sum - 1) <= 1e-9 and sum <= 1 then
    lengths, sum = lengths_of(lengths, total), total
  end
  if sum ~= total then
    core.raise("random_split", "Sum of input lengths does not equal the length of the input dataset! The lengths sum "
      .. "to %s, the dataset has %d samples", text.repr(sum), total)
  end
  local order = core.randperm(total, { generator = generator, device = "cpu" }):tolist()
  local parts, done = {}, 0
  for i, length in ipairs(lengths) do
    length = math.tointeger(length)
    if length == nil or length < 0 then
      core.raise("random_split", "length %d is no size: %s", i, text.repr(lengths[i]))
    end
    parts[i] = Subset(dataset, table.move(order, done + 1, done + length, 1, {}))
    done = done + length
  end
  return parts
end

datasets.Dataset, datasets.TensorDataset, datasets.Subset = Dataset, TensorDataset, Subset
datasets.ConcatDataset, datasets.StackDataset = ConcatDataset, StackDataset
datasets.IterableDataset, datasets.ChainDataset = IterableDataset, ChainDataset

return datasets
