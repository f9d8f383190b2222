--- Activation layers but for those of layers.lua: each applies the function of nn.functional that its line names.

local core = require "moontorch.core"
local declare = require "moontorch.nn.declare"
local F = require "moontorch.nn.functional"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local activation = {}

local inplace = { "inplace", "boolean", false }

-- name, function, parameters in the function's order, text
for _, row in ipairs {
  { "ELU", "elu", { { "alpha", "number", 1.0 }, inplace }, "alpha={alpha}" },
  { "CELU", "celu", { { "alpha", "number", 1.0 }, inplace }, "alpha={alpha}" },
  { "SELU", "selu", { inplace } },
  { "ReLU6", "relu6", { inplace } },
  { "SiLU", "silu", { inplace } },
  { "Mish", "mish", { inplace } },
  { "Hardsigmoid", "hardsigmoid", { inplace }, function() return "" end },
  { "Hardswish", "hardswish", { inplace }, function() return "" end },
  { "LeakyReLU", "leaky_relu", { { "negative_slope", "number", 0.01 }, inplace }, "negative_slope={negative_slope}" },
  { "Threshold", "threshold", { { "threshold", "number" }, { "value", "number" }, inplace },
    "threshold={threshold}, value={value}" },
  { "Softplus", "softplus", { { "beta", "number", 1.0 }, { "threshold", "number", 20.0 } },
    "beta={beta}, threshold={threshold}" },
  { "Hardshrink", "hardshrink", { { "lambd", "number", 0.5 } }, "{lambd}" },
  { "Softshrink", "softshrink", { { "lambd", "number", 0.5 } }, "{lambd}" },
  { "LogSigmoid", "logsigmoid", {} },
  { "Softsign", "softsign", {} },
  { "Tanhshrink", "tanhshrink", {} },
  { "GLU", "glu", { { "dim", "integer", -1 } }, "dim={dim}" },
} do
  local name, fn, parameters = row[1], F[row[2]], row[3]
  local first, second, third = table.unpack(parameters)
  first, second, third = first and first[1], second and second[1], third and third[1]
  activation[name] = declare.layer(name, parameters, {
    text = row[4],
    forward = function(self, input)
      if third then return (fn(input, self[first], self[second], self[third])) end
      if second then return (fn(input, self[first], self[second])) end
      if first then return (fn(input, self[first])) end
      return (fn(input))
    end,
  })
end

--- GELU(approximate = "none"): x times the normal distribution's share below x; "tanh" approximates it.
activation.GELU = declare.layer("GELU", { { "approximate", "string", "none" } }, {
  text = "approximate={approximate}",
  forward = function(self, input) return (F.gelu(input, { approximate = self.approximate })) end,
})

--- Hardtanh(min_val = -1, max_val = 1, inplace): x clamped to that interval.
activation.Hardtanh = declare.layer("Hardtanh", {
  { "min_val", "number", -1.0 }, { "max_val", "number", 1.0 }, inplace, { "min_value", "number?" },
  { "max_value", "number?" },
}, {
  text = "min_val={min_val}, max_val={max_val}",
  setup = function(self)
    for _, side in ipairs { "min", "max" } do
      local old = self[side .. "_value"]
      if old ~= nil then
        arguments.warn_once("Hardtanh " .. side, ("keyword argument `%s_value` is deprecated and rename to `%s_val`")
          :format(side, side))
        self[side .. "_val"] = old
      end
    end
    if self.max_val <= self.min_val then
      core.raise("Hardtanh", "max_val (%s) must be greater than min_val (%s)", text.repr(self.max_val),
        text.repr(self.min_val))
    end
  end,
  forward = function(self, input) return (F.hardtanh(input, self.min_val, self.max_val, self.inplace)) end,
})

--- RReLU(lower = 1/8, upper = 1/3, inplace): negative x times a slope drawn between the two in training, their mean
-- otherwise.
activation.RReLU = declare.layer("RReLU", {
  { "lower", "number", 1 / 8 }, { "upper", "number", 1 / 3 }, inplace,
}, {
  text = "lower={lower}, upper={upper}",
  forward = function(self, input)
    return (F.rrelu(input, self.lower, self.upper, self.training, self.inplace))
  end,
})

--- PReLU(num_parameters = 1, init = 0.25): negative x times a slope that is learnt, one for all channels or one each.
activation.PReLU = declare.layer("PReLU", {
  { "num_parameters", "integer", 1 }, { "init", "number", 0.25 }, { "device", "any?" }, { "dtype", "any?" },
}, {
  text = "num_parameters={num_parameters}",
  setup = function(self, device, dtype)
    self.weight = declare.parameter({ self.num_parameters }, device, dtype)
    self:reset_parameters()
  end,
  forward = function(self, input) return (F.prelu(input, self.weight)) end,
})

--- Sets all slopes to `init`.
function activation.PReLU:reset_parameters()
  core.no_grad(function() self.weight:fill_(self.init) end)
end

--- Softmin(dim): softmax of -x.
activation.Softmin = declare.layer("Softmin", { { "dim", "integer?" } }, {
  text = "dim={dim}",
  forward = function(self, input) return (F.softmin(input, self.dim)) end,
})

--- Softmax2d(): softmax over the channels of (N, C, H, W) or (C, H, W).
activation.Softmax2d = declare.layer("Softmax2d", {}, {
  forward = function(_, input)
    arguments.check_tensor("Softmax2d", "input", 1, input)
    if input.ndim ~= 3 and input.ndim ~= 4 then
      core.raise("Softmax2d", "Softmax2d: expected input to be 3D or 4D, got %dD instead", input.ndim)
    end
    return (core.softmax(input, -3))
  end,
})

return activation
