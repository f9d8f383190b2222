--- torch.utils: data, progress, idx, safetensors, gradient_report, each loaded when it is first used.

local parts = {
  data = "moontorch.utils.data",
  progress = "moontorch.utils.progress",
  idx = "moontorch.utils.idx",
  safetensors = "moontorch.utils.safetensors",
  gradient_report = "moontorch.utils.report",
}

return setmetatable({}, { __index = function(self, key)
  local name = parts[key]
  if name == nil then return nil end
  local part = require(name)
  self[key] = part
  return part
end })
