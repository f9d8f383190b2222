--- torch.utils.data: datasets, samplers, DataLoader.
--
--     local loader = data.DataLoader(data.TensorDataset(x, y), {batch_size = 64, shuffle = true})
--     for x, y in loader do … end                -- a batch's parts as several values
--     for i, batch in pairs(loader) do … end     -- numbered, the parts in an array
--
-- `#loader` is the number of batches. Every loop is a new epoch with a new order; orders are PyTorch's for the same
-- seed. `loader()` gives an iterator of its own, for loops over the same loader that are inside one another.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local datasets = require "moontorch.utils.dataset"
local samplers = require "moontorch.utils.sampler"
local default_collate = require "moontorch.utils.collate"
local arguments = require "moontorch.arguments"

local data = { default_collate = default_collate }

for _, part in ipairs { datasets, samplers } do
  for name, value in pairs(part) do
    if name:find("^%u") or name == "random_split" then data[name] = value end
  end
end

local DataLoader = class.root("DataLoader")

local loader_arguments = arguments.signature("DataLoader", {
  { "dataset", "any" }, { "batch_size", "integer?", 1 }, { "shuffle", "boolean?" }, { "sampler", "any?" },
  { "batch_sampler", "any?" }, { "num_workers", "integer", 0 }, { "collate_fn", "callable?" },
  { "pin_memory", "boolean", false }, { "drop_last", "boolean", false }, { "timeout", "number", 0 },
  { "worker_init_fn", "callable?" }, { "generator", "any?" }, { "persistent_workers", "boolean", false },
})

--- DataLoader(dataset, {batch_size = 1, shuffle = false, drop_last = false, sampler, batch_sampler, collate_fn,
-- generator}). `batch_size = torch.none` gives single samples. What `collate_fn(samples)` returns is what a loop gets.
-- Samples are loaded in the calling thread; num_workers, pin_memory and timeout are accepted and change nothing.
function DataLoader:init(...)
  local batch_size, shuffle, sampler, batch_sampler, collate_fn, drop_last, generator, workers, _
  self.dataset, batch_size, shuffle, sampler, batch_sampler, workers, collate_fn, _, drop_last, _, _, generator =
    loader_arguments(...)
  if not datasets.is_dataset(self.dataset) then
    core.raise("DataLoader", "argument 'dataset' (position 1) must be a dataset, not %s",
      arguments.type_name(self.dataset))
  end
  if workers < 0 then
    core.raise("DataLoader", "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
  end
  if sampler ~= nil and shuffle then
    core.raise("DataLoader", "sampler option is mutually exclusive with shuffle: give the one or the other")
  end
  if batch_sampler ~= nil and (batch_size ~= 1 or shuffle or sampler ~= nil or drop_last) then
    core.raise("DataLoader", "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
      .. "drop_last")
  end
  if batch_size ~= nil and batch_size <= 0 then
    core.raise("DataLoader", "batch_size should be a positive integer value, but got batch_size=%d", batch_size)
  end
  if batch_size == nil and drop_last then
    core.raise("DataLoader", "batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
  end
  if sampler == nil and batch_sampler == nil then
    sampler = shuffle and samplers.RandomSampler(self.dataset, { generator = generator })
      or samplers.SequentialSampler(self.dataset)
  end
  self.batch_size, self.sampler, self.batch_sampler, self.drop_last = batch_size, sampler, batch_sampler, drop_last
  self.collate_fn, self.generator = collate_fn, generator
end

--- Number of batches.
function DataLoader:len()
  if self.batch_sampler ~= nil then return #self.batch_sampler end
  local n = core.is_tensor(self.sampler) and self.sampler:size(1) or #self.sampler
  if self.batch_size == nil then return n end
  if self.drop_last then return n // self.batch_size end
  return (n + self.batch_size - 1) // self.batch_size
end

rawset(DataLoader, "__len", DataLoader.len)

-- A function that gives the positions of the next batch as an int64 tensor (or, without batching, one position), then
-- nil.
local function position_batches(self)
  local i = 0
  if self.batch_sampler ~= nil then
    local lists = self.batch_sampler
    if type(lists) == "table" and type(lists.positions) == "function" then lists = lists:positions() end
    return function()
      i = i + 1
      return lists[i] and samplers.order_of(lists[i])
    end
  end
  local order = samplers.order_of(self.sampler)
  local total, size = order:size(1), self.batch_size
  if size == nil then
    local list = order:tolist()
    return function()
      i = i + 1
      return list[i]
    end
  end
  local at = 1
  return function()
    local n = math.min(size, total - at + 1)
    if n <= 0 or (n < size and self.drop_last) then return nil end
    local part = order:narrow(1, at, n)
    at = at + n
    return part
  end
end

-- The samples at the given positions as one batch; with a collate function, whatever that returns.
local function load_batch(self, positions)
  local dataset = self.dataset
  if self.collate_fn == nil and type(dataset) == "table" and dataset.get_batch then
    local batch = dataset:get_batch(positions)
    if batch ~= nil then return batch end
  end
  local samples = {}
  for i, position in ipairs(positions:tolist()) do
    samples[i] = dataset[position]
    if samples[i] == nil then
      core.raise("DataLoader", "the dataset has no sample %d (its length is %d)", position, #dataset)
    end
  end
  if self.collate_fn ~= nil then return self.collate_fn(samples) end
  return default_collate(samples)
end

-- A batch's parts as several values when it is an array of them.
local function spread(batch)
  if type(batch) == "table" and getmetatable(batch) == nil and batch[1] ~= nil then return table.unpack(batch) end
  return batch
end

-- An iterator over batches as they are loaded, and a way to spread them.
local function batches(self)
  samplers.draw_seed(self.generator)  -- PyTorch's loader draws its workers' seed first
  local next_positions = position_batches(self)
  local dataset = self.dataset
  if self.batch_size == nil then
    return function()
      local position = next_positions()
      if position == nil then return nil end
      if self.collate_fn ~= nil then return self.collate_fn(dataset[position]) end
      return dataset[position]
    end
  end
  return function()
    local positions = next_positions()
    if positions == nil then return nil end
    return load_batch(self, positions)
  end
end

--- An iterator over one epoch: `for x, y in loader:iter() do`. `loader()` is the same.
function DataLoader:iter()
  local next_batch = batches(self)
  if self.collate_fn ~= nil then return next_batch end
  return function() return spread(next_batch()) end
end

-- `loader()` makes an iterator. In `for x, y in loader do` Lua calls the loader itself with (nil, nil) first and with
-- (nil, x) then: the epoch under way is kept in the loader.
rawset(DataLoader, "__call", function(self, ...)
  if select("#", ...) == 0 then return self:iter() end
  local _, previous = ...
  if previous == nil then self.epoch = self:iter() end
  if self.epoch == nil then return nil end
  return self.epoch()
end)

-- `for i, batch in pairs(loader)`: batches numbered from 1, parts in an array.
rawset(DataLoader, "__pairs", function(self)
  local next_batch, i = batches(self), 0
  return function()
    local batch = next_batch()
    if batch == nil then return nil end
    i = i + 1
    return i, batch
  end
end)

data.DataLoader = DataLoader

return data
