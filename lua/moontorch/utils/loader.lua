--- DataLoader: batches of a dataset, loaded in the calling thread or by workers, in PyTorch's order.
--
-- Invariant: what a loop sees does not depend on num_workers, except for random numbers drawn inside the dataset.

local core = require "moontorch.core"
local collate = require "moontorch.utils.collate"
local class = require "moontorch.nn.class"
local datasets = require "moontorch.utils.dataset"
local samplers = require "moontorch.utils.sampler"
local fetch = require "moontorch.utils.fetch"
local growth = require "moontorch.growth"
local arguments = require "moontorch.arguments"

-- What a loader was made of, which is not to change then.
local FIXED = {
  batch_size = true, batch_sampler = true, sampler = true, drop_last = true, dataset = true, persistent_workers = true,
}

local DataLoader = class.root("DataLoader", {
  __index = function(self, key)
    if FIXED[key] then return rawget(self, "_fixed") and self._fixed[key] end
    if key == "collate_fn" then
      return self.batch_size == nil and self._batches == nil and collate.default_convert or collate.default_collate
    end
    if type(key) == "number" then -- what ipairs asks for
      core.raise("DataLoader", "'DataLoader' object is not subscriptable: loop over it, `for batch in loader do`, or "
        .. "with numbers, `for i, batch in pairs(loader) do`")
    end
    return getmetatable(self)[key]
  end,
  __newindex = function(self, key, value)
    if FIXED[key] then
      core.raise("DataLoader", "%s attribute should not be set after %s is initialized: make another loader", key,
        getmetatable(self).__name)
    end
    rawset(self, key, value)
  end,
})

local loader_arguments = arguments.signature("DataLoader", {
  { "dataset", "any" }, { "batch_size", "integer?", 1 }, { "shuffle", "boolean?" }, { "sampler", "any?" },
  { "batch_sampler", "any?" }, { "num_workers", "integer", 0 }, { "collate_fn", "callable?" },
  { "pin_memory", "boolean", false }, { "drop_last", "boolean", false }, { "timeout", "number", 0 },
  { "worker_init_fn", "callable?" }, { "multiprocessing_context", "any?" }, { "generator", "any?" },
  { "prefetch_factor", "integer?" }, { "persistent_workers", "boolean", false }, { "pin_memory_device", "string", "" },
  { "in_order", "boolean", true },
})

local function refuse(format, ...)
  core.raise("DataLoader", format, ...)
end

