--- torch.optim.lr_scheduler: learning-rate schedulers.

local lr_scheduler = { LRScheduler = require("moontorch.optim.lr_scheduler.base").LRScheduler }

for _, part in ipairs { "simple", "cyclic", "combined" } do
  for name, cls in pairs(require("moontorch.optim.lr_scheduler." .. part)) do lr_scheduler[name] = cls end
end

return lr_scheduler
