--- Parameters as one vector, and back.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local vector = {}

local function array(owner, parameters)
  if type(parameters) == "function" then
    local list = {}
    for first, second in parameters do list[#list + 1] = second == nil and first or second end
    parameters = list
  end
  if type(parameters) ~= "table" then
    core.raise(owner, "argument 'parameters' must be an array of Tensors, such as model:parameters(), not %s",
      arguments.type_name(parameters))
  end
  local device
  for i, p in ipairs(parameters) do
    if not core.is_tensor(p) then
      core.raise(owner, "expected Tensors, but item %d of the array is %s", i, arguments.type_name(p))
    end
    device = device or p.device
    if p.device ~= device then
      core.raise(owner, "Found two parameters on different devices, this is currently not supported: %s and %s",
        tostring(device), tostring(p.device))
    end
  end
  return parameters
end

--- parameters_to_vector(parameters): all elements, one parameter after the other, as one vector that autograd follows
-- back to them.
function vector.parameters_to_vector(parameters)
  if arguments.is_keywords(parameters) and parameters.parameters ~= nil then parameters = parameters.parameters end
  local parts = {}
  for i, p in ipairs(array("parameters_to_vector", parameters)) do parts[i] = p:view(-1) end
  return core.cat(parts, 1)
end

--- vector_to_parameters(vec, parameters): gives each parameter its part of the vector, whose memory they share then.
-- Nothing changes when the vector is too short.
function vector.vector_to_parameters(vec, parameters)
  local owner = "vector_to_parameters"
  if arguments.is_keywords(vec) then
    vec, parameters = vec.vec, vec.parameters
  elseif arguments.is_keywords(parameters) and parameters.parameters ~= nil then
    parameters = parameters.parameters
  end
  if not core.is_tensor(vec) then
    core.raise(owner, "expected torch.Tensor, but got: %s", arguments.type_name(vec))
  end
  local offset, parts, list = 0, {}, array(owner, parameters)
  core.no_grad(function()
    for i, p in ipairs(list) do
      local n = p:numel()
      if offset + n > vec:numel() then
        core.raise(owner, "shape '[%s]' is invalid for input of size %d: the vector has %d elements, which end in "
          .. "parameter %d", table.concat(p.shape, ", "), math.max(vec:numel() - offset, 0), vec:numel(), i)
      end
      parts[i] = n > 0 and vec:detach():narrow(1, offset + 1, n):view_as(p) or vec:detach():new_empty(p.shape)
      offset = offset + n
    end
    for i, p in ipairs(list) do p:set_data(parts[i]) end
  end)
end

return vector
