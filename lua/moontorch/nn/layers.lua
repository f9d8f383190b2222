--- Layers: Linear, Identity, Dropout, Flatten, Unflatten, and the activations.
--
-- Start values are PyTorch's, drawn in its order, so that a seed gives PyTorch's weights.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local F = require "moontorch.nn.functional"
local init = require "moontorch.nn.initializers"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local layers = {}

local signature = arguments.signature

-- Memory for a parameter, to be filled by reset_parameters.
local function unwritten(sizes, device, dtype)
  if device == nil and dtype == nil then return core.empty(sizes) end
  return core.empty(sizes, { device = device, dtype = dtype })
end

--- Passes its input through; takes any arguments.
local Identity = class.extend("Identity", Module)

function Identity:init() end

function Identity:forward(x)
  return x
end

--- Linear(in_features, out_features, bias = true, device, dtype): y = x W^T + b.
-- Input (*, in_features), output (*, out_features); `weight` is (out_features, in_features), `bias` (out_features).
-- Both start uniform in ±1/sqrt(in_features) (weight by kaiming_uniform_ with a = sqrt 5, then bias).
local Linear = class.extend("Linear", Module)

local linear_arguments = signature("Linear", {
  { "in_features", "integer" }, { "out_features", "integer" }, { "bias", "boolean", true }, { "device", "any?" },
  { "dtype", "any?" },
})

function Linear:init(...)
  local in_features, out_features, bias, device, dtype = linear_arguments(...)
  if in_features < 0 or out_features < 0 then
    core.raise("Linear", "Trying to create tensor with negative dimension %d: [%d, %d]",
      in_features < 0 and in_features or out_features, out_features, in_features)
  end
  self.in_features, self.out_features = in_features, out_features
  self.weight = core.parameter(unwritten({ out_features, in_features }, device, dtype))
  self:register_parameter("bias", bias and core.parameter(unwritten({ out_features }, device, dtype)) or nil)
  self:reset_parameters()
end

--- Draws new start values.
function Linear:reset_parameters()
  init.kaiming_uniform_(self.weight, math.sqrt(5))
  if self.bias ~= nil then
    local fan_in = self.weight:size(2)
    local bound = fan_in > 0 and 1 / math.sqrt(fan_in) or 0
    init.uniform_(self.bias, -bound, bound)
  end
end

function Linear:forward(input)
  return (F.linear(input, self.weight, self.bias))
end

-- What an error inside this layer should say about it: sizes, or dtypes, whichever do not fit.
function Linear:_explain(_, input)
  if input == nil then return nil end
  local sizes = string.format("Linear(%d → %d) got %s", self.in_features, self.out_features, text.sizes(input))
  if input.ndim == 0 or input:size(-1) ~= self.in_features then
    return string.format("%s; the last dim must be %d", sizes, self.in_features)
  end
  if input.dtype ~= self.weight.dtype then
    local other = input:is_floating_point() and string.format(" or the module's :to(%s)", tostring(input.dtype)) or ""
    return string.format("%s of dtype %s, but parameter 'weight' has dtype %s; use input:to(%s)%s", sizes,
      tostring(input.dtype), tostring(self.weight.dtype), tostring(self.weight.dtype), other)
  end
  return sizes
end

function Linear:extra_repr()
  return string.format("in_features=%d, out_features=%d, bias=%s", self.in_features, self.out_features,
    self.bias ~= nil and "True" or "False")
end

-- Activations ---------------------------------------------------------------------------------------------------------

--- max(0, x). `inplace = true` writes into the input.
local ReLU = class.extend("ReLU", Module)

local relu_arguments = signature("ReLU", { { "inplace", "boolean", false } })

function ReLU:init(...)
  self.inplace = relu_arguments(...)
end

function ReLU:forward(input)
  if self.inplace then return (core.relu_(input)) end
  return (core.relu(input))
end

function ReLU:extra_repr()
  return self.inplace and "inplace=True" or ""
