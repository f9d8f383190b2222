--- A helper for busted that runs a spec on a GPU: what a spec makes without naming a device is made there, and where it
-- looks at values as a Lua table or string, it looks at a copy on the host. torch.host_only(f) gives f the real thing.
local torch = require "moontorch"

assert(torch.cuda.is_available(), "there is no GPU to run this spec on")
torch.set_default_device "cuda"

-- The constructor of old, for which there is no default device.
local Tensor = torch.Tensor
function torch.Tensor(...) return Tensor(...):cuda() end

local strict = false

--- Runs f with tensors that do not come to Lua by themselves.
function torch.host_only(f)
  strict = true
  local ok, why = pcall(f)
  strict = false
  if not ok then error(why, 0) end
end

for _, name in ipairs { "tolist", "tobytes" } do
  local original = torch.methods[name]
  torch.methods[name] = function(t, ...)
    if not strict and torch.is_tensor(t) and not torch.is_freed(t) then t = t:cpu() end
    return original(t, ...)
  end
end
