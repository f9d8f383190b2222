--- torch.utils.gradient_report(model): how large the gradients are, parameter by parameter.

local core = require "moontorch.core"
local walk = require "moontorch.nn.walk"
local arguments = require "moontorch.arguments"

--- A text with one line a parameter: its name, the norm of its gradient, its shape. Norms that shrink towards the input
-- by orders of magnitude show a gradient that vanishes. Call it after backward and print what it returns.
return function(model)
  if not walk.is_module(model) then
    core.raise("gradient_report", "expected a Module, but got %s", arguments.type_name(model))
  end
  local entries, width = walk.tensors(model, "parameters"), 0
  for _, entry in ipairs(entries) do width = math.max(width, #entry.name) end
  local lines = {}
  for i, entry in ipairs(entries) do
    local grad = entry.value.grad
    local norm = grad == nil and "no gradient" or string.format("%.2e", grad:norm():item())
    lines[i] = string.format("%-" .. width .. "s  %-11s  [%s]", entry.name, norm,
      table.concat(entry.value.shape, ", "))
  end
  return table.concat(lines, "\n")
end
