--- Layers that are settings around one function, declared by the list of their parameters.
--
-- Invariant: an instance holds every parameter under its PyTorch name (nil where it is None), and its text is made
-- of the same fields. `device`, `dtype` and the flag `bias`, whose name the parameter takes, go to `setup` instead.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local declare = {}

-- "a={a}, {b}" with the fields of `self` as Python spells them.
local function fill(template, self)
  return (template:gsub("{([%w_]+)}", function(field) return text.repr(self[field]) end))
end
declare.fill = fill

--- The class `name`. `parameters` as in arguments.signature; `spec` holds
--   forward(self, ...)        what it computes
--   setup(self, device, dtype, bias)  checks settings and makes parameters, after the fields are set
--   text                      template of extra_repr, {field} standing for a field; or a function of self
--   parent                    the class it inherits from, whose init does not run
-- A parameter `inplace` is added to the text when it is true.
function declare.layer(name, parameters, spec)
  local cls = class.extend(name, spec.parent or Module)
  local resolve = arguments.signature(name, parameters)
  local fields, at, inplace = {}, {}, false
  for i, entry in ipairs(parameters) do
    local key = entry[1]
    if key == "device" or key == "dtype" or key == "bias" then at[key] = i else fields[#fields + 1] = { key, i } end
    inplace = inplace or entry[1] == "inplace"
  end
  function cls:init(...)
    local values = { resolve(...) }
    local started = self._module.started
    if spec.parent and started then started[spec.parent] = true end
    for _, field in ipairs(fields) do
      if values[field[2]] ~= nil then self[field[1]] = values[field[2]] end
    end
    if spec.setup then spec.setup(self, values[at.device or 0], values[at.dtype or 0], values[at.bias or 0]) end
  end
  cls.forward = spec.forward
  local template = spec.text
  if type(template) == "function" then
    cls.extra_repr = template
  elseif template or inplace then
    template = template or ""
    function cls:extra_repr()
      local settings = fill(template, self)
      if inplace and self.inplace then settings = settings .. (settings == "" and "" or ", ") .. "inplace=True" end
      return settings
    end
  end
  return cls
end

--- An array of n numbers from one number or n of them.
function declare.each(owner, word, value, n)
  if math.type(value) == "float" then value = math.tointeger(value) or value end
  if type(value) == "table" and #value == 1 then value = value[1] end
  if type(value) == "table" and #value ~= n then
    local given = {}
    for i, v in ipairs(value) do given[i] = tostring(v) end
    core.raise(owner, "expected %s to be a single integer value or a list of %d values to match the dimensions, but "
      .. "got %s=[%s]", word, n, word, table.concat(given, ", "))
  end
  local list = {}
  for d = 1, n do
    list[d] = type(value) == "table" and value[d] or value
    if not (type(list[d]) == "number" and math.tointeger(list[d])) then
      core.raise(owner, "%s must hold integers, not %s", word, arguments.type_name(list[d]))
    end
    list[d] = math.tointeger(list[d])
  end
  return list
end

--- A Parameter of those sizes whose memory is to be filled by reset_parameters.
function declare.parameter(sizes, device, dtype)
  for _, size in ipairs(sizes) do
    if size < 0 then
      core.raise("Parameter", "Trying to create tensor with negative dimension %d: [%s]", size,
        table.concat(sizes, ", "))
    end
  end
  return core.parameter(core.empty(sizes, { device = device, dtype = dtype }))
end

--- What an error inside a layer should say: its head, the input's sizes, what they must be, or which dtypes differ.
function declare.explain(self, input, head, expectation)
  if input == nil then return nil end
  local sentence = ("%s got %s"):format(head, text.sizes(input))
  if expectation then return sentence .. "; " .. expectation end
  local weight = self.weight
  if core.is_tensor(weight) and input.dtype ~= weight.dtype then
    local other = input:is_floating_point() and (" or the module's :to(%s)"):format(tostring(input.dtype)) or ""
    return ("%s of dtype %s, but parameter 'weight' has dtype %s; use input:to(%s)%s"):format(sentence,
      tostring(input.dtype), tostring(weight.dtype), tostring(weight.dtype), other)
  end
  return sentence
end

return declare
