--- Pinning what a loader gives: tensors of a batch in memory that GPUs reach by themselves.
--
-- Batches keep their form: plain tables are copied field by field, objects are asked for a method pin_memory, and
-- everything else stays. Invariant: nothing that was given is changed.

local core = require "moontorch.core"

local pin

local function has_method(v)
  local found, method = pcall(function() return v.pin_memory end)
  return found and type(method) == "function"
end

--- The same with its tensors pinned.
function pin(v)
  if core.is_tensor(v) then return v.is_cuda and v or v:pin_memory() end
  if type(v) ~= "table" then return v end
  if getmetatable(v) ~= nil then return has_method(v) and v:pin_memory() or v end
  local copy = {}
  for key, part in next, v do copy[key] = pin(part) end
  return copy
end

local function pinned(first, ...)
  if select("#", ...) == 0 then return pin(first) end
  return pin(first), pinned(...)
end

--- An iterator that gives what `following` gives, pinned.
local function each(following)
  return function() return pinned(following()) end
end

return { pin = pin, each = each }
