--- Which models were put into evaluation mode, so that an optimiser can tell that train() was forgotten.
--
-- train() and eval() note the module they are called on; nothing is done in between. Invariant: models in the list are
-- held weakly.

-- `evaluations` counts the calls of eval(): without a new one nothing can have been forgotten since the last look.
local modes = { evaluations = 0 }

local evaluating = setmetatable({}, { __mode = "k" })

--- Notes train(mode) on `module`.
function modes.note(module, mode)
  evaluating[module] = not mode or nil
  if not mode then modes.evaluations = modes.evaluations + 1 end
end

-- Layers whose modes differ: those that drop, and those that keep running statistics.
local function has_two_modes(module)
  return module._get_name(module):find("Dropout", 1, true) ~= nil or rawget(module, "running_mean") ~= nil
end

-- Is all of `model` in evaluation mode, and would it compute something else in training?
local function forgot_train(model, list)
  local differs = false
  for _, entry in ipairs(list) do
    if entry.value.training then return false end
    differs = differs or has_two_modes(entry.value)
  end
  return differs
end

--- Is any model in evaluation mode?
function modes.any_evaluating() return next(evaluating) ~= nil end

--- The class name of a model that is in evaluation mode as a whole and holds one of `params` (a set), or nil.
function modes.evaluating_owner(params)
  local walk = require "moontorch.nn.walk"
  for model in pairs(evaluating) do
    if forgot_train(model, walk.modules(model)) then
      for _, entry in ipairs(walk.tensors(model, "parameters")) do
        if params[entry.value] then return model:_get_name() end
      end
    end
  end
end

return modes
