--- torch.optim: Optimizer, SGD, Adam, AdamW.

local adam = require "moontorch.optim.adam"

return {
  Optimizer = require "moontorch.optim.optimizer",
  SGD = require "moontorch.optim.sgd",
  Adam = adam.Adam,
  AdamW = adam.AdamW,
}
