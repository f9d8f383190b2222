--- torch.cuda.memory: what tensors hold on a device, and what is kept for the next ones.
--
-- Sizes are bytes. Memory that a tensor gives back stays with this process for the next tensors; the numbers called
-- reserved count it. https://docs.pytorch.org/docs/stable/notes/cuda.html#memory-management

local core = require "moontorch.core"
local binding = require "moontorch.cuda.binding"

local memory = {}
local device_index = binding.index

-- Numbers of a device; nil where no GPU is: then nothing is held.
local function stats(name, device)
  local index = device_index(name, device)
  if not binding.get() then return nil end
  return binding.call(name, "memory_stats", index)
end

local function number(name, device, key)
  local all = stats(name, device)
  return all and all[key] or 0
end

--- Gives memory that no tensor holds back to the devices, and pinned memory to the system.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.empty_cache.html
function memory.empty_cache()
  if binding.get() then binding.call("empty_cache", "empty_cache") end
end

--- Free and total memory of the device, in bytes.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.mem_get_info.html
function memory.mem_get_info(device)
  return binding.call("mem_get_info", "mem_get_info", device_index("mem_get_info", device))
end

--- Everything that is counted, by PyTorch's names: "allocation", "segment", "active", "inactive_split",
-- "allocated_bytes", "reserved_bytes", "active_bytes", "inactive_split_bytes", "requested_bytes", each with
-- ".all", ".large_pool", ".small_pool" and ".current", ".peak", ".allocated", ".freed"; "num_alloc_retries", "num_ooms"
-- and others. An empty table where no GPU is.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.memory_stats.html
function memory.memory_stats(device) return stats("memory_stats", device) or {} end

--- Bytes that tensors hold on the device.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.memory_allocated.html
function memory.memory_allocated(device)
  return number("memory_allocated", device, "allocated_bytes.all.current")
end

--- The most bytes that tensors have held, since the start or reset_peak_memory_stats.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.max_memory_allocated.html
function memory.max_memory_allocated(device)
  return number("max_memory_allocated", device, "allocated_bytes.all.peak")
end

--- Bytes taken from the device, free blocks included.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.memory_reserved.html
function memory.memory_reserved(device)
  return number("memory_reserved", device, "reserved_bytes.all.current")
end

--- The most bytes taken from the device.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.max_memory_reserved.html
function memory.max_memory_reserved(device)
  return number("max_memory_reserved", device, "reserved_bytes.all.peak")
end

--- The most so far becomes what is held now.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.reset_peak_memory_stats.html
function memory.reset_peak_memory_stats(device)
  binding.call("reset_peak_memory_stats", "reset_peak", device_index("reset_peak_memory_stats", device))
end

--- What was allocated and freed so far is counted from 0 again.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.reset_accumulated_memory_stats.html
function memory.reset_accumulated_memory_stats(device)
  local name = "reset_accumulated_memory_stats"
  binding.call(name, "reset_accumulated", device_index(name, device))
end

--- This process may reserve that share of the device's memory, from 0 to 1; what needs more is out of memory. Memory
-- that is reserved already stays.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.set_per_process_memory_fraction.html
function memory.set_per_process_memory_fraction(fraction, device)
  local name = "set_per_process_memory_fraction"
  if type(fraction) == "table" then fraction, device = fraction.fraction, fraction.device end
  if type(fraction) ~= "number" then core.raise(name, "Invalid type for fraction argument, must be `float`") end
  if not (fraction >= 0 and fraction <= 1) then
    core.raise(name, "Invalid fraction value: %s. Allowed range: 0~1", tostring(fraction))
  end
  binding.call(name, "set_fraction", device_index(name, device), fraction)
end

--- The share that set_per_process_memory_fraction set; 1.0 at first.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.get_per_process_memory_fraction.html
function memory.get_per_process_memory_fraction(device)
  local name = "get_per_process_memory_fraction"
  return binding.call(name, "fraction", device_index(name, device))
end

-- The summary ---------------------------------------------------------------------------------------------------------

-- `value` in the unit in which `whole`, the line's first number, has few digits.
local function scaled(value, whole, limit, step, units)
  local unit = units[1]
  for k = 2, #units do
    if whole < limit then break end
    unit, value, whole = units[k], value // step, whole / step
  end
  return value, unit
end

local function size_text(value, whole)
  local n, unit = scaled(value, whole, 768 * 1024, 1024, { "B  ", "KiB", "MiB", "GiB", "TiB", "PiB" })
  return ("%6d %s"):format(n, unit)
end

local function count_text(value, whole)
  local n, unit = scaled(value, whole, 750 * 1000, 1000, { " ", "K", "M" })
  return ("%7d %s "):format(n, unit)
end

local METRICS = {
  { "allocated_bytes", "Allocated memory", size_text }, { "active_bytes", "Active memory", size_text },
  { "requested_bytes", "Requested memory", size_text }, { "reserved_bytes", "GPU reserved memory", size_text },
  { "inactive_split_bytes", "Non-releasable memory", size_text }, { "allocation", "Allocations", count_text },
  { "active", "Active allocs", count_text }, { "segment", "GPU reserved segments", count_text },
  { "inactive_split", "Non-releasable allocs", count_text },
}
local OVERSIZE = {
  { "oversize_allocations", "Oversize allocations" }, { "oversize_segments", "Oversize GPU segments" },
}
local COLUMNS = { "current", "peak", "allocated", "freed" }

-- A line of the four numbers under `prefix`, in the units of `whole`'s.
local function row(all, title, prefix, whole, text)
  local cells = {}
  for k, column in ipairs(COLUMNS) do cells[k] = text(all[prefix .. column], all[whole .. column]) end
  return (" %-21s | %s "):format(title, table.concat(cells, " | "))
end

--- What memory_stats tells, as PyTorch's table; abbreviated: without the two pools. Both may be keywords.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.memory.memory_summary.html
function memory.memory_summary(device, abbreviated)
  local name = "memory_summary"
  if type(device) == "table" and getmetatable(device) == nil then
    device, abbreviated = device.device, device.abbreviated
  elseif type(abbreviated) == "table" then
    abbreviated = abbreviated.abbreviated
  end
  local index = device_index(name, device) or binding.call(name, "current_device")
  local all = binding.call(name, "memory_stats", index)
  local double, single = ("="):rep(75), ("-"):rep(75)
  local lines = {
    double,
    (" %16s PyTorch CUDA memory summary, device ID %-17d "):format("", index),
    single,
    ("  %9s CUDA OOMs: %-12d | %6s cudaMalloc retries: %-8d  "):format("", all.num_ooms, "", all.num_alloc_retries),
    double,
    "        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  ",
  }
  local function add(line) lines[#lines + 1] = line end
  for _, metric in ipairs(METRICS) do
    local whole = metric[1] .. ".all."
    add(single)
    add(row(all, metric[2], whole, whole, metric[3]))
    if not abbreviated then
      add(row(all, "      from large pool", metric[1] .. ".large_pool.", whole, metric[3]))
      add(row(all, "      from small pool", metric[1] .. ".small_pool.", whole, metric[3]))
    end
  end
  for _, metric in ipairs(OVERSIZE) do
    add(single)
    add(row(all, metric[2], metric[1] .. ".", metric[1] .. ".", count_text))
  end
  add(double)
  return "|" .. table.concat(lines, "|\n|") .. "|\n"
end

return memory