end

-- A layer without settings that applies one operator.
local function pointwise(name, op)
  local cls = class.extend(name, Module)
  local none = signature(name, {})
  function cls:init(...) none(...) end
  function cls:forward(input) return (op(input)) end
  return cls
end

--- 1 / (1 + exp(-x)). Its gradient vanishes for large |x|; with a squared-error loss that stops learning.
local Sigmoid = pointwise("Sigmoid", core.sigmoid)

--- tanh x.
local Tanh = pointwise("Tanh", core.tanh)

-- A layer that applies F's function over one dim.
local function over_dim(name, fn)
  local cls = class.extend(name, Module)
  local resolve = signature(name, { { "dim", "integer?" } })
  function cls:init(...) self.dim = resolve(...) end
  function cls:forward(input) return (fn(input, self.dim)) end
  function cls:extra_repr() return "dim=" .. text.repr(self.dim) end
  return cls
end

--- Softmax(dim): exp(x) / sum exp(x) over dim `dim` (from 1, or negative from the end), which must be given.
local Softmax = over_dim("Softmax", F.softmax)

--- LogSoftmax(dim): log of Softmax, without its overflow.
local LogSoftmax = over_dim("LogSoftmax", F.log_softmax)

--- Dropout(p = 0.5): in training zeroes each element with probability p and scales the rest by 1/(1-p).
local Dropout = class.extend("Dropout", Module)

local dropout_arguments = signature("Dropout", { { "p", "number", 0.5 }, { "inplace", "boolean", false } })

function Dropout:init(...)
  self.p, self.inplace = dropout_arguments(...)
  if not (self.p >= 0 and self.p <= 1) then
    core.raise("Dropout", "dropout probability has to be between 0 and 1, but got %s", text.repr(self.p))
  end
end

function Dropout:forward(input)
  return (F.dropout(input, self.p, self.training, self.inplace))
end

function Dropout:extra_repr()
  return string.format("p=%s, inplace=%s", text.repr(self.p), text.repr(self.inplace))
end

-- Shapes --------------------------------------------------------------------------------------------------------------

--- Flatten(start_dim = 2, end_dim = -1): merges dims; dim 1 is the batch.
local Flatten = class.extend("Flatten", Module)

local flatten_arguments = signature("Flatten", { { "start_dim", "integer", 2 }, { "end_dim", "integer", -1 } })

function Flatten:init(...)
  self.start_dim, self.end_dim = flatten_arguments(...)
end

function Flatten:forward(input)
  return (core.flatten(input, self.start_dim, self.end_dim))
end

function Flatten:extra_repr()
  return string.format("start_dim=%d, end_dim=%d", self.start_dim, self.end_dim)
end

--- Unflatten(dim, {sizes}): splits one dim into several.
local Unflatten = class.extend("Unflatten", Module)

local unflatten_arguments = signature("Unflatten", { { "dim", "integer" }, { "unflattened_size", "list" } })

function Unflatten:init(...)
  self.dim, self.unflattened_size = unflatten_arguments(...)
  for i, size in ipairs(self.unflattened_size) do
    if type(size) ~= "number" or not math.tointeger(size) then
      core.raise("Unflatten", "unflattened_size must be tuple of ints, but found element of type %s at pos %d",
        arguments.type_name(size), i)
    end
  end
end

function Unflatten:forward(input)
  return (input:unflatten(self.dim, self.unflattened_size))
end

function Unflatten:extra_repr()
  return string.format("dim=%d, unflattened_size=%s", self.dim, text.repr(self.unflattened_size))
end

layers.Identity, layers.Linear, layers.ReLU, layers.Sigmoid, layers.Tanh = Identity, Linear, ReLU, Sigmoid, Tanh
layers.Softmax, layers.LogSoftmax, layers.Dropout = Softmax, LogSoftmax, Dropout
layers.Flatten, layers.Unflatten = Flatten, Unflatten

return layers
