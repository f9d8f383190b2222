--- torch.optim: optimisers and, loaded when first used, learning-rate schedulers.

local class = require "moontorch.nn.class"
class.guard(require "moontorch.optim.state", "step zero_grad add_param_group state_dict load_state_dict")

-- name -> the module that holds it; "*" is the module itself.
local PARTS = {
  Optimizer = { "optimizer", "*" }, SGD = { "sgd", "*" }, Adam = { "adam", "Adam" }, AdamW = { "adam", "AdamW" },
  Adadelta = { "adaptive", "Adadelta" }, Adagrad = { "adaptive", "Adagrad" }, RMSprop = { "adaptive", "RMSprop" },
  Adamax = { "moments", "Adamax" }, NAdam = { "moments", "NAdam" }, RAdam = { "moments", "RAdam" },
  ASGD = { "averaged", "ASGD" }, Rprop = { "averaged", "Rprop" }, LBFGS = { "lbfgs", "*" },
  lr_scheduler = { "lr_scheduler", "*" },
}

return setmetatable({}, { __index = function(self, name)
  local part = PARTS[name]
  if part == nil then return nil end
  local value = require("moontorch.optim." .. part[1])
  if part[2] ~= "*" then value = value[part[2]] end
  self[name] = value
  return value
end })
