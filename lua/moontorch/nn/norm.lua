--- Normalisation layers: BatchNorm, InstanceNorm, GroupNorm, LayerNorm, RMSNorm, LocalResponseNorm.
--
-- Scales start at 1 and shifts at 0. Running statistics are buffers; a forward that raises leaves them, and the count
-- of batches, as they were.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local declare = require "moontorch.nn.declare"
local F = require "moontorch.nn.functional"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local norm = {}

local none = core.none

-- `weight` and `bias` of those sizes, each nil where it is not wanted, then the start values.
local function make_affine(self, sizes, weight, bias, device, dtype)
  self:register_parameter("weight", weight and declare.parameter(sizes, device, dtype) or nil)
  self:register_parameter("bias", weight and bias and declare.parameter(sizes, device, dtype) or nil)
end

local function reset_affine(self)
  core.no_grad(function()
    if self.weight ~= nil then self.weight:fill_(1) end
    if self.bias ~= nil then self.bias:fill_(0) end
  end)
end

-- Batch and instance normalisation ------------------------------------------------------------------------------------

local NormBase = class.extend("_NormBase", Module)

local function norm_parameters(affine, track)
  return {
    { "num_features", "integer" }, { "eps", "number", 1e-5 }, { "momentum", "number?", 0.1 },
    { "affine", "boolean", affine }, { "track_running_stats", "boolean", track }, { "device", "any?" },
    { "dtype", "any?" }, { "bias", "boolean", true },
  }
end

local function setup_norm(self, resolve, ...)
  local num_features, eps, momentum, affine, track, device, dtype, bias = resolve(...)
  self.num_features, self.eps, self.affine, self.track_running_stats = num_features, eps, affine, track
  if momentum ~= nil then self.momentum = momentum end
  make_affine(self, { num_features }, affine, bias, device, dtype)
  local mean, var, count
  if track then
    mean = core.zeros(num_features, { device = device, dtype = dtype })
    var = core.ones(num_features, { device = device, dtype = dtype })
    count = core.tensor(0, { dtype = core.int64, device = device })
  end
  self:register_buffer("running_mean", mean)
  self:register_buffer("running_var", var)
  self:register_buffer("num_batches_tracked", count)
  self:reset_parameters()
end

--- Running mean 0, running variance 1, no batches.
function NormBase:reset_running_stats()
  if not self.track_running_stats then return end
  self.running_mean:zero_()
  self.running_var:fill_(1)
  self.num_batches_tracked:zero_()
end

--- The start values, running statistics included.
function NormBase:reset_parameters()
  self:reset_running_stats()
  reset_affine(self)
end

-- State dicts of before PyTorch 0.4 do not count batches.
function NormBase:_complete_state(given, prefix)
  if self.num_batches_tracked ~= nil and given[prefix .. "num_batches_tracked"] == nil then
    given[prefix .. "num_batches_tracked"] = self.num_batches_tracked
  end
end

function NormBase:extra_repr()
  return declare.fill("{num_features}, eps={eps}, momentum={momentum}, affine={affine}, bias=", self)
    .. text.repr(self.bias ~= nil) .. ", track_running_stats=" .. text.repr(self.track_running_stats)
end

-- What an error inside should say: where the channels do not fit, or which dtypes differ.
function NormBase:_explain(_, input)
  if input == nil then return nil end
  local head = ("%s(%d)"):format(self:_get_name(), self.num_features)
  local expectation
  if input.ndim > 1 and input:size(2) ~= self.num_features then
    expectation = ("dim 2 must be %d"):format(self.num_features)
    if input.ndim == 4 and input:size(4) == self.num_features then
      expectation = expectation .. ". It looks like NHWC: permute(1, 4, 2, 3)"
    end
  end
  return declare.explain(self, input, head, expectation)
end

-- Refuses inputs of other numbers of dims, in PyTorch's words.
local function check_rank(self, input, low, high)
  arguments.check_tensor(self:_get_name(), "input", 1, input)
  if input.ndim == low or input.ndim == high then return end
  local wanted = low == high and ("%dD"):format(low) or ("%dD or %dD"):format(low, high)
  core.raise(self:_get_name(), "expected %s input (got %dD input): input has shape %s", wanted, input.ndim,
    text.sizes(input))
