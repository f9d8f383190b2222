--- moontorch: tensors, autograd and neural networks for Lua.
--
-- This file puts the package together on the table of the C module: what Lua adds to tensors (metamethods, blocks,
-- scopes, functions with their own gradient) and the parts that are loaded when they are first used. Invariant:
-- requiring it loads nothing but the C module, this file and sugar.lua.

local core = require "moontorch.core"

-- Errors are reported at the first line outside of these files.
core._library_source(debug.getinfo(1, "S").source:gsub("init%.lua$", ""))

local torch = core
local LAZY = {
  nn = "moontorch.nn", optim = "moontorch.optim", utils = "moontorch.utils", autograd = "moontorch.autograd",
  cuda = "moontorch.cuda", linalg = "moontorch.linalg", special = "moontorch.special",
  amp = "moontorch.amp",
  backends = "moontorch.backends",
}
-- Functions that live in lazily loaded files.
local LAZY_FUNCTIONS = {
  set_printoptions = "moontorch.printing",
  get_printoptions = "moontorch.printing",
  broadcast_shapes = "moontorch.shapes",
  save = "moontorch.utils.serialization",
  load = "moontorch.utils.serialization",
}
for _, name in ipairs {
  "finfo", "iinfo", "can_cast", "typename", "dtype", "use_deterministic_algorithms",
  "are_deterministic_algorithms_enabled", "is_deterministic_algorithms_warn_only_enabled",
  "set_deterministic_debug_mode", "get_deterministic_debug_mode",
  "set_float32_matmul_precision", "get_float32_matmul_precision", "set_anomaly_enabled",
} do
  LAZY_FUNCTIONS[name] = "moontorch.settings"
end
for _, name in ipairs {
  "autocast", "is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype", "set_autocast_dtype",
  "is_autocast_cache_enabled", "set_autocast_cache_enabled", "is_autocast_cpu_enabled", "set_autocast_cpu_enabled",
  "get_autocast_cpu_dtype", "set_autocast_cpu_dtype", "get_autocast_gpu_dtype", "set_autocast_gpu_dtype",
} do
  LAZY_FUNCTIONS[name] = "moontorch.autocast"
end
for _, name in ipairs { "lstm", "gru", "rnn_tanh", "rnn_relu" } do LAZY_FUNCTIONS[name] = "moontorch.nn.recurrence" end

torch.version = "0.1.0"
torch.__config__ = {
  --- What this build is made of, a line each, as a string: the library that multiplies large matrices ("own": none),
  -- and how many threads loops use. https://docs.pytorch.org/docs/stable/config_mod.html
  show = function()
    return ("moontorch %s built with:\n  - BLAS: %s\n  - threads: %d\n"):format(torch.version, core._blas(),
      core.get_num_threads())
  end,
}

require "moontorch.sugar"

-- What `layout` and `memory_format` name. Every tensor is strided and contiguous, so they change nothing.
for name, kind in pairs {
  strided = "layout", contiguous_format = "memory_format", preserve_format = "memory_format",
  channels_last = "memory_format", channels_last_3d = "memory_format",
} do
  local text = "torch." .. name
  torch[name] = setmetatable({}, { __name = "torch." .. kind, __tostring = function() return text end })
end

torch._lazy_functions = LAZY_FUNCTIONS
torch.default_generator = core._default_generator()

setmetatable(torch, {
  __index = function(_, name)
    local path = LAZY[name]
    if path then
      local part = require(path)
      torch[name] = part
      return part
    end
    path = LAZY_FUNCTIONS[name]
    if path then
      local f = require(path)[name]
      torch[name] = f
      return f
    end
  end,
})

return torch
