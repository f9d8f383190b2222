--- torch.backends: what the libraries of a GPU may do. All can be set where there is no GPU too; it counts once there
-- is one.
-- https://docs.pytorch.org/docs/stable/backends.html

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local settings = require "moontorch.settings"

-- A table whose fields in `modes` (name -> { get, set, PyTorch's name of the setter }) read and set what is in force.
local function with_modes(path, modes, functions)
  return setmetatable(functions, {
    __index = function(_, name)
      local mode = modes[name]
      if mode then return mode.get() end
    end,
    __newindex = function(_, name, value)
      local mode = modes[name]
      if not mode then core.raise(path, "Unknown attribute %s of %s", tostring(name), path) end
      if type(value) ~= "boolean" then
        core.raise(path .. "." .. name, "%s expects a bool, but got %s", mode.setter, arguments.type_name(value))
      end
      mode.set(value)
    end,
  })
end

local function mode(name, setter)
  return {
    get = function() return core._device_mode(name) end,
    set = function(value) core._device_mode(name, value) end,
    setter = setter,
  }
end

local backends = {}

local cuda_modes = {
  allow_tf32 = {
    get = function() return core._device_mode("matmul_tf32") end,
    set = function(value) settings.set_float32_matmul_precision(value and "high" or "highest") end,
    setter = "set_allow_tf32_cublas",
  },
  allow_fp16_reduced_precision_reduction = mode("fp16_reduction", "set_allow_fp16_reduction_cublas"),
  allow_bf16_reduced_precision_reduction = mode("bf16_reduction", "set_allow_bf16_reduction_cublas"),
}

backends.cuda = {
  --- Matrix products: may float32 be computed as TF32 (10 bits of mantissa, false at first), may parts of 16-bit
  -- products be joined in 16 bits (true at first).
  matmul = with_modes("torch.backends.cuda.matmul", cuda_modes, {}),
}

--- Is moontorch/cuda.so installed?
function backends.cuda.is_built() return package.searchpath("moontorch.cuda", package.cpath) ~= nil end

local cudnn_modes = {
  enabled = mode("cudnn", "set_enabled_cudnn"),
  benchmark = mode("cudnn_benchmark", "set_benchmark_cudnn"),
  deterministic = mode("cudnn_deterministic", "set_deterministic_cudnn"),
  allow_tf32 = mode("cudnn_tf32", "set_allow_tf32_cudnn"),
}

local cudnn = {}

--- cuDNN's version as a number, 91000 for 9.10.0; nil where there is none.
function cudnn.version() return require("moontorch.cuda")._dnn_version() end

--- Is there a GPU, and cuDNN beside it? Without it convolutions take kernels of our own.
function cudnn.is_available() return cudnn.version() ~= nil end

local flags = arguments.signature("flags", {
  { "enabled", "boolean", false }, { "benchmark", "boolean", false }, { "deterministic", "boolean", false },
  { "allow_tf32", "boolean", true },
})

--- flags({enabled = false, benchmark = false, deterministic = false, allow_tf32 = true}, f): these hold while f runs.
-- Returns what f does.
function cudnn.flags(options, f)
  local wanted, before = table.pack(flags(options)), {}
  for k, name in ipairs { "enabled", "benchmark", "deterministic", "allow_tf32" } do
    before[name] = cudnn_modes[name].get()
    cudnn_modes[name].set(wanted[k])
  end
  local results = table.pack(pcall(f))
  for name, value in pairs(before) do cudnn_modes[name].set(value) end
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Convolutions through cuDNN. Fields that may be set: enabled (true at first), benchmark (algorithms are chosen by
-- measuring them once for each shape), deterministic (only those that give the same bits each time), allow_tf32 (true
-- at first).
backends.cudnn = with_modes("torch.backends.cudnn", cudnn_modes, cudnn)

return backends
