--- torch.nn: modules, parameters, layers, losses, nn.functional, nn.init and nn.utils.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local walk = require "moontorch.nn.walk"
local arguments = require "moontorch.arguments"
require "moontorch.nn.move"
require "moontorch.nn.state"
require "moontorch.nn.repr"
require "moontorch.nn.context"

local nn = {
  Module = Module,
  functional = require "moontorch.nn.functional",
  init = require "moontorch.nn.initializers",
  is_module = walk.is_module,
  isinstance = class.isinstance,
}

for _, part in ipairs { "containers", "layers", "losses" } do
  for name, cls in pairs(require("moontorch.nn." .. part)) do nn[name] = cls end
end

--- A new class of modules named `name`, inheriting from `parent` (nn.Module unless given). Define `init` and `forward`:
--
--     local Net = nn.class("Net")
--     function Net:init(n) self.fc = nn.Linear(n, 1) end
--     function Net:forward(x) return self.fc(x) end
--     local net = Net(3)
--
-- A parent's `init` that the child's did not call runs after it, with the same arguments.
function nn.class(name, parent)
  if type(name) ~= "string" or name == "" then
    core.raise("class", "expected the name of the class as a string, but got %s", arguments.type_name(name))
  end
  if parent == nil then parent = Module end
  if not class.is_class(parent) then
    core.raise("class", "argument 'parent' of '%s' must be a class, not %s", name, arguments.type_name(parent))
  end
  return class.extend(name, parent)
end

local parameter_arguments = arguments.signature("Parameter", {
  { "data", "tensor?" }, { "requires_grad", "boolean", true },
})

--- A tensor that a module trains: a leaf that shares memory with `data` (an empty tensor unless given) and that the
-- module finds when it is assigned to a field. Keyword: requires_grad.
function nn.Parameter(...)
  local data, requires_grad = parameter_arguments(...)
  return core.parameter(data or core.empty(0), requires_grad)
end

-- Classes that are loaded when they are first used, by the file that has them.
local LAZY = {}
for file, names in pairs {
  recurrent = "RNNBase RNN LSTM GRU RNNCellBase RNNCell LSTMCell GRUCell",
  attention = "MultiheadAttention",
  transformer = "Transformer TransformerEncoder TransformerDecoder TransformerEncoderLayer TransformerDecoderLayer",
} do
  for name in names:gmatch("%S+") do LAZY[name] = "moontorch.nn." .. file end
end

return setmetatable(nn, { __index = function(self, name)
  local part
  if name == "utils" then
    part = require "moontorch.nn.utils"
  elseif LAZY[name] then
    part = require(LAZY[name])[name]
  end
  self[name] = part
  return part
end })
