--- torch.utils.copy: copies of modules, optimisers, tensors, and tables of them, as Python's copy.deepcopy makes them.
--
--     local copy = torch.utils.copy
--     local average = copy.deepcopy(model)      -- shares no tensor with model
--
-- Invariant: what is shared within the original is shared within the copy, so tied weights stay tied, an optimiser that
-- is copied in one table with its model holds the copy's parameters, and cycles end.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"

local copy = {}

local function copied_tensor(t, deep)
  if not t.is_leaf then
    core.raise("deepcopy", "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
      .. "at the moment: one of shape [%s] is the result of an operation; use x:detach()", table.concat(t.shape, ", "))
  end
  local new = t:detach():clone()
  if core.is_parameter(t) then return core.parameter(new, t.requires_grad) end
  new.requires_grad = t.requires_grad
  if t.grad ~= nil then new.grad = deep(t.grad) end
  return new
end

--- A copy of `value` and of everything in it. Tensors are cloned (a Parameter's gradient is not, as in PyTorch); keys
-- of tables are copied too; functions, classes, dtypes and devices stay what they are. Raises for a tensor that is the
-- result of a recorded operation. Source: docs.python.org/3/library/copy.html
function copy.deepcopy(value)
  local copies = {}
  local function deep(v)
    if copies[v] ~= nil then return copies[v] end
    if core.is_tensor(v) then
      copies[v] = copied_tensor(v, deep)
      return copies[v]
    end
    if type(v) ~= "table" or class.is_class(v) then return v end
    local new = {}
    copies[v] = new
    for key, item in next, v do rawset(new, deep(key), deep(item)) end
    return setmetatable(new, getmetatable(v))
  end
  if value == nil then return nil end
  return deep(value)
end

return copy
