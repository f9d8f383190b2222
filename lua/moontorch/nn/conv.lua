--- Convolution layers, Unfold and Fold.
--
-- Conv1d to Conv3d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode):
-- weight (out, in / groups, kernel…), bias (out), both uniform in ±1/sqrt(in / groups × kernel). padding is a number
-- for each dim, "same" or "valid"; padding_mode zeros, reflect, replicate or circular.
-- ConvTranspose1d to ConvTranspose3d(in_channels, out_channels, kernel_size, stride, padding, output_padding, groups,
-- bias, dilation): weight (in, out / groups, kernel…); called with an output_size it finds the output_padding.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local declare = require "moontorch.nn.declare"
local F = require "moontorch.nn.functional"
local init = require "moontorch.nn.initializers"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local conv = {}

local none = core.none
local MODES = { zeros = true, reflect = true, replicate = true, circular = true }

-- What both kinds share.
local ConvNd = class.extend("_ConvNd", Module)

local function check_settings(name, self)
  if self.groups <= 0 then core.raise(name, "groups must be a positive integer") end
  for _, key in ipairs { "in_channels", "out_channels" } do
    if self[key] % self.groups ~= 0 then
      core.raise(name, "%s must be divisible by groups: %s=%d, groups=%d", key, key, self[key], self.groups)
    end
  end
  if type(self.padding) == "string" then
    if self.padding ~= "same" and self.padding ~= "valid" then
      core.raise(name, "Invalid padding string '%s', should be one of {'same', 'valid'}", self.padding)
    end
    for _, step in ipairs(self.stride) do
      if self.padding == "same" and step ~= 1 then
        core.raise(name, "padding='same' is not supported for strided convolutions: stride=%s", text.repr(self.stride))
      end
    end
  end
  if not MODES[self.padding_mode] then
    core.raise(name, "padding_mode must be one of {'zeros', 'reflect', 'replicate', 'circular'}, but got "
      .. "padding_mode='%s'", self.padding_mode)
  end
end

