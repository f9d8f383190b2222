--- Samplers: in which order samples are visited.
--
-- `sampler:positions()` gives one epoch's order, as an int64 tensor of positions from 1; a sampler of one's own gives a
-- tensor or an array, or defines `iter()`, which gives a function that returns one position after the other, then nil.
-- Python's names, `__iter__` and `__len__`, will do as well.
-- Orders are PyTorch's for the same seed: RandomSampler without a generator takes a seed from the global one and
-- shuffles with a generator of its own.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"
local loops = require "moontorch.utils.loops"

local samplers = {}

--- Base of samplers. `for i in sampler do`, `sampler()` and `pairs(sampler)` iterate, `#sampler` counts.
local Sampler
Sampler = class.root("Sampler", {
  __len = function(self) return (loops.method(self, Sampler, "len", "__len__", "__len") or Sampler.len)(self) end,
})

--- A class that inherits from this one; it defines `positions()` and `len()`.
function Sampler:class(name)
  return class.extend(name, self)
end

function Sampler:positions()
  core.raise(getmetatable(self).__name, "Subclasses of Sampler should implement positions() (or iter()) and len()")
end

Sampler.len = Sampler.positions

-- The keyword argument `generator`, or nothing.
local function from(generator)
  if generator ~= nil then return { generator = generator } end
end
samplers.from = from

-- Positions are made on the host, whatever the default device is.
local function on_host(generator, dtype) return { generator = generator, dtype = dtype, device = "cpu" } end

--- A draw that the seeds of PyTorch's loaders and samplers come from; `generator` nil is the global one.
function samplers.draw_seed(generator)
  return core.empty({}, { dtype = core.int64, device = "cpu" }):random_(from(generator)):item()
end

--- A function that gives one position (or list of them) after the other. Subclasses define it or `positions()`.
function Sampler:iter()
  return samplers.each(self)
end

-- Iterates over the positions as Lua integers (or over the lists of a BatchSampler). As the samplers of PyTorch, it
-- draws what it draws when the first position is asked for.
rawset(Sampler, "__call", loops.call(function(self) return samplers.each(self) end))
rawset(Sampler, "__pairs", function(self)
  local following, i = samplers.each(self), 0
  return function()
    local position = following()
    if position == nil then return nil end
    i = i + 1
    return i, position
  end
end)

local function must_be_boolean(owner, name, value)
  if type(value) ~= "boolean" then
    core.raise(owner, "%s should be a boolean value, but got %s=%s", name, name, text.repr(value))
  end
end

-- How many samples a source has: an array, a tensor, or an object with a length.
local function must_have_length(owner, source)
  local meta = getmetatable(source)
  if not (core.is_tensor(source) or (type(source) == "table" and (meta == nil or meta.__len ~= nil))) then
    core.raise(owner, "argument 'data_source' (position 1) must be a dataset, an array or a Tensor, not %s",
      arguments.type_name(source))
  end
end

local function positive(owner, name, value)
  local whole = type(value) == "number" and math.tointeger(value)
  if not whole or whole <= 0 then
    core.raise(owner, "%s should be a positive integer value, but got %s=%s", name, name, text.repr(value))
  end
  return whole
end

--- 1, 2, 3, … in order.
local SequentialSampler = class.extend("SequentialSampler", Sampler)

function SequentialSampler:init(data_source)
  if arguments.is_keywords(data_source) then data_source = data_source.data_source or data_source end
  must_have_length("SequentialSampler", data_source)
  self.data_source = data_source
end

