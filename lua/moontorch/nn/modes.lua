--- Which models were put into evaluation mode, so that an optimiser can tell that train() was forgotten.
--
-- train() and eval() note the module they are called on; nothing is done in between. Invariant: models in the list are
-- held weakly.

local drops = require "moontorch.drops"

-- `evaluations` counts the calls of eval(): without a new one nothing can have been forgotten since the last look.
-- `moves` counts how often a module went to another device, after which an optimiser's state has to follow.
local modes = { evaluations = 0, moves = 0 }

local evaluating = setmetatable({}, { __mode = "k" })

--- Notes train(mode) on `module`.
function modes.note(module, mode)
  evaluating[module] = not mode or nil
  if not mode then modes.evaluations, drops.passed = modes.evaluations + 1, false end
end

-- Layers whose modes differ: those that drop, and those that keep running statistics.
local function has_two_modes(module)
  local dropout = rawget(module, "dropout")
  return module._get_name(module):find("Dropout", 1, true) ~= nil or rawget(module, "running_mean") ~= nil
    or (type(dropout) == "number" and dropout > 0)
end

-- Is all of `model` in evaluation mode? Then also whether it would compute something else in training.
local function all_evaluating(list)
  local differs = drops.passed
  for _, entry in ipairs(list) do
    if entry.value.training then return false, false end
    differs = differs or has_two_modes(entry.value)
  end
  return true, differs
end

--- Is any model in evaluation mode?
function modes.any_evaluating() return next(evaluating) ~= nil end

--- The class name of the largest model that train() was forgotten on, when all of `params` (a set) belong to models
-- that are in evaluation mode as a whole; else nil. A part that evaluates while others train, such as a frozen batch
-- norm, is meant.
function modes.evaluating_owner(params)
  local walk = require "moontorch.nn.walk"
  local covered, name, most = {}, nil, 0
  for model in pairs(evaluating) do
    local all, differs = all_evaluating(walk.modules(model))
    if all then
      local count = 0
      for _, entry in ipairs(walk.tensors(model, "parameters")) do
        if params[entry.value] then covered[entry.value], count = true, count + 1 end
      end
      if differs and count > most then name, most = model:_get_name(), count end
    end
  end
  for param in pairs(params) do
    if not covered[param] then return nil end
  end
  return name
end

return modes
