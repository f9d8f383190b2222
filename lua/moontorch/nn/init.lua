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

class.guard(Module, [[train eval predict parameters named_parameters buffers named_buffers children named_children
  modules named_modules zero_grad requires_grad_ apply to cpu cuda type float double half bfloat16 state_dict
  load_state_dict]])

local nn = {
  Module = Module,
  functional = require "moontorch.nn.functional",
  init = require "moontorch.nn.initializers",
  is_module = walk.is_module,
}

for _, part in ipairs { "containers", "layers", "losses" } do
  for name, cls in pairs(require("moontorch.nn." .. part)) do nn[name] = cls end
end

--- Is `v` an instance of `cls` or of a class that inherits from it? `cls` may be nn.Parameter or torch.Tensor, too.
function nn.isinstance(v, cls)
  if cls == nn.Parameter then return core.is_parameter(v) end
  if cls == core.Tensor then return core.is_tensor(v) end
  return class.isinstance(v, cls)
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

-- What is loaded when it is first used: the file, and the names that it defines.
local PARTS = {
  attention = "MultiheadAttention",
  recurrent = "RNNBase RNN LSTM GRU RNNCellBase RNNCell LSTMCell GRUCell",
  transformer = "Transformer TransformerEncoder TransformerDecoder TransformerEncoderLayer TransformerDecoderLayer",
  activation = "ELU CELU SELU ReLU6 SiLU Mish Hardsigmoid Hardswish LeakyReLU Threshold Softplus Hardshrink Softshrink "
    .. "LogSigmoid Softsign Tanhshrink GLU GELU Hardtanh RReLU PReLU Softmin Softmax2d",
  conv = "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Unfold Fold",
  layers_more = "Bilinear CosineSimilarity PairwiseDistance PixelShuffle PixelUnshuffle ChannelShuffle Upsample "
    .. "UpsamplingNearest2d UpsamplingBilinear2d Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout Buffer",
  losses_more = "PoissonNLLLoss GaussianNLLLoss KLDivLoss MarginRankingLoss HingeEmbeddingLoss MultiLabelMarginLoss "
    .. "HuberLoss SmoothL1Loss SoftMarginLoss MultiLabelSoftMarginLoss CosineEmbeddingLoss MultiMarginLoss "
    .. "TripletMarginLoss TripletMarginWithDistanceLoss CTCLoss",
  norm = "BatchNorm1d BatchNorm2d BatchNorm3d InstanceNorm1d InstanceNorm2d InstanceNorm3d GroupNorm LayerNorm RMSNorm "
    .. "LocalResponseNorm",
  padding = "ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d "
    .. "CircularPad1d CircularPad2d CircularPad3d ZeroPad1d ZeroPad2d ZeroPad3d ConstantPad1d ConstantPad2d "
    .. "ConstantPad3d",
  pooling = "MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d AvgPool1d AvgPool2d AvgPool3d LPPool1d "
    .. "LPPool2d LPPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d "
    .. "AdaptiveAvgPool3d",
  sparse = "Embedding EmbeddingBag",
}

local part_of = {}
for part, names in pairs(PARTS) do
  for name in names:gmatch "%S+" do part_of[name] = part end
end

return setmetatable(nn, { __index = function(self, name)
  if name == "utils" then
    self.utils = require "moontorch.nn.utils"
    return self.utils
  end
  local part = part_of[name]
  if part == nil then return nil end
  self[name] = require("moontorch.nn." .. part)[name]
  return rawget(self, name)
end })
