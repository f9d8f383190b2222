--- torch.cuda: what can be said of GPUs. The kernels are a shared object of their own, moontorch/cuda.so, which is
-- looked for when something here is first called.

local core = require "moontorch.core"

local cuda = {}

local function backend()
  local found, library = pcall(require, "moontorch.cuda_core")
  return found and library or nil
end

--- Is there a GPU, its driver, and moontorch/cuda.so?
function cuda.is_available()
  local library = backend()
  return library ~= nil and library.device_count() > 0
end

function cuda.device_count()
  local library = backend()
  return library and library.device_count() or 0
end

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
