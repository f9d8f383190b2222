--- torch.cuda: what can be said of GPUs. The kernels are a shared object of their own, moontorch/cuda.so, which is
-- looked for when something here first needs it (cuda/binding.lua). Devices are here; streams, memory and graphs have
-- files of their own.

local core = require "moontorch.core"
local binding = require "moontorch.cuda.binding"

local cuda = {}
local call, device_index = binding.call, binding.index

for _, part in ipairs { "stream", "memory", "graph", "graphed", "random" } do
  local functions = require("moontorch.cuda." .. part)
  for name, value in pairs(functions) do cuda[name] = value end
end
cuda.memory = require "moontorch.cuda.memory"

--- For the core: looks once.
function cuda._load() binding.get() end

-- Devices -------------------------------------------------------------------------------------------------------------

--- Is there a GPU, its driver, and moontorch/cuda.so?
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.is_available.html
function cuda.is_available() return binding.get() ~= false end

--- Was moontorch/cuda.so loaded, and a device found?
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.is_initialized.html
function cuda.is_initialized() return binding.is_loaded() end

--- Loads moontorch/cuda.so, which every use does by itself; raises what is missing.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.init.html
function cuda.init()
  if not binding.get() then binding.refuse("init") end
end

--- How many GPUs there are.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.device_count.html
function cuda.device_count()
  local found = binding.get()
  return found and found.device_count() or 0
end

--- The number of the device that this thread means by "cuda".
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.current_device.html
function cuda.current_device() return call("current_device", "current_device") end

--- From now on this thread means that device by "cuda"; a negative number changes nothing. A string "cuda" that was
-- made into a torch.device before keeps its number.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.set_device.html
function cuda.set_device(device)
  local index = device_index("set_device", device)
  if index == nil then index = call("set_device", "current_device") end
  if index >= 0 then call("set_device", "set_device", index) end
end

--- For torch.backends: cuDNN's version, nil where there is none.
function cuda._dnn_version()
  local found = binding.get()
  local version = found and found.dnn_version() or 0
  return version > 0 and version or nil
end

-- index nil or negative: changes nothing.
local function device_block(name, index, f)
  local before
  local changes = index ~= nil and index >= 0
  return binding.block(name, f, function()
    if not changes then return end
    before = call(name, "current_device")
    call(name, "set_device", index)
  end, function()
    if changes then call(name, "set_device", before) end
  end)
end

--- device(i, f): inside f, or until the to-be-closed variable goes, "cuda" is that device; nil or a negative number
-- changes nothing. https://docs.pytorch.org/docs/stable/generated/torch.cuda.device.html
function cuda.device(device, f) return device_block("device", device_index("device", device), f) end

--- device_of(tensor, f): the same for the tensor's device; of a tensor on the cpu, nothing changes.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.device_of.html
function cuda.device_of(tensor, f)
  if not core.is_tensor(tensor) then
    core.raise("device_of", "argument 'obj' (position 1) must be Tensor, not %s", type(tensor))
  end
  return device_block("device_of", tensor.is_cuda and tensor.device.index or nil, f)
end

--- Waits until all that was sent to the device is done, on all its streams.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.synchronize.html
function cuda.synchronize(device) call("synchronize", "synchronize", device_index("synchronize", device)) end

local function mebibytes(bytes) return bytes // (1 << 20) end

local Properties = { __name = "_CudaDeviceProperties" }
function Properties.__index(_, key)
  core.raise("get_device_properties", "the properties of a device have no attribute '%s'", tostring(key))
end
function Properties.__tostring(p)
  return ("_CudaDeviceProperties(name='%s', major=%d, minor=%d, total_memory=%dMB, multi_processor_count=%d, uuid=%s, "
    .. "pci_bus_id=%d, pci_device_id=%d, pci_domain_id=%d, L2_cache_size=%dMB)"):format(p.name, p.major, p.minor,
    mebibytes(p.total_memory), p.multi_processor_count, p.uuid, p.pci_bus_id, p.pci_device_id, p.pci_domain_id,
    mebibytes(p.L2_cache_size))
end