-- The padding as nn.functional.pad takes it: from the last dim to the first, twice each.
local function padding_of_sides(self, n)
  local sides = {}
  for d = n, 1, -1 do
    local before, after = 0, 0
    if type(self.padding) == "table" then
      before, after = self.padding[d], self.padding[d]
    elseif self.padding == "same" then
      local total = self.dilation[d] * (self.kernel_size[d] - 1)
      before, after = total // 2, total - total // 2
    end
    sides[#sides + 1], sides[#sides + 2] = before, after
  end
  return sides
end

--- Draws new start values.
function ConvNd:reset_parameters()
  init.kaiming_uniform_(self.weight, math.sqrt(5))
  if self.bias == nil then return end
  local fan_in = 1
  for d = 2, self.weight.ndim do fan_in = fan_in * self.weight:size(d) end
  local bound = fan_in > 0 and 1 / math.sqrt(fan_in) or 0
  init.uniform_(self.bias, -bound, bound)
end

local function differs(list, from)
  for _, v in ipairs(list) do
    if v ~= from then return true end
  end
  return false
end

function ConvNd:extra_repr()
  local s = declare.fill("{in_channels}, {out_channels}, kernel_size={kernel_size}, stride={stride}", self)
  if type(self.padding) == "string" then
    s = s .. ", padding=" .. self.padding
  elseif differs(self.padding, 0) then
    s = s .. ", padding=" .. text.repr(self.padding)
  end
  if differs(self.dilation, 1) then s = s .. ", dilation=" .. text.repr(self.dilation) end
  if differs(self.output_padding, 0) then s = s .. ", output_padding=" .. text.repr(self.output_padding) end
  if self.groups ~= 1 then s = s .. ", groups=" .. self.groups end
  if self.bias == nil then s = s .. ", bias=False" end
  if self.padding_mode ~= "zeros" then s = s .. ", padding_mode=" .. self.padding_mode end
  return s
end

-- What an error inside should say: the channels where they do not fit, or the dtypes.
function ConvNd:_explain(_, input)
  if input == nil then return nil end
  local n = #self.kernel_size
  local head = ("%s(%d → %d)"):format(self:_get_name(), self.in_channels, self.out_channels)
  local expectation
  if input.ndim ~= n + 1 and input.ndim ~= n + 2 then
    local sizes = table.concat({ "L", "H, W", "D, H, W" }, "", n, n)
    expectation = ("it takes (N, %d, %s) or (%d, %s)"):format(self.in_channels, sizes, self.in_channels, sizes)
  else
    local dim = input.ndim - n
    if input:size(dim) ~= self.in_channels then
      expectation = ("dim %d must be %d"):format(dim, self.in_channels)
    end
  end
  return declare.explain(self, input, head, expectation)
end

local function build(name, n, self, transposed, has_bias, device, dtype)
  for _, key in ipairs { "kernel_size", "stride", "dilation", "output_padding" } do
    self[key] = declare.each(name, key, self[key], n)
  end
  if type(self.padding) ~= "string" then self.padding = declare.each(name, "padding", self.padding, n) end
  check_settings(name, self)
  local first, second = self.out_channels, self.in_channels // self.groups
  if transposed then first, second = self.in_channels, self.out_channels // self.groups end
  self.transposed = transposed
  self.weight = declare.parameter({ first, second, table.unpack(self.kernel_size) }, device, dtype)
  local bias = has_bias and declare.parameter({ self.out_channels }, device, dtype) or nil
  self:register_parameter("bias", bias)
  self:reset_parameters()
end

-- The fields from the arguments; `bias` becomes a parameter later.
local function take_settings(self, names, values)
  for i, key in ipairs(names) do
    if key ~= "bias" and key ~= "device" and key ~= "dtype" then self[key] = values[i] end
  end
end

local function names_of(parameters)
  local names = {}
  for i, entry in ipairs(parameters) do names[i] = entry[1] end
  return names
end

local function forward_conv(n)
  local name, fn = ("Conv%dd"):format(n), F[("conv%dd"):format(n)]
  local cls = class.extend(name, ConvNd)
  local parameters = {
    { "in_channels", "integer" }, { "out_channels", "integer" }, { "kernel_size", "any" }, { "stride", "any", 1 },
    { "padding", "any", 0 }, { "dilation", "any", 1 }, { "groups", "integer", 1 }, { "bias", "boolean", true },
    { "padding_mode", "string", "zeros" }, { "device", "any?" }, { "dtype", "any?" },
  }
  local resolve, names = arguments.signature(name, parameters), names_of(parameters)
  local zeros = declare.each(name, "padding", 0, n)

  function cls:init(...)
    local values = { resolve(...) }
    take_settings(self, names, values)
    self.output_padding = 0
    build(name, n, self, false, values[8], values[10], values[11])
    self._reversed_padding_repeated_twice = padding_of_sides(self, n)
  end

  function cls:_conv_forward(input, weight, bias)
    if self.padding_mode ~= "zeros" then
      local padded = F.pad(input, self._reversed_padding_repeated_twice, self.padding_mode)
      return (fn(padded, weight, bias or none, self.stride, zeros, self.dilation, self.groups))
    end
    return (fn(input, weight, bias or none, self.stride, self.padding, self.dilation, self.groups))
  end

  function cls:forward(input)
    return (self:_conv_forward(input, self.weight, self.bias))
  end
  return cls
end

-- The output_padding that gives `output_size` (spatial dims, or all of them).
local function output_padding_for(self, n, input, output_size)
  local name = self:_get_name()
  local others = input.ndim == n + 2 and 2 or 1
  local wanted = output_size
  if #wanted == others + n then wanted = table.move(wanted, others + 1, others + n, 1, {}) end
  if #wanted ~= n then
    core.raise(name, "ConvTranspose%dD: for %dD input, output_size must have %d or %d elements (got %d)", n, input.ndim,
      n, others + n, #wanted)
  end
  local lowest, highest, padding, fits = {}, {}, {}, true
  for d = 1, n do
    lowest[d] = (input:size(d + others) - 1) * self.stride[d] - 2 * self.padding[d]
      + self.dilation[d] * (self.kernel_size[d] - 1) + 1
    highest[d] = lowest[d] + self.stride[d] - 1
    fits = fits and wanted[d] >= lowest[d] and wanted[d] <= highest[d]
    padding[d] = wanted[d] - lowest[d]
  end
  if not fits then
    core.raise(name, "requested an output size of (%s), but valid sizes range from [%s] to [%s] (for an input of "
      .. "torch.Size([%s]))", table.concat(wanted, ", "), table.concat(lowest, ", "), table.concat(highest, ", "),
      table.concat(input.shape, ", ", others + 1))
  end
  return padding
end

local function transposed_conv(n)
  local name, fn = ("ConvTranspose%dd"):format(n), F[("conv_transpose%dd"):format(n)]
  local cls = class.extend(name, ConvNd)
  local parameters = {
    { "in_channels", "integer" }, { "out_channels", "integer" }, { "kernel_size", "any" }, { "stride", "any", 1 },
    { "padding", "any", 0 }, { "output_padding", "any", 0 }, { "groups", "integer", 1 }, { "bias", "boolean", true },
    { "dilation", "any", 1 }, { "padding_mode", "string", "zeros" }, { "device", "any?" }, { "dtype", "any?" },
  }
  local resolve, names = arguments.signature(name, parameters), names_of(parameters)

  function cls:init(...)
    local values = { resolve(...) }
    if values[10] ~= "zeros" then core.raise(name, "Only \"zeros\" padding mode is supported for %s", name) end
    take_settings(self, names, values)
    if type(self.padding) == "string" then
      core.raise(name, "argument 'padding' must be tuple of ints, but found element of type str at pos 1: '%s'; a "
        .. "transposed convolution takes numbers only", self.padding)
    end
    build(name, n, self, true, values[8], values[11], values[12])
  end

  function cls:forward(input, output_size)
    if type(output_size) == "table" and output_size.output_size then output_size = output_size.output_size end
    local output_padding = self.output_padding
    if output_size ~= nil and output_size ~= none then
      output_padding = output_padding_for(self, n, input, output_size)
    end
    return (fn(input, self.weight, self.bias or none, self.stride, self.padding, output_padding, self.groups,
      self.dilation))
  end
  return cls
end

for n = 1, 3 do
  conv[("Conv%dd"):format(n)] = forward_conv(n)
  conv[("ConvTranspose%dd"):format(n)] = transposed_conv(n)
end

--- Unfold(kernel_size, dilation, padding, stride): the windows of (N, C, H, W) as columns, (N, C × kernel, windows).
conv.Unfold = declare.layer("Unfold", {
  { "kernel_size", "any" }, { "dilation", "any", 1 }, { "padding", "any", 0 }, { "stride", "any", 1 },
}, {
  text = "kernel_size={kernel_size}, dilation={dilation}, padding={padding}, stride={stride}",
  forward = function(self, input)
    return (F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride))
  end,
})

--- Fold(output_size, kernel_size, dilation, padding, stride): sums columns of windows into (N, C, H, W).
conv.Fold = declare.layer("Fold", {
  { "output_size", "any" }, { "kernel_size", "any" }, { "dilation", "any", 1 }, { "padding", "any", 0 },
  { "stride", "any", 1 },
}, {
  text = "output_size={output_size}, kernel_size={kernel_size}, dilation={dilation}, padding={padding}, "
    .. "stride={stride}",
  forward = function(self, input)
    return (F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride))
  end,
})

return conv
