--- Pooling layers: the settings around nn.functional's pools. A stride that is not given is the kernel_size.

local core = require "moontorch.core"
local declare = require "moontorch.nn.declare"
local F = require "moontorch.nn.functional"
local text = require "moontorch.text"

local pooling = {}

local none = core.none

local function stride_or_kernel(self)
  if self.stride == nil then self.stride = self.kernel_size end
end

-- output_size may be None, for the whole or for a dim of it.
local function size_text(self)
  return "output_size=" .. text.repr(self.output_size)
end

for n = 1, 3 do
  local suffix = ("%dd"):format(n)
  local max_pool, max_unpool, avg_pool = F["max_pool" .. suffix], F["max_unpool" .. suffix], F["avg_pool" .. suffix]
  local lp_pool = F["lp_pool" .. suffix]
  local adaptive_max, adaptive_avg = F["adaptive_max_pool" .. suffix], F["adaptive_avg_pool" .. suffix]

  --- MaxPool1d to MaxPool3d(kernel_size, stride, padding, dilation, return_indices, ceil_mode): the largest of each
  -- window, and with return_indices its position in its plane as a second result.
  pooling["MaxPool" .. suffix] = declare.layer("MaxPool" .. suffix, {
    { "kernel_size", "any" }, { "stride", "any?" }, { "padding", "any", 0 }, { "dilation", "any", 1 },
    { "return_indices", "boolean", false }, { "ceil_mode", "boolean", false },
  }, {
    text = "kernel_size={kernel_size}, stride={stride}, padding={padding}, dilation={dilation}, ceil_mode={ceil_mode}",
    setup = stride_or_kernel,
    forward = function(self, input)
      local values, indices = max_pool(input, self.kernel_size, self.stride, self.padding, self.dilation,
        self.ceil_mode, self.return_indices)
      if self.return_indices then return values, indices end
      return values
    end,
  })

  --- MaxUnpool1d to MaxUnpool3d(kernel_size, stride, padding): called with the results of a MaxPool and maybe an
  -- output_size, puts the values back to their positions among zeros.
  local unpool = "MaxUnpool" .. suffix
  pooling[unpool] = declare.layer(unpool, {
    { "kernel_size", "any" }, { "stride", "any?" }, { "padding", "any", 0 },
  }, {
    text = "kernel_size={kernel_size}, stride={stride}, padding={padding}",
    setup = function(self)
      stride_or_kernel(self)
      for _, key in ipairs { "kernel_size", "stride", "padding" } do
        self[key] = declare.each(unpool, key, self[key], n)
      end
    end,
    forward = function(self, input, indices, output_size)
      if type(output_size) == "table" and output_size.output_size then output_size = output_size.output_size end
      return (max_unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size))
    end,
  })

  --- AvgPool1d to AvgPool3d(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override): the mean of
  -- each window; AvgPool1d has no divisor_override.
  local average, parameters = "AvgPool" .. suffix, {
    { "kernel_size", "any" }, { "stride", "any?" }, { "padding", "any", 0 }, { "ceil_mode", "boolean", false },
    { "count_include_pad", "boolean", true },
  }
  if n > 1 then parameters[6] = { "divisor_override", "integer?" } end
  pooling[average] = declare.layer(average, parameters, {
    text = "kernel_size={kernel_size}, stride={stride}, padding={padding}",
    setup = function(self)
      stride_or_kernel(self)
      if n > 1 then return end
      for _, key in ipairs { "kernel_size", "stride", "padding" } do
        self[key] = declare.each(average, key, self[key], n)
      end
    end,
    forward = function(self, input)
      if n == 1 or self.divisor_override == nil then
        return (avg_pool(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad))
      end
      return (avg_pool(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
        self.divisor_override))
    end,
  })

  --- LPPool1d to LPPool3d(norm_type, kernel_size, stride, ceil_mode): (sum of x^p)^(1/p) of each window.
  pooling["LPPool" .. suffix] = declare.layer("LPPool" .. suffix, {
    { "norm_type", "number" }, { "kernel_size", "any" }, { "stride", "any?" }, { "ceil_mode", "boolean", false },
  }, {
    text = "norm_type={norm_type}, kernel_size={kernel_size}, stride={stride}, ceil_mode={ceil_mode}",
    setup = function(self)
      if self.norm_type == 0 then
        core.raise("LPPool" .. suffix, "norm_type must be a non-zero value, but got 0")
      end
    end,
    forward = function(self, input)
      return (lp_pool(input, self.norm_type, self.kernel_size, self.stride or none, self.ceil_mode))
    end,
  })

  --- AdaptiveMaxPool1d to AdaptiveMaxPool3d(output_size, return_indices): windows that give that size.
  pooling["AdaptiveMaxPool" .. suffix] = declare.layer("AdaptiveMaxPool" .. suffix, {
    { "output_size", "any" }, { "return_indices", "boolean", false },
  }, {
    text = size_text,
    forward = function(self, input)
      local values, indices = adaptive_max(input, self.output_size, self.return_indices)
      if self.return_indices then return values, indices end
      return values
    end,
  })

  --- AdaptiveAvgPool1d to AdaptiveAvgPool3d(output_size): windows that give that size; torch.none in it is the input's.
  pooling["AdaptiveAvgPool" .. suffix] = declare.layer("AdaptiveAvgPool" .. suffix, { { "output_size", "any" } }, {
    text = size_text,
    forward = function(self, input) return (adaptive_avg(input, self.output_size)) end,
  })
end

return pooling
