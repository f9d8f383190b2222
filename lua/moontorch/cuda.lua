--- torch.cuda: what can be said of GPUs. The kernels are a shared object of their own, moontorch/cuda.so, which is
-- looked for when something here is first called.

local core = require "moontorch.core"

local cuda = {}

-- The functions of moontorch/cuda.so, false where there is none or no device; nil until it was looked for.
local library

-- Looks for the object on package.cpath, as require would; this module has its name.
local function find()
  local path = package.searchpath("moontorch.cuda", package.cpath)
  if not path then return false end
  local open, why = package.loadlib(path, "luaopen_moontorch_cuda")
  if not open then return false, ("moontorch/cuda.so cannot be loaded: %s. Keep the tensor on the cpu"):format(why) end
  local found, reason = open(core._device_api())
  return found or false, reason
end

--- For the core: looks once.
function cuda._load()
  if library ~= nil then return end
  local reason
  library, reason = find()
  if reason then core._device_missing(reason) end
end

local function backend()
  cuda._load()
  return library
end

--- Is there a GPU, its driver, and moontorch/cuda.so?
function cuda.is_available()
  return backend() ~= false
end

--- How many GPUs there are.
function cuda.device_count()
  local found = backend()
  return found and found.device_count() or 0
end

-- The library's function of that name, for a device given as a number, a string or a torch.device; 0 when left out.
local function call(name, device, ...)
  local found = backend()
  if not found then
    core.raise(name, "Torch not compiled with CUDA enabled, or no GPU is there: torch.cuda.is_available() is false")
  end
  local index = device
  if device ~= nil and math.type(device) ~= "integer" then
    local d = core.device(device)
    if d.type ~= "cuda" then core.raise(name, "Expected a cuda device, but got: %s", tostring(d)) end
    index = d.index
  end
  local results = table.pack(pcall(found[name], index, ...))
  if not results[1] then core.raise(name, "%s", results[2]) end
  return table.unpack(results, 2, results.n)
end

--- For torch.backends: cuDNN's version, nil where there is none.
function cuda._dnn_version()
  local found = backend()
  local version = found and found.dnn_version() or 0
  return version > 0 and version or nil
end

--- Waits until all that was launched on the device is done.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.synchronize.html
function cuda.synchronize(device) call("synchronize", device) end

--- Gives memory that no tensor holds back to the devices; nothing where there is none.
function cuda.empty_cache()
  if backend() then call("empty_cache") end
end

--- Free and total memory of the device, in bytes.
function cuda.mem_get_info(device) return call("mem_get_info", device) end

--- Bytes that tensors hold on the device, now and at most; and those that were taken from it, free blocks included.
-- https://docs.pytorch.org/docs/stable/notes/cuda.html#memory-management
function cuda.memory_allocated(device) return call("memory_stats", device).allocated end
function cuda.max_memory_allocated(device) return call("memory_stats", device).peak end
function cuda.memory_reserved(device) return call("memory_stats", device).reserved end
function cuda.max_memory_reserved(device) return call("memory_stats", device).peak_reserved end

--- The most so far becomes what is held now.
function cuda.reset_peak_memory_stats(device) call("reset_peak", device) end

-- Every creation function exists here too, so that `local t = torch.cuda.is_available() and torch.cuda or torch` makes
-- a script follow the device.
local CREATION = {
  "tensor", "zeros", "ones", "empty", "full", "rand", "randn", "randint", "randperm", "arange", "linspace", "eye",
  "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "as_tensor", "logspace",
  "scalar_tensor", "empty_strided", "tril_indices", "triu_indices", "hann_window", "hamming_window", "blackman_window",
  "bartlett_window", "kaiser_window",
}
for _, name in ipairs(CREATION) do
  cuda[name] = function(...)
    return core[name](...):cuda()
  end
end
for _, kind in ipairs { "Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool" } do
  cuda[kind .. "Tensor"] = function(...)
    return core[kind .. "Tensor"](...):cuda()
  end
end

return cuda
