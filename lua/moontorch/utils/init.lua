--- torch.utils: data, readers of files, progress, copy, gradient_report, each loaded when it is first used.

local parts = {
  data = "moontorch.utils.data",
  progress = "moontorch.utils.progress",
  idx = "moontorch.utils.idx",
  safetensors = "moontorch.utils.safetensors",
  npy = "moontorch.utils.npy",
  csv = "moontorch.utils.csv",
  text = "moontorch.utils.text",
  image = "moontorch.utils.image",
  pickle = "moontorch.utils.pickle",
  deterministic = "moontorch.utils.deterministic",
  copy = "moontorch.nn.copy",
  gradient_report = "moontorch.utils.report",
}

return setmetatable({}, { __index = function(self, key)
  local name = parts[key]
  if name == nil then return nil end
  local part = require(name)
  self[key] = part
  return part
end })