end

local function batch_norm(name, low, high)
  local cls = class.extend(name, NormBase)
  local resolve = arguments.signature(name, norm_parameters(true, true))

  function cls:init(...) setup_norm(self, resolve, ...) end

  function cls:_check_input_dim(input) check_rank(self, input, low, high) end

  function cls:forward(input)
    self:_check_input_dim(input)
    local training, factor, count = self.training, self.momentum or 0.0, nil
    if training and self.track_running_stats and self.num_batches_tracked ~= nil then
      count = self.num_batches_tracked
      if self.momentum == nil then factor = 1 / (count:item() + 1) end
    end
    local by_batch = training or (self.running_mean == nil and self.running_var == nil)
    local tracked = not training or self.track_running_stats
    local output = F.batch_norm(input, tracked and self.running_mean or none, tracked and self.running_var or none,
      self.weight or none, self.bias or none, by_batch, factor, self.eps)
    if count ~= nil then count:add_(1) end
    return output
  end
  return cls
end

--- BatchNorm1d to BatchNorm3d(num_features, eps, momentum = 0.1, affine, track_running_stats, {bias}): each channel
-- less its mean over its deviation, those of the batch in training and the running ones otherwise. momentum torch.none
-- averages over all batches.
norm.BatchNorm1d = batch_norm("BatchNorm1d", 2, 3)
norm.BatchNorm2d = batch_norm("BatchNorm2d", 4, 4)
norm.BatchNorm3d = batch_norm("BatchNorm3d", 5, 5)

local function instance_norm(n)
  local name = ("InstanceNorm%dd"):format(n)
  local cls = class.extend(name, NormBase)
  local resolve = arguments.signature(name, norm_parameters(false, false))

  function cls:init(...) setup_norm(self, resolve, ...) end

  function cls:_check_input_dim(input) check_rank(self, input, n + 1, n + 2) end

  function cls:forward(input)
    self:_check_input_dim(input)
    local alone = input.ndim == n + 1
    local dim = alone and 1 or 2
    if input:size(dim) ~= self.num_features then
      if self.affine then
        core.raise(name, "expected input's size at dim=%d to match num_features (%d), but got: %d.", dim,
          self.num_features, input:size(dim))
      end
      arguments.warn_once(self, "input's size at dim=%d does not match num_features. You can silence this warning by "
        .. "not passing in num_features, which is not used because affine=False", dim)
    end
    local x = alone and input:unsqueeze(1) or input
    local output = F.instance_norm(x, self.running_mean or none, self.running_var or none, self.weight or none,
      self.bias or none, self.training or not self.track_running_stats, self.momentum or 0.0, self.eps)
    return alone and output:squeeze(1) or output
  end
  return cls
end

--- InstanceNorm1d to InstanceNorm3d(num_features, eps, momentum, affine, track_running_stats, {bias}): each channel of
-- each sample less its mean over its deviation.
norm.InstanceNorm1d, norm.InstanceNorm2d, norm.InstanceNorm3d = instance_norm(1), instance_norm(2), instance_norm(3)

-- Normalisation within a sample ---------------------------------------------------------------------------------------

local factory = { { "device", "any?" }, { "dtype", "any?" } }