local function check_workers(self, persistent)
  if self.num_workers < 0 then
    refuse("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
  end
  if self.timeout < 0 then refuse("timeout option should be non-negative") end
  if self.num_workers == 0 and self.prefetch_factor ~= nil then
    refuse("prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable "
      .. "multiprocessing, otherwise set prefetch_factor to None.")
  end
  if self.prefetch_factor ~= nil and self.prefetch_factor < 0 then
    refuse("prefetch_factor option should be non-negative, but got %d", self.prefetch_factor)
  elseif self.prefetch_factor == 0 then
    refuse("prefetch_factor option should be positive: with 0 nothing would be loaded")
  end
  if persistent and self.num_workers == 0 then
    refuse("persistent_workers option needs num_workers > 0")
  end
  if self.num_workers > 0 then self.prefetch_factor = self.prefetch_factor or 2 end
end

local function check_stream(shuffle, sampler, batch_sampler)
  local what = "DataLoader with IterableDataset: expected unspecified %s option, but got %s: a stream comes in its own "
    .. "order; shuffle inside its iter()"
  if shuffle then refuse(what, "shuffle", "shuffle=True") end
  if sampler ~= nil then refuse(what, "sampler", "sampler=" .. arguments.type_name(sampler)) end
  if batch_sampler ~= nil then
    refuse(what, "batch_sampler", "batch_sampler=" .. arguments.type_name(batch_sampler))
  end
end

--- DataLoader(dataset, {batch_size = 1, shuffle = false, drop_last = false, sampler, batch_sampler, collate_fn,
-- generator, num_workers = 0, prefetch_factor = 2, persistent_workers = false, worker_init_fn, timeout = 0}).
-- `batch_size = torch.none` gives single samples. What `collate_fn(samples)` returns is what a loop gets.
--
-- With num_workers, samples are loaded by threads, each a Lua state of its own that gets a copy of the dataset and of
-- the functions (their local variables included; tensors are shared, not copied). `dataset` may also be a function that
-- makes it, or the name of a module that returns it: then every worker makes its own. `worker_init_fn(id)` runs first
-- in each, id from 1. Random numbers in worker i follow from (seed, epoch, i), those of math.random too. Leaving
-- `for x in loader() do` early ends the threads at once; after `for x in loader do` they sleep until the next loop,
-- loader:close(), or the collector. With pin_memory = true the tensors of a batch lie in pinned memory, from which
-- `x:cuda{non_blocking = true}` need not wait. pin_memory_device and multiprocessing_context change nothing; with
-- in_order = false batches come in order as well.
function DataLoader:init(...)
  local given, batch_size, shuffle, sampler, batch_sampler, drop_last, generator, persistent, _
  given, batch_size, shuffle, sampler, batch_sampler, self.num_workers, self.collate_fn, self.pin_memory, drop_last,
    self.timeout, self.worker_init_fn, _, generator, self.prefetch_factor, persistent =
    loader_arguments(...)
  check_workers(self, persistent)
  local dataset = fetch.dataset(given, arguments.type_name(given))
  self.given, self.iterable = given, datasets.is_iterable(dataset)
  if self.iterable then check_stream(shuffle, sampler, batch_sampler) end
  if sampler ~= nil and shuffle then
    refuse("sampler option is mutually exclusive with shuffle: give the one or the other")
  end
  if batch_sampler ~= nil and (batch_size ~= 1 or shuffle or sampler ~= nil or drop_last) then
    refuse("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
  end
  if batch_size ~= nil and batch_size <= 0 then
    refuse("batch_size should be a positive integer value, but got batch_size=%d", batch_size)
  end
  if batch_size == nil and drop_last then
    refuse("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
  end
  if sampler == nil and batch_sampler == nil and not self.iterable then
    sampler = shuffle and samplers.RandomSampler(dataset, false, nil, generator)
      or samplers.SequentialSampler(dataset)
  end
  self._batches = batch_sampler
  if batch_sampler ~= nil then
    batch_size = nil
  elseif batch_size ~= nil and sampler ~= nil then
    batch_sampler = samplers.BatchSampler(sampler, batch_size, drop_last)
  end
  self._fixed = {
    batch_size = batch_size, batch_sampler = batch_sampler, sampler = sampler, drop_last = drop_last, dataset = dataset,
    persistent_workers = persistent,
  }
  self.generator, self.shuffle = generator, shuffle or false
  self.epochs = setmetatable({}, { __mode = "k" })
  self.watch = growth.watch()
end

--- Number of batches.
function DataLoader:len()
  if self._batches ~= nil then return samplers.count(self._batches) end
  if not self.iterable then return self:count_of(samplers.count(self.sampler)) end
  self.promised = self:count_of(#self.dataset)
  return self.promised
end

-- Batches that n samples make.
function DataLoader:count_of(n)
  if self.batch_size == nil then return n end
  if self.drop_last then return n // self.batch_size end
  return (n + self.batch_size - 1) // self.batch_size
end

rawset(DataLoader, "__len", DataLoader.len)

-- A training loader whose last batch holds one sample will fail at the first batch norm of the model.
local function warn_of_single(self)
  if not self.shuffle or self.drop_last or self.batch_size == nil or self.batch_size == 1 then return end
  local n = samplers.count(self.sampler)
  if n > 1 and n % self.batch_size == 1 then
    arguments.warn_once(self, "DataLoader: the last batch of each epoch will hold 1 sample (%d samples in batches of "
      .. "%d), from which BatchNorm cannot train; pass drop_last = true, or another batch_size", n, self.batch_size)
  end
end

-- A function that gives what to load next: an int64 tensor of positions, one position without batching, `true` for a
-- stream; then nil.
local function plan(self)
  if self.iterable then return function() return true end end
  if self._batches ~= nil then
    local following = samplers.each(self._batches)
    return function()
      local list = following()
      if list == nil or core.is_tensor(list) then return list end
      return core.tensor(list, { dtype = core.int64, device = "cpu" })
    end
  end
  if self.batch_size == nil then return samplers.each(self.sampler) end
  return samplers.batches(self.sampler, self.batch_size, self.drop_last)
end

-- What workers and the calling thread need to fetch.
local function options_of(self)
  return {
    batch_size = self.batch_size, batched = self.batch_size ~= nil or self._batches ~= nil,
    drop_last = self.drop_last,
  }
end

local function load_here(self, next_item)
  local fetcher
  return function()
    local item = next_item()
    if item == nil then return nil end
    if not fetcher then
      local options = options_of(self)
      options.collate_fn = rawget(self, "collate_fn")
      fetcher = fetch.fetcher(self.dataset, options)
    end
    return fetcher(item)
  end
end

-- A function that gives the next batch as it was made, and one that ends the loop early.
local function batches(self)
  warn_of_single(self)
  local seed = samplers.draw_seed(self.generator)  -- PyTorch's loader draws its workers' seed before any order
  local next_item = plan(self)
  if self.num_workers == 0 then return load_here(self, next_item), function() end end
  local crew = require "moontorch.utils.crew"
  local following, close = crew.epoch(self, seed, next_item, options_of(self))
  if following == nil then return load_here(self, next_item), function() end end
  return following, close
end

-- Counts what a stream gives that said how long it is.
local function counted(self, following)
  local n = 0
  local function count(first, ...)
    if first == nil then return nil end
    n = n + 1
    if self.promised and n > self.promised then
      arguments.warn_once(self.epochs, "Length of IterableDataset %s was reported to be %d (when accessing #loader), "
        .. "but %d samples have been fetched.%s", arguments.type_name(self.dataset), self.promised, n,
        self.num_workers > 0 and " Each worker gives the whole stream unless iter() divides it by get_worker_info()."
          or "")
    end
    return first, ...
  end
  return function() return count(following()) end
end

-- Looks, from time to time, whether a loop without an optimiser holds on to the graph of every batch.
local function watched(self, following)
  local watch, steps = self.watch, growth.steps
  return function()
    watch.rounds = watch.rounds + 1
    if watch.rounds >= watch.look_at then
      local rounds = steps == growth.steps and growth.seen(watch)
      if rounds then
        arguments.warn_once("the graph of loops", "DataLoader: the graph has grown over the last %d batches: something "
          .. "outside of the loop, such as a list of outputs, holds on to each batch's graph and its memory. Evaluate "
          .. "under torch.no_grad or with model:predict(x), and keep :item() or :detach() of what is kept", rounds)
      elseif steps ~= growth.steps then
        self.watch = growth.watch()
        watch, steps = self.watch, growth.steps
      end
    end
    return following()
  end
end

-- pin_memory: in the calling thread, since what GPUs reach belongs to it.
local function pinned(self, following)
  if require("moontorch.cuda").is_available() then return require("moontorch.utils.pin").each(following) end
  arguments.warn_once(self, "'pin_memory' argument is set as true but no accelerator is found, then device pinned "
    .. "memory won't be used.")
  return following
end

local function epoch(self)
  local following, close = batches(self)
  if self.iterable then following = counted(self, following) end
  if self.pin_memory then following = pinned(self, following) end
  following = watched(self, following)
  -- `close` lives as long as the iterator, which holds it.
  self.epochs[following] = close
  return following, close
end

-- A batch's parts as several values when it is an array of them.
local function spread(batch)
  if type(batch) == "table" and getmetatable(batch) == nil and batch[1] ~= nil then return table.unpack(batch) end
  return batch
end

--- An iterator over one epoch: `for x, y in loader:iter() do`. `loader()` is the same. Leaving the loop ends its
-- workers.
function DataLoader:iter()
  local following, close = epoch(self)
  local closing = setmetatable({}, { __close = close })
  if rawget(self, "collate_fn") ~= nil then return following, nil, nil, closing end
  return function() return spread(following()) end, nil, nil, closing
end

--- Ends the workers of loops that were left early, and those that persist.
function DataLoader:close()
  self.epoch, self.close_epoch = nil, nil
  for _, close in pairs(self.epochs) do close() end
  if self.crew then
    self.crew:close()
    self.crew = nil
  end
end

rawset(DataLoader, "__close", DataLoader.close)

-- `loader()` makes an iterator. In `for x, y in loader do` Lua calls the loader itself with (nil, nil) first and with
-- (nil, x) then: the epoch under way is kept in the loader.
rawset(DataLoader, "__call", function(self, ...)
  if select("#", ...) == 0 then return self:iter() end
  local _, previous = ...
  if previous == nil then
    local left = self.close_epoch
    if left then left() end
    local closing
    self.epoch, _, _, closing = self:iter()
    self.close_epoch = getmetatable(closing).__close
  end
  if self.epoch == nil then return nil end
  return self.epoch()
end)

-- `for i, batch in pairs(loader)`: batches numbered from 1, parts in an array.
rawset(DataLoader, "__pairs", function(self)
  local following, i = epoch(self), 0
  return function()
    local batch = datasets.as_sample(following())
    if batch == nil then return nil end
    i = i + 1
    return i, batch
  end
end)

return { DataLoader = DataLoader }
