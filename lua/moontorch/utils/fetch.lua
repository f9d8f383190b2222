--- Fetching: how a loader, in the calling thread or in a worker, gets the batch for a list of positions.
--
-- A fetcher is a function of what the sampler gave. It returns what a loop gets: a batch or, from a collate function,
-- whatever that returned; `nil` first when a stream has ended. Invariant: it knows nothing of threads.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local datasets = require "moontorch.utils.dataset"
local collate = require "moontorch.utils.collate"

local fetch = {}

-- One sample of a map-style dataset, which must exist.
local function sample_at(dataset, position)
  local sample = dataset[position]
  if sample == nil then
    core.raise("DataLoader", "the dataset has no sample %s (its length is %d)", tostring(position), #dataset)
  end
  return sample
end

-- collate_fn or the default one, which is told the samples' numbers. `state.samples`: what is being collated.
local function collated(samples, numbers, collate_fn, state)
  state.sample, state.samples = nil, numbers
  if collate_fn == nil or collate_fn == collate.default_collate then return collate.collate(samples, numbers) end
  return collate_fn(samples)
end

local function from_map(dataset, options, state)
  local collate_fn, pause = options.collate_fn, options.pause
  if not options.batched then
    local convert = collate_fn or collate.default_convert
    return function(position)
      state.sample = position
      return convert(sample_at(dataset, position))
    end
  end
  return function(positions)
    if collate_fn == nil then
      local batch = datasets.batch_of(dataset, positions)
      if batch ~= nil then return batch end
    end
    local samples
    local numbers = positions:tolist()
    state.sample, state.samples = nil, numbers
    if class.is_class(getmetatable(dataset)) and type(dataset.get_items) == "function" then
      samples = dataset:get_items(numbers)
    else
      samples = {}
      for i, position in ipairs(numbers) do
        pause()
        state.sample = position
        samples[i] = sample_at(dataset, position)
      end
    end
    return collated(samples, numbers, collate_fn, state)
  end
end

local function from_stream(dataset, options, state)
  local size, collate_fn, pause = options.batch_size, options.collate_fn, options.pause
  local following, ended, count = datasets.stream(dataset), false, 0
  local function next_sample()
    if ended then return nil end
    pause()
    state.sample, state.samples = count + 1, nil
    local sample = datasets.as_sample(following())
    if sample == nil then ended = true else count = count + 1 end
    return sample
  end
  if size == nil then
    local convert = collate_fn or collate.default_convert
    return function()
      local sample = next_sample()
      if sample == nil then return nil end
      return convert(sample)
    end
  end
  return function()
    local samples, numbers = {}, {}
    for i = 1, size do
      local sample = next_sample()
      if sample == nil then break end
      samples[i], numbers[i] = sample, count
    end
    if #samples == 0 or (options.drop_last and #samples < size) then return nil end
    return collated(samples, numbers, collate_fn, state)
  end
end

local function nothing() end

--- The fetcher of a dataset, and what it is at: a table with `sample` (the number of the one being made) or `samples`
-- (the numbers of those being collated). `options`: batch_size (nil: single samples), batched (positions come in
-- lists), collate_fn, drop_last, pause (called before each sample).
function fetch.fetcher(dataset, options)
  local state = {}
  options.pause = options.pause or nothing
  local make = datasets.is_iterable(dataset) and from_stream or from_map
  return make(dataset, options, state), state
end

--- A dataset as DataLoader takes it: itself, or what the function or the module of that name gives.
function fetch.dataset(given, name)
  if type(given) == "string" then
    local ok, module = pcall(require, given)
    if not ok then
      core.raise("DataLoader", "dataset = '%s' names no module that loads: %s", given, tostring(module))
    end
    given = module
  end
  if type(given) == "function" then given = given() end
  if not datasets.is_dataset(given) then
    core.raise("DataLoader", "argument 'dataset' (position 1) must be a dataset, not %s; a function that makes one, or "
      .. "the name of a module that returns either, will do as well", name)
  end
  return given
end

return fetch
