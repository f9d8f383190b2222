--- Samplers: in which order samples are visited.
--
-- `sampler:positions()` gives one epoch's order, as an int64 tensor of positions from 1; a sampler of one's own gives a
-- tensor or an array. Orders are PyTorch's for the same seed: RandomSampler without a generator takes a seed from the
-- global one and shuffles with a generator of its own.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local samplers = {}

--- Base of samplers. `sampler()` and `pairs(sampler)` iterate, `#sampler` counts.
local Sampler = class.root("Sampler", { __len = function(self) return self:len() end })

--- A class that inherits from this one; it defines `positions()` and `len()`.
function Sampler:class(name)
  return class.extend(name, self)
end

function Sampler:positions()
  core.raise(getmetatable(self).__name, "Subclasses of Sampler should implement positions() and len()")
end

Sampler.len = Sampler.positions

-- The keyword argument `generator`, or nothing.
local function from(generator)
  if generator ~= nil then return { generator = generator } end
end
samplers.from = from

--- A draw that the seeds of PyTorch's loaders and samplers come from; `generator` nil is the global one.
function samplers.draw_seed(generator)
  return core.empty({}, { dtype = core.int64 }):random_(from(generator)):item()
end

-- Iterates over the positions as Lua integers (or over the lists of a BatchSampler).
rawset(Sampler, "__call", function(self)
  local order = self:positions()
  if core.is_tensor(order) then order = order:tolist() end
  local i = 0
  return function()
    i = i + 1
    return order[i]
  end
end)

--- 1, 2, 3, … in order.
local SequentialSampler = class.extend("SequentialSampler", Sampler)

function SequentialSampler:init(data_source)
  self.data_source = data_source
end

function SequentialSampler:positions()
  return core.arange(1, #self.data_source + 1, { dtype = core.int64 })
end

function SequentialSampler:len()
  return #self.data_source
end

--- RandomSampler(data_source, replacement = false, num_samples, generator).
local RandomSampler = class.extend("RandomSampler", Sampler)

local random_arguments = arguments.signature("RandomSampler", {
  { "data_source", "any" }, { "replacement", "boolean", false }, { "num_samples", "integer?" }, { "generator", "any?" },
})

function RandomSampler:init(...)
  self.data_source, self.replacement, self.num_samples, self.generator = random_arguments(...)
  if self:len() <= 0 then
    core.raise("RandomSampler", "num_samples should be a positive integer value, but got num_samples=%d%s", self:len(),
      self.num_samples == nil and ": the dataset is empty" or "")
  end
end

function RandomSampler:len()
  return self.num_samples or #self.data_source
end

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
      parts[#parts + 1] = core.randint(1, n + 1, { 32 }, { generator = generator, dtype = core.int64 })
    end
    if wanted % 32 > 0 or #parts == 0 then
      parts[#parts + 1] = core.randint(1, n + 1, { wanted % 32 }, { generator = generator, dtype = core.int64 })
    end
  else
    for _ = 1, wanted // n do parts[#parts + 1] = core.randperm(n, from(generator)) end
    if wanted % n > 0 then
      parts[#parts + 1] = core.randperm(n, from(generator)):narrow(1, 1, wanted % n)
    end
  end
  return #parts == 1 and parts[1] or core.cat(parts, 1)
end

--- SubsetRandomSampler(indices, generator): the given positions in random order.
local SubsetRandomSampler = class.extend("SubsetRandomSampler", Sampler)

function SubsetRandomSampler:init(indices, generator)
  if arguments.is_keywords(generator) then generator = generator.generator end
  self.indices = core.is_tensor(indices) and indices or core.tensor(indices, { dtype = core.int64 })
  self.generator = generator
end

function SubsetRandomSampler:positions()
  return self.indices:index_select(1, core.randperm(self:len(), from(self.generator)))
end

function SubsetRandomSampler:len()
  return self.indices:size(1)
end

--- WeightedRandomSampler(weights, num_samples, replacement = true, generator): positions drawn with these weights.
local WeightedRandomSampler = class.extend("WeightedRandomSampler", Sampler)

local weighted_arguments = arguments.signature("WeightedRandomSampler", {
  { "weights", "any" }, { "num_samples", "integer" }, { "replacement", "boolean", true }, { "generator", "any?" },
})

function WeightedRandomSampler:init(...)
  local weights
  weights, self.num_samples, self.replacement, self.generator = weighted_arguments(...)
  if self.num_samples <= 0 then
    core.raise("WeightedRandomSampler", "num_samples should be a positive integer value, but got num_samples=%d",
      self.num_samples)
  end
  self.weights = core.is_tensor(weights) and weights:double() or core.tensor(weights, { dtype = core.float64 })
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
  { "sampler", "any" }, { "batch_size", "integer" }, { "drop_last", "boolean", false },
})

function BatchSampler:init(...)
  self.sampler, self.batch_size, self.drop_last = batch_arguments(...)
  if self.batch_size <= 0 then
    core.raise("BatchSampler", "batch_size should be a positive integer value, but got batch_size=%d", self.batch_size)
  end
end

function BatchSampler:positions()
  local order = samplers.order_of(self.sampler):tolist()
  local batches = {}
  for first = 1, #order, self.batch_size do
    local batch = table.move(order, first, math.min(first + self.batch_size - 1, #order), 1, {})
    if #batch == self.batch_size or not self.drop_last then batches[#batches + 1] = batch end
  end
  return batches
end

function BatchSampler:len()
  local n = #self.sampler
  if self.drop_last then return n // self.batch_size end
  return (n + self.batch_size - 1) // self.batch_size
end

--- One epoch's order of a sampler, an array, or a tensor of positions, as an int64 tensor.
function samplers.order_of(sampler)
  local order = sampler
  if type(sampler) == "table" and type(sampler.positions) == "function" then order = sampler:positions() end
  if core.is_tensor(order) then return order end
  if type(order) ~= "table" then
    core.raise("sampler", "expected a Sampler or an array of positions, but got %s", arguments.type_name(order))
  end
  return core.tensor(order, { dtype = core.int64 })
end

samplers.Sampler, samplers.SequentialSampler, samplers.RandomSampler = Sampler, SequentialSampler, RandomSampler
samplers.SubsetRandomSampler, samplers.WeightedRandomSampler = SubsetRandomSampler, WeightedRandomSampler
samplers.BatchSampler = BatchSampler

return samplers
