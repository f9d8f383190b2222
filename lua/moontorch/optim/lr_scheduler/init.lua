--- torch.optim.lr_scheduler: learning-rate schedulers.

local class = require "moontorch.nn.class"

local lr_scheduler = { LRScheduler = require("moontorch.optim.lr_scheduler.base").LRScheduler }

for _, part in ipairs { "simple", "cyclic", "combined" } do
  for name, cls in pairs(require("moontorch.optim.lr_scheduler." .. part)) do lr_scheduler[name] = cls end
end

-- The base's name of before PyTorch 2.0, which scripts inherit from.
lr_scheduler._LRScheduler = class.extend("_LRScheduler", lr_scheduler.LRScheduler)

return lr_scheduler
