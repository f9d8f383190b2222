--- torch.nn.utils: clipping of gradients, parameters as one vector, weight norm, and rnn (sequences of several
-- lengths).

local utils = { rnn = require "moontorch.nn.utils.rnn" }

for _, part in ipairs { "clip_grad", "vector", "weight_norm" } do
  for name, fn in pairs(require("moontorch.nn.utils." .. part)) do utils[name] = fn end
end

return utils