function SequentialSampler:positions()
  return core.arange(1, #self.data_source + 1, { dtype = core.int64, device = "cpu" })
end

function SequentialSampler:len()
  return #self.data_source
end

--- RandomSampler(data_source, replacement = false, num_samples, generator).
local RandomSampler = class.extend("RandomSampler", Sampler)

local random_arguments = arguments.signature("RandomSampler", {
  { "data_source", "any" }, { "replacement", "value", false }, { "num_samples", "value?" }, { "generator", "any?" },
})

function RandomSampler:init(...)
  local data_source, replacement, num_samples, generator = random_arguments(...)
  must_have_length("RandomSampler", data_source)
  must_be_boolean("RandomSampler", "replacement", replacement)
  self.data_source, self.replacement, self.generator = data_source, replacement, generator
  if num_samples ~= nil then
    self.num_samples = positive("RandomSampler", "num_samples", num_samples)
  elseif #data_source <= 0 then
    core.raise("RandomSampler", "num_samples should be a positive integer value, but got num_samples=0: the dataset is "
      .. "empty")
  end
end

function RandomSampler:len()
  return self.num_samples or #self.data_source
end

-- Gives a second result: what is left to draw when the last position was taken. PyTorch makes one order more than it
-- uses, which shifts the next epoch when the generator is the caller's.
function RandomSampler:positions()
  local n, wanted = #self.data_source, self:len()
  local generator = self.generator
  if generator == nil then
    local seed = samplers.draw_seed()
    generator = core.Generator()
    generator:manual_seed(seed)
  end
  local parts = {}
  if self.replacement then
    for _ = 1, wanted // 32 do
      parts[#parts + 1] = core.randint(1, n + 1, { 32 }, on_host(generator, core.int64))
    end
    if wanted % 32 > 0 or #parts == 0 then
      parts[#parts + 1] = core.randint(1, n + 1, { wanted % 32 }, on_host(generator, core.int64))
    end
  else
    for _ = 1, wanted // n do parts[#parts + 1] = core.randperm(n, on_host(generator)) end
    if wanted % n > 0 then
      parts[#parts + 1] = core.randperm(n, on_host(generator)):narrow(1, 1, wanted % n)
    end
  end
  local finish
  if self.generator ~= nil and not self.replacement and wanted % n == 0 then
    finish = function() core.randperm(n, on_host(generator)) end
  end
  return #parts == 1 and parts[1] or core.cat(parts, 1), finish
end

--- SubsetRandomSampler(indices, generator): the given positions in random order.
local SubsetRandomSampler = class.extend("SubsetRandomSampler", Sampler)

function SubsetRandomSampler:init(indices, generator)
  if arguments.is_keywords(indices) then indices, generator = indices.indices or {}, indices.generator end
  if arguments.is_keywords(generator) then generator = generator.generator end
  if not core.is_tensor(indices) and type(indices) ~= "table" then
    core.raise("SubsetRandomSampler", "argument 'indices' (position 1) must be an array of positions, not %s",
      arguments.type_name(indices))
  end
  self.indices = core.is_tensor(indices) and indices or core.tensor(indices, { dtype = core.int64, device = "cpu" })
  self.generator = generator
end

function SubsetRandomSampler:positions()
  return self.indices:index_select(1, core.randperm(self:len(), on_host(self.generator)))
end

function SubsetRandomSampler:len()
  return self.indices:size(1)
end

--- WeightedRandomSampler(weights, num_samples, replacement = true, generator): positions drawn with these weights.
local WeightedRandomSampler = class.extend("WeightedRandomSampler", Sampler)

local weighted_arguments = arguments.signature("WeightedRandomSampler", {
  { "weights", "any" }, { "num_samples", "value" }, { "replacement", "value", true }, { "generator", "any?" },
})

function WeightedRandomSampler:init(...)
  local weights
  weights, self.num_samples, self.replacement, self.generator = weighted_arguments(...)
  self.num_samples = positive("WeightedRandomSampler", "num_samples", self.num_samples)
  must_be_boolean("WeightedRandomSampler", "replacement", self.replacement)
  self.weights = core.is_tensor(weights) and weights:double()
    or core.tensor(weights, { dtype = core.float64, device = "cpu" })
  if self.weights.ndim ~= 1 then
    core.raise("WeightedRandomSampler", "weights should be a 1d sequence but given weights have shape %s",
      text.sizes(self.weights))
  end
end

function WeightedRandomSampler:positions()
  return core.multinomial(self.weights, self.num_samples, self.replacement, from(self.generator))
end

function WeightedRandomSampler:len()
  return self.num_samples
end

--- BatchSampler(sampler, batch_size, drop_last = false): lists of positions; `positions()` gives an array of them.
local BatchSampler = class.extend("BatchSampler", Sampler)

local batch_arguments = arguments.signature("BatchSampler", {
  { "sampler", "any" }, { "batch_size", "value" }, { "drop_last", "value", false },
})

function BatchSampler:init(...)
  self.sampler, self.batch_size, self.drop_last = batch_arguments(...)
  self.batch_size = positive("BatchSampler", "batch_size", self.batch_size)
  must_be_boolean("BatchSampler", "drop_last", self.drop_last)
end

--- A function that gives one list of positions after the other.
function BatchSampler:iter()
  local following, ended = samplers.each(self.sampler), false
  return function()
    local batch = {}
    while not ended and #batch < self.batch_size do
      local position = following()
      if position == nil then ended = true else batch[#batch + 1] = position end
    end
    if #batch == 0 or (self.drop_last and #batch < self.batch_size) then return nil end
    return batch
  end
end

function BatchSampler:positions()
  local batches = {}
  for batch in self:iter() do batches[#batches + 1] = batch end
  return batches
end

function BatchSampler:len()
  local n = samplers.count(self.sampler)
  if self.drop_last then return n // self.batch_size end
  return (n + self.batch_size - 1) // self.batch_size
end

--- How many positions (or lists of them) a sampler, an array or a tensor gives.
function samplers.count(sampler)
  if core.is_tensor(sampler) then return sampler:size(1) end
  local meta = getmetatable(sampler)
  if type(sampler) ~= "table" or (meta ~= nil and meta.__len == nil) then
    core.raise("len", "object of type '%s' has no len(): a sampler without len() cannot tell how many batches there "
      .. "are", arguments.type_name(sampler))
  end
  return #sampler
end

-- One epoch's order of a sampler, an array, or a tensor, as it stands, and what is left to do when it was used up; or a
-- function that gives one position after the other.
local function order_of(sampler)
  if core.is_tensor(sampler) then return sampler end
  if type(sampler) == "table" then
    local iter
    if class.isinstance(sampler, Sampler) then -- whose own iter() is for callers
      iter = loops.method(sampler, Sampler, "__iter__", "iter")
    else
      iter = sampler.__iter__ or sampler.iter
    end
    if type(iter) == "function" then return loops.iterator(iter(sampler)) end
    if type(sampler.positions) == "function" then return sampler:positions() end
    if getmetatable(sampler) == nil or getmetatable(sampler).__call == nil then return sampler end
  end
  local meta = getmetatable(sampler)
  if type(sampler) == "function" or (meta and meta.__call) then
    local following = sampler()
    if type(following) == "function" then return following end
  end
  core.raise("sampler", "expected a Sampler or an array of positions, but got %s", arguments.type_name(sampler))
end

--- A function that gives one entry after the other: Lua integers, or the lists of a batch sampler. Nothing is drawn
-- before the first is asked for.
function samplers.each(sampler)
  local list, following, finish
  local i = 0
  return function()
    if list == nil and following == nil then
      local order
      order, finish = order_of(sampler)
      if core.is_tensor(order) then order = order:tolist() end
      if type(order) == "function" then following = order else list = order end
    end
    if following then return following() end
    i = i + 1
    if list[i] == nil and finish then
      finish()
      finish = nil
    end
    return list[i]
  end
end

--- Like `each`, in batches: each is an int64 tensor of `size` positions, a shorter one at the end unless `drop_last`.
function samplers.batches(sampler, size, drop_last)
  local order, finish, following
  local at = 1
  return function()
    if order == nil and following == nil then
      order, finish = order_of(sampler)
      if type(order) == "function" then
        following = BatchSampler(function() return order end, size, drop_last):iter()
      elseif not core.is_tensor(order) then
        order = core.tensor(order, { dtype = core.int64, device = "cpu" })
      end
    end
    if following then
      local list = following()
      return list and core.tensor(list, { dtype = core.int64, device = "cpu" })
    end
    local n = math.min(size, order:size(1) - at + 1)
    if finish and n < size then
      finish()
      finish = nil
    end
    if n <= 0 or (n < size and drop_last) then return nil end
    local part = order:narrow(1, at, n)
    at = at + n
    return part
  end
end

samplers.Sampler, samplers.SequentialSampler, samplers.RandomSampler = Sampler, SequentialSampler, RandomSampler
samplers.SubsetRandomSampler, samplers.WeightedRandomSampler = SubsetRandomSampler, WeightedRandomSampler
samplers.BatchSampler = BatchSampler

return samplers
