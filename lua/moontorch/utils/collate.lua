--- default_collate: an array of samples becomes one batch. default_convert: what a loader without batches does instead.
--
-- Tensors are stacked, numbers become a tensor (integers int64, floats float64, booleans bool), arrays and tables go
-- field by field, strings stay an array. Samples that do not fit together are an error that names them, by their
-- numbers in the dataset where these are known.

local core = require "moontorch.core"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local collate

-- The numbers of the samples in their dataset, while a batch of a loader is collated.
local positions

-- What messages call samples i and k of the batch.
local function pair(i, k)
  if positions then return tostring(positions[i]), tostring(positions[k]) end
  return tostring(i), tostring(k)
end

local function where(field)
  return field == "" and "" or (" in field " .. field)
end

local remedy = "; pad them to one shape in the dataset, or give DataLoader a collate_fn that takes the array of samples"

local function kind_of(v)
  if core.is_tensor(v) then return "Tensor" end
  return type(v)
end

local function check_same_kind(batch, field)
  local kind = kind_of(batch[1])
  for i = 2, #batch do
    if kind_of(batch[i]) ~= kind then
      local a, b = pair(1, i)
      core.raise("default_collate", "expected %s as sample %s%s, as sample %s is one, but got %s%s", kind, b,
        where(field), a, arguments.type_name(batch[i]), remedy)
    end
  end
  return kind
end

local function stack(batch, field)
  local first = batch[1].shape
  for i = 2, #batch do
    if batch[i].shape ~= first then
      local known = positions and (" (samples %s and %s)"):format(pair(1, i)) or ""
      core.raise("default_collate", "stack expects each tensor to be equal size, but got %s at entry 1 and %s at entry "
        .. "%d%s%s%s", text.sizes(batch[1]), text.sizes(batch[i]), i, known, where(field), remedy)
    end
  end
  return core.stack(batch, 1)
end

local function numbers(batch)
  if math.type(batch[1]) == "float" then return core.tensor(batch, { dtype = core.float64 }) end
  return core.tensor(batch)
end

local function arrays(batch, field)
  local width = #batch[1]
  for i = 2, #batch do
    if #batch[i] ~= width then
      local a, b = pair(1, i)
      core.raise("default_collate", "each element in list of batch should be of equal size, but sample %s has %d and "
        .. "sample %s has %d%s%s", a, width, b, #batch[i], where(field), remedy)
    end
  end
  local result = {}
  for k = 1, width do
    local column = {}
    for i = 1, #batch do column[i] = batch[i][k] end
    result[k] = collate(column, field == "" and tostring(k) or field .. "." .. k)
  end
  return result
end

local function tables(batch, field)
  local result = {}
  for key in pairs(batch[1]) do
    local column, name = {}, field == "" and tostring(key) or field .. "." .. tostring(key)
    for i = 1, #batch do
      if batch[i][key] == nil then
        local a, b = pair(1, i)
        core.raise("default_collate", "sample %s has no field %s, which sample %s has%s", b, name, a, remedy)
      end
      column[i] = batch[i][key]
    end
    result[key] = collate(column, name)
  end
  return result
end

function collate(batch, field)
  local kind = check_same_kind(batch, field)
  if kind == "Tensor" then return stack(batch, field) end
  if kind == "number" then return numbers(batch) end
  if kind == "boolean" then return core.tensor(batch) end
  if kind == "string" then return batch end
  if kind == "table" then
    if batch[1][1] ~= nil or next(batch[1]) == nil then return arrays(batch, field) end
    return tables(batch, field)
  end
  core.raise("default_collate", "batch must contain tensors, numbers, strings, booleans, arrays or tables; found %s%s",
    kind, where(field))
end

local module = {}

--- The batch made from an array of samples.
function module.default_collate(batch)
  positions = nil
  return module.collate(batch)
end

--- default_collate of the samples whose numbers in their dataset are `numbers_of` (an array).
function module.collate(batch, numbers_of)
  if type(batch) ~= "table" or batch[1] == nil then
    core.raise("default_collate", "expected an array of samples, but got %s",
      type(batch) == "table" and "an empty table" or arguments.type_name(batch))
  end
  positions = numbers_of
  return collate(batch, "")
end

--- A single sample as a loader without batches gives it: plain tables are copied, field by field; everything else,
-- numbers too, stays what it is.
function module.default_convert(data)
  if type(data) ~= "table" or getmetatable(data) ~= nil then return data end
  local copy = {}
  for key, value in next, data do copy[key] = module.default_convert(value) end
  return copy
end

return module
