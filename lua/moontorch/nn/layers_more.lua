--- Layers around one function: Bilinear, distances, shuffles, Upsample, the dropouts of channels, and Buffer.

local core = require "moontorch.core"
local declare = require "moontorch.nn.declare"
local F = require "moontorch.nn.functional"
local init = require "moontorch.nn.initializers"
local walk = require "moontorch.nn.walk"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local more = {}

local none = core.none

--- Bilinear(in1_features, in2_features, out_features, bias): x1 W x2 + b for each output, W (out, in1, in2).
-- Both start uniform in ±1/sqrt(in1_features).
more.Bilinear = declare.layer("Bilinear", {
  { "in1_features", "integer" }, { "in2_features", "integer" }, { "out_features", "integer" },
  { "bias", "boolean", true }, { "device", "any?" }, { "dtype", "any?" },
}, {
  setup = function(self, device, dtype, has_bias)
    if self.in1_features <= 0 then
      core.raise("Bilinear", "in1_features must be > 0, but got (in1_features=%d)", self.in1_features)
    end
    self.weight = declare.parameter({ self.out_features, self.in1_features, self.in2_features }, device, dtype)
    self:register_parameter("bias", has_bias and declare.parameter({ self.out_features }, device, dtype) or nil)
    self:reset_parameters()
  end,
  forward = function(self, input1, input2) return (F.bilinear(input1, input2, self.weight, self.bias or none)) end,
  text = function(self)
    return declare.fill("in1_features={in1_features}, in2_features={in2_features}, out_features={out_features}, bias=",
      self) .. text.repr(self.bias ~= nil)
  end,
})

--- Draws new start values.
function more.Bilinear:reset_parameters()
  local bound = 1 / math.sqrt(self.weight:size(2))
  init.uniform_(self.weight, -bound, bound)
  if self.bias ~= nil then init.uniform_(self.bias, -bound, bound) end
end

function more.Bilinear:_explain(_, input)
  return declare.explain(self, input, ("Bilinear(%d, %d → %d)"):format(self.in1_features, self.in2_features,
    self.out_features))
end

--- CosineSimilarity(dim = 2, eps = 1e-8): the cosine of the angle between two tensors along a dim.
more.CosineSimilarity = declare.layer("CosineSimilarity", { { "dim", "integer", 2 }, { "eps", "number", 1e-8 } }, {
  forward = function(self, x1, x2) return (F.cosine_similarity(x1, x2, self.dim, self.eps)) end,
})

--- PairwiseDistance(p = 2, eps = 1e-6, keepdim = false): the p-norm of the difference, over the last dim.
more.PairwiseDistance = declare.layer("PairwiseDistance", {
  { "p", "number", 2.0 }, { "eps", "number", 1e-6 }, { "keepdim", "boolean", false },
}, {
  forward = function(self, x1, x2) return (F.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)) end,
})

for _, row in ipairs {
  --- PixelShuffle(r): (*, C r^2, H, W) to (*, C, H r, W r).
  { "PixelShuffle", "upscale_factor", F.pixel_shuffle },
  --- PixelUnshuffle(r): (*, C, H r, W r) to (*, C r^2, H, W).
  { "PixelUnshuffle", "downscale_factor", F.pixel_unshuffle },
  --- ChannelShuffle(groups): interleaves the groups of channels.
  { "ChannelShuffle", "groups", F.channel_shuffle },
} do
  local field, fn = row[2], row[3]
  more[row[1]] = declare.layer(row[1], { { field, "integer" } }, {
    text = field .. "={" .. field .. "}",
    forward = function(self, input) return (fn(input, self[field])) end,
  })
end

-- Resampling ----------------------------------------------------------------------------------------------------------

-- Scales are floats, so that the text shows them as PyTorch does.
local function float_scales(self)
  self.name = self:_get_name()
  local scale = self.scale_factor
  if type(scale) == "table" then
    local floats = {}
    for i, v in ipairs(scale) do
      if type(v) ~= "number" then core.raise(self.name, "scale_factor must hold numbers") end
      floats[i] = v + 0.0
    end
    self.scale_factor = floats
  elseif type(scale) == "number" then
    self.scale_factor = scale + 0.0
  elseif scale ~= nil then
    core.raise(self.name, "scale_factor must be a number or a list of them, not %s", arguments.type_name(scale))
  end
end

local function upsample_text(self)
  local what = self.scale_factor ~= nil and "scale_factor={scale_factor}" or "size={size}"
  return declare.fill(what .. ", mode={mode}", self)
end

local function upsample(self, input)
  return (F.interpolate(input, self.size or none, self.scale_factor or none, self.mode, self.align_corners,
    self.recompute_scale_factor))
end

--- Upsample(size, scale_factor, mode, align_corners, recompute_scale_factor): nn.functional.interpolate as a layer.
more.Upsample = declare.layer("Upsample", {
  { "size", "any?" }, { "scale_factor", "any?" }, { "mode", "string", "nearest" }, { "align_corners", "boolean?" },
  { "recompute_scale_factor", "boolean?" },
}, { setup = float_scales, text = upsample_text, forward = upsample })

for _, row in ipairs { { "UpsamplingNearest2d", "nearest" }, { "UpsamplingBilinear2d", "bilinear", true } } do
  --- UpsamplingNearest2d, UpsamplingBilinear2d(size, scale_factor): Upsample with that mode, the latter with
  -- align_corners.
  more[row[1]] = declare.layer(row[1], { { "size", "any?" }, { "scale_factor", "any?" } }, {
    parent = more.Upsample,
    setup = function(self)
      self.mode, self.align_corners = row[2], row[3]
      float_scales(self)
    end,
    text = upsample_text, forward = upsample,
  })
end

-- Dropout -------------------------------------------------------------------------------------------------------------

for _, row in ipairs {
  --- Dropout1d to Dropout3d(p, inplace): in training zeroes whole channels of 1, 2 or 3 spatial dims.
  { "Dropout1d", "dropout1d" }, { "Dropout2d", "dropout2d" }, { "Dropout3d", "dropout3d" },
  --- AlphaDropout(p, inplace): dropout to SELU's limit, keeping mean and variance.
  { "AlphaDropout", "alpha_dropout" },
  --- FeatureAlphaDropout(p, inplace): AlphaDropout of whole channels.
  { "FeatureAlphaDropout", "feature_alpha_dropout" },
} do
  local name, fn = row[1], F[row[2]]
  more[name] = declare.layer(name, { { "p", "number", 0.5 }, { "inplace", "boolean", false } }, {
    setup = function(self)
      if not (self.p >= 0 and self.p <= 1) then
        core.raise(name, "dropout probability has to be between 0 and 1, but got %s", text.repr(self.p))
      end
    end,
    text = function(self) return declare.fill("p={p}, inplace={inplace}", self) end,
    forward = function(self, input) return (fn(input, self.p, self.training, self.inplace)) end,
  })
end

-- Buffer --------------------------------------------------------------------------------------------------------------

local buffer_arguments = arguments.signature("Buffer", {
  { "data", "tensor?" }, { "persistent", "boolean", true },
})

--- Buffer(data, persistent = true): a tensor that a module it is assigned to keeps as a buffer. It shares memory with
-- `data`; assigning it to a field does what register_buffer does.
function more.Buffer(...)
  local data, persistent = buffer_arguments(...)
  local buffer = data and data:detach() or core.empty(0)
  walk.declared_buffers[buffer] = { persistent = persistent }
  return buffer
end

return more