-- 16 bytes as text in groups of 4, 2, 2, 2 and 6.
local function uuid_text(bytes)
  local hex = bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  return ("%s-%s-%s-%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 16), hex:sub(17, 20), hex:sub(21))
end

local function properties(name, device)
  local p = call(name, "properties", device_index(name, device))
  p.uuid = uuid_text(p.uuid)
  return setmetatable(p, Properties)
end

--- What the device is, as a table: name, major, minor, total_memory (bytes), multi_processor_count, warp_size,
-- max_threads_per_block, max_threads_per_multi_processor, regs_per_multiprocessor, shared_memory_per_block,
-- shared_memory_per_block_optin, shared_memory_per_multiprocessor, L2_cache_size, memory_bus_width (bits), uuid,
-- pci_bus_id, pci_device_id, pci_domain_id, is_integrated, is_multi_gpu_board.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.get_device_properties.html
function cuda.get_device_properties(device) return properties("get_device_properties", device) end

--- The device's name. https://docs.pytorch.org/docs/stable/generated/torch.cuda.get_device_name.html
function cuda.get_device_name(device) return properties("get_device_name", device).name end

--- Its compute capability: major and minor number.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.get_device_capability.html
function cuda.get_device_capability(device)
  local p = properties("get_device_capability", device)
  return p.major, p.minor
end

--- What moontorch/cuda.so was built for: an array like {"sm_80", "sm_90", "compute_90"}, empty where there is none.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.get_arch_list.html
function cuda.get_arch_list()
  local found, list, last = binding.get(), {}, nil
  for number in (found and found.archs or ""):gmatch("%S+") do
    list[#list + 1], last = "sm_" .. number, number
  end
  if last then list[#list + 1] = "compute_" .. last end
  return list
end

--- Does the current device compute with bfloat16? Every one does here; with including_emulation = false, those that
-- have instructions for it. https://docs.pytorch.org/docs/stable/generated/torch.cuda.is_bf16_supported.html
function cuda.is_bf16_supported(including_emulation)
  if type(including_emulation) == "table" then including_emulation = including_emulation.including_emulation end
  if not cuda.is_available() then return false end
  return including_emulation ~= false or properties("is_bf16_supported").major >= 8
end

--- Does the current device multiply float32 matrices as TF32 when asked to?
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.is_tf32_supported.html
function cuda.is_tf32_supported()
  return cuda.is_available() and properties("is_tf32_supported").major >= 8
end

--- Can the device reach the other one's memory by itself? Copies between them work either way.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.can_device_access_peer.html
function cuda.can_device_access_peer(device, peer_device)
  local name = "can_device_access_peer"
  return call(name, "can_access_peer", device_index(name, device), device_index(name, peer_device))
end

-- Waiting -------------------------------------------------------------------------------------------------------------

local SYNC_MODES = { default = 0, warn = 1, error = 2 }

--- Says what happens when a call waits for the device, such as item() or a copy to the host: nothing ("default" or 0),
-- a warning at the script's line ("warn" or 1), an error ("error" or 2). For finding what makes a script slow.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.set_sync_debug_mode.html
function cuda.set_sync_debug_mode(debug_mode)
  local mode = SYNC_MODES[debug_mode] or debug_mode
  if mode ~= 0 and mode ~= 1 and mode ~= 2 then
    core.raise("set_sync_debug_mode", "invalid value of debug_mode, expected one of `default`, `warn`, `error`, or "
      .. "0, 1, 2, got %s", tostring(debug_mode))
  end
  call("set_sync_debug_mode", "sync_mode", math.tointeger(mode))
end

--- What set_sync_debug_mode set: 0, 1 or 2.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.get_sync_debug_mode.html
function cuda.get_sync_debug_mode() return call("get_sync_debug_mode", "sync_mode") end

-- Out of memory -------------------------------------------------------------------------------------------------------

local OutOfMemoryError = setmetatable({ __name = "OutOfMemoryError" }, {
  __call = function(_, problem)
    return type(problem) == "string" and problem:find("CUDA out of memory", 1, true) ~= nil
  end,
  __tostring = function() return "<class 'torch.OutOfMemoryError'>" end,
})
--- Errors are strings: OutOfMemoryError(problem) tells whether a pcall met one of a device's memory.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.OutOfMemoryError.html
cuda.OutOfMemoryError = OutOfMemoryError

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
    local made = core._on_device("cuda", core[name], ...)
    if made.is_cuda then return made end
    local moved = made:detach():cuda() -- a leaf, like the one that was made where its tensor is
    return made.requires_grad and moved:requires_grad_() or moved
  end
end
for _, kind in ipairs { "Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool" } do
  cuda[kind .. "Tensor"] = function(...)
    return core[kind .. "Tensor"](...):cuda()
  end
end

--- torch.cuda.amp: autocast, GradScaler and the like for "cuda".
cuda.amp = require("moontorch.amp").cuda

return cuda