local function with_factory(list, ...)
  list[#list + 1], list[#list + 2] = factory[1], factory[2]
  for _, entry in ipairs { ... } do list[#list + 1] = entry end
  return list
end

-- A layer whose parameters are made by `spec.setup` and then get their start values.
local function affine_layer(name, parameters, spec)
  local setup = spec.setup
  spec.setup = function(self, ...)
    setup(self, ...)
    self:reset_parameters()
  end
  local cls = declare.layer(name, parameters, spec)
  cls.reset_parameters, cls._explain = reset_affine, spec.explain
  return cls
end

--- GroupNorm(num_groups, num_channels, eps, affine, {bias}): each group of channels of each sample less its mean over
-- its deviation.
norm.GroupNorm = affine_layer("GroupNorm", with_factory({
  { "num_groups", "integer" }, { "num_channels", "integer" }, { "eps", "number", 1e-5 }, { "affine", "boolean", true },
}, { "bias", "boolean", true }), {
  setup = function(self, device, dtype, bias)
    if self.num_groups < 1 or self.num_channels % self.num_groups ~= 0 then
      core.raise("GroupNorm", "num_channels (%d) must be divisible by num_groups (%d)", self.num_channels,
        self.num_groups)
    end
    make_affine(self, { self.num_channels }, self.affine, bias, device, dtype)
  end,
  forward = function(self, input)
    return (F.group_norm(input, self.num_groups, self.weight or none, self.bias or none, self.eps))
  end,
  text = function(self)
    return declare.fill("{num_groups}, {num_channels}, eps={eps}, affine={affine}, bias=", self)
      .. text.repr(self.bias ~= nil)
  end,
  explain = function(self, _, input)
    if input == nil then return nil end
    local fits = input.ndim < 2 or input:size(2) == self.num_channels
    return declare.explain(self, input, ("GroupNorm(%d, %d)"):format(self.num_groups, self.num_channels),
      not fits and ("dim 2 must be %d"):format(self.num_channels) or nil)
  end,
})

-- normalized_shape as a list.
local function shape_list(self)
  local shape = self.normalized_shape
  if type(shape) ~= "table" then shape = { shape } end
  self.normalized_shape = declare.each(self:_get_name(), "normalized_shape", shape, #shape)
end

local function explain_shape(self, _, input)
  if input == nil then return nil end
  local shape, n = self.normalized_shape, #self.normalized_shape
  local fits = input.ndim >= n
  for d = 1, n do fits = fits and input:size(input.ndim - n + d) == shape[d] end
  return declare.explain(self, input, ("%s(%s)"):format(self:_get_name(), text.repr(shape)),
    not fits and ("the last dims must be [%s]"):format(table.concat(shape, ", ")) or nil)
end

--- LayerNorm(normalized_shape, eps, elementwise_affine, bias): the last dims, of that shape, less their mean over their
-- deviation.
norm.LayerNorm = affine_layer("LayerNorm", with_factory {
  { "normalized_shape", "any" }, { "eps", "number", 1e-5 }, { "elementwise_affine", "boolean", true },
  { "bias", "boolean", true },
}, {
  setup = function(self, device, dtype, bias)
    shape_list(self)
    make_affine(self, self.normalized_shape, self.elementwise_affine, bias, device, dtype)
  end,
  forward = function(self, input)
    return (F.layer_norm(input, self.normalized_shape, self.weight or none, self.bias or none, self.eps))
  end,
  text = function(self)
    return declare.fill("{normalized_shape}, eps={eps}, elementwise_affine={elementwise_affine}, bias=", self)
      .. text.repr(self.bias ~= nil)
  end,
  explain = explain_shape,
})

--- RMSNorm(normalized_shape, eps, elementwise_affine): the last dims over the root of the mean of their squares.
norm.RMSNorm = affine_layer("RMSNorm", with_factory {
  { "normalized_shape", "any" }, { "eps", "number?" }, { "elementwise_affine", "boolean", true },
}, {
  setup = function(self, device, dtype)
    shape_list(self)
    self:register_parameter("weight", self.elementwise_affine
      and declare.parameter(self.normalized_shape, device, dtype) or nil)
  end,
  forward = function(self, input)
    return (F.rms_norm(input, self.normalized_shape, self.weight or none, self.eps or none))
  end,
  text = function(self)
    return declare.fill("{normalized_shape}, eps={eps}, elementwise_affine={elementwise_affine}", self)
  end,
  explain = explain_shape,
})

--- LocalResponseNorm(size, alpha, beta, k): over (k + alpha mean of the squares of `size` neighbouring channels)^beta.
norm.LocalResponseNorm = declare.layer("LocalResponseNorm", {
  { "size", "integer" }, { "alpha", "number", 1e-4 }, { "beta", "number", 0.75 }, { "k", "number", 1.0 },
}, {
  text = "{size}, alpha={alpha}, beta={beta}, k={k}",
  forward = function(self, input)
    return (F.local_response_norm(input, self.size, self.alpha, self.beta, self.k))
  end,
})

return norm
