--- nn.init: ways to fill a tensor with start values, in place and without recording gradients.
--
-- Every function returns its tensor. Random ones draw what PyTorch draws for the same seed. Sources: Glorot and Bengio
-- 2010 (xavier), He et al. 2015 (kaiming), Saxe et al. 2013 (orthogonal).

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local text = require "moontorch.text"
local walk = require "moontorch.nn.walk"

local init = {}

local function without_gradient(fn)
  return core.no_grad(fn)
end

local linear_like = {
  linear = true, conv1d = true, conv2d = true, conv3d = true, conv_transpose1d = true, conv_transpose2d = true,
  conv_transpose3d = true, sigmoid = true,
}

local gain_arguments = arguments.signature("calculate_gain", { { "nonlinearity", "string" }, { "param", "any?" } })

--- The recommended gain for a nonlinearity: linear, convN, sigmoid 1; tanh 5/3; relu sqrt 2;
-- leaky_relu sqrt(2 / (1 + param^2)), param 0.01 unless given; selu 3/4.
function init.calculate_gain(...)
  local nonlinearity, param = gain_arguments(...)
  if linear_like[nonlinearity] then return 1 end
  if nonlinearity == "tanh" then return 5.0 / 3 end
  if nonlinearity == "relu" then return math.sqrt(2.0) end
  if nonlinearity == "selu" then return 3.0 / 4 end
  if nonlinearity == "leaky_relu" then
    local slope = param == nil and 0.01 or param
    if type(slope) ~= "number" then
      core.raise("calculate_gain", "negative_slope %s not a valid number", tostring(slope))
    end
    return math.sqrt(2.0 / (1 + slope ^ 2))
  end
  core.raise("calculate_gain", "Unsupported nonlinearity %s", tostring(nonlinearity))
end

-- The keyword argument `generator`, or nothing.
local function from(generator)
  if generator ~= nil then return { generator = generator } end
end

-- A function `nn.init.name`: declared parameters, then the work under no_grad. The tensor comes first and is returned.
local function define(name, parameters, fill)
  table.insert(parameters, 1, { "tensor", "tensor" })
  local resolve = arguments.signature(name, parameters)
  local function run(tensor, ...)
    local rest, n = { ... }, select("#", ...)
    return without_gradient(function()
      fill(tensor, table.unpack(rest, 1, n))
      return tensor
    end)
  end
  init[name] = function(...) return run(resolve(...)) end
end

define("uniform_", { { "a", "number", 0.0 }, { "b", "number", 1.0 }, { "generator", "any?" } },
  function(t, a, b, generator) t:uniform_(a, b, from(generator)) end)

define("normal_", { { "mean", "number", 0.0 }, { "std", "number", 1.0 }, { "generator", "any?" } },
  function(t, mean, std, generator) t:normal_(mean, std, from(generator)) end)

define("constant_", { { "val", "number" } }, function(t, value) t:fill_(value) end)
define("ones_", {}, function(t) t:fill_(1.0) end)
define("zeros_", {}, function(t) t:zero_() end)

define("eye_", {}, function(t)
  if t.ndim ~= 2 then
    core.raise("eye_", "Only tensors with 2 dimensions are supported, but got %d dimension%s", t.ndim,
      t.ndim == 1 and "" or "s")
  end
  t:copy_(core.eye(t:size(1), t:size(2)))
end)

-- Inputs and outputs of one unit: sizes of dims 2 and 1, times what a kernel covers.
local function fans(name, t)
  if t.ndim < 2 then
    core.raise(name, "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, but got shape "
      .. "[%s]", table.concat(t.shape, ", "))
  end
  local receptive = 1
  for d = 3, t.ndim do receptive = receptive * t:size(d) end
  return t:size(2) * receptive, t:size(1) * receptive
end

--- Inputs and outputs of one unit of a weight: two integers. Layers of one's own use it to draw their bias.
function init._calculate_fan_in_and_fan_out(tensor)
  if not core.is_tensor(tensor) then
    core.raise("_calculate_fan_in_and_fan_out", "argument 'tensor' (position 1) must be Tensor, not %s",
      arguments.type_name(tensor))
  end
  return fans("_calculate_fan_in_and_fan_out", tensor)
end

define("xavier_uniform_", { { "gain", "number", 1.0 }, { "generator", "any?" } }, function(t, gain, generator)
  local fan_in, fan_out = fans("xavier_uniform_", t)
  local std = gain * math.sqrt(2.0 / (fan_in + fan_out))
  local a = math.sqrt(3.0) * std
  t:uniform_(-a, a, from(generator))
end)

define("xavier_normal_", { { "gain", "number", 1.0 }, { "generator", "any?" } }, function(t, gain, generator)
  local fan_in, fan_out = fans("xavier_normal_", t)
  t:normal_(0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), from(generator))
end)

-- The standard deviation of He et al. for the chosen fan.
local function kaiming_std(name, t, a, mode, nonlinearity)
  mode = mode:lower()
  if mode ~= "fan_in" and mode ~= "fan_out" then
    core.raise(name, "Mode %s not supported, please use one of ['fan_in', 'fan_out']", mode)
  end
  local fan_in, fan_out = fans(name, t)
  return init.calculate_gain(nonlinearity, a) / math.sqrt(mode == "fan_in" and fan_in or fan_out)
end

local function kaiming_parameters()
  return {
    { "a", "number", 0 }, { "mode", "string", "fan_in" }, { "nonlinearity", "string", "leaky_relu" },
    { "generator", "any?" },
  }
end

-- Is there nothing to fill? Says so.
local function is_empty(t)
  if t:numel() > 0 then return false end
  arguments.warn_once("init of nothing", "Initializing zero-element tensors is a no-op")
  return true
end

define("kaiming_uniform_", kaiming_parameters(), function(t, a, mode, nonlinearity, generator)
  if is_empty(t) then return end
  local bound = math.sqrt(3.0) * kaiming_std("kaiming_uniform_", t, a, mode, nonlinearity)
  t:uniform_(-bound, bound, from(generator))
end)

define("kaiming_normal_", kaiming_parameters(), function(t, a, mode, nonlinearity, generator)
  if is_empty(t) then return end
  t:normal_(0, kaiming_std("kaiming_normal_", t, a, mode, nonlinearity), from(generator))
end)

-- A tensor that is laid out as t, so that numbers are drawn in the order of t's memory.
local function empty_as(t)
  local order, back, strides = {}, {}, t:stride()
  for d = 1, t.ndim do order[d] = d end
  table.sort(order, function(a, b)
    if strides[a] ~= strides[b] then return strides[a] > strides[b] end
    return a < b
  end)
  for place, d in ipairs(order) do back[d] = place end
  if t.ndim < 2 then return core.empty_like(t) end
  return (core.empty_like(t:permute(order)):permute(back))
end

-- Values outside [a, b] are drawn again, all of them in one go, until none is left.
local function redraw_normal(t, mean, std, a, b, generator)
  local options = { dtype = t.dtype }
  local low, high = core.tensor(a, options):item(), core.tensor(b, options):item()
  local result = t:normal_(mean, std, from(generator))
  while true do
    local outside = result:lt(low):logical_or(result:gt(high))
    if not outside:any():item() then break end
    result = core.where(outside, empty_as(t):normal_(mean, std, from(generator)), result)
  end
  if result ~= t then t:copy_(result) end
end

-- Uniform candidates in [a, b] are accepted with the probability that the normal density has there.
local function accept_uniform(t, mean, std, a, b, generator)
  local log_peak = -0.5 * ((math.max(a, math.min(mean, b)) - mean) / std) ^ 2
  local candidates, chance = empty_as(t), empty_as(t)
  local function rejected()
    candidates:sub_(mean):div_(std):pow_(2):mul_(-0.5):sub_(log_peak)
    return chance:uniform_(0, 1, from(generator)):log_():gt(candidates)
  end
  t:uniform_(a, b, from(generator))
  candidates:copy_(t)
  local pending = rejected()
  if not pending:any():item() then return end
  local result = t
  repeat
    candidates:uniform_(a, b, from(generator))
    result = core.where(pending, candidates, result)
    pending = core.where(pending, rejected(), pending)
  until not pending:any():item()
  t:copy_(result)
end

define("trunc_normal_", {
  { "mean", "number", 0.0 }, { "std", "number", 1.0 }, { "a", "number", -2.0 }, { "b", "number", 2.0 },
  { "generator", "any?" },
}, function(t, mean, std, a, b, generator)
  if mean < a - 2 * std or mean > b + 2 * std then
    arguments.warn_once("trunc_normal_", "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The "
      .. "distribution of values may be incorrect.")
  end
  local function normal_cdf(x)
    return (1.0 + core.tensor(x / math.sqrt(2.0), { dtype = core.float64 }):erf():item()) / 2.0
  end
  local inside = normal_cdf((b - mean) / std) - normal_cdf((a - mean) / std)
  local draw = inside > 0.3 and redraw_normal or accept_uniform
  draw(t, mean, std, a, b, generator)
end)

-- The Q of A = QR for a matrix with at least as many rows as columns, by Householder reflections, columns turned so
-- that the diagonal of R is positive: then Q is unique, whichever way it was computed.
local function orthogonal_columns(a)
  a = a:double()
  local rows, columns = a:size(1), a:size(2)
  local reflections, signs = {}, {}
  local function reflect(matrix, k)
    local v = reflections[k]
    local part = matrix:narrow(1, k, rows - k + 1):narrow(2, k, columns - k + 1)
    part:addr_(v, part:t():mv(v), { alpha = -2 })
  end
  for k = 1, columns do
    local v = a:select(2, k):narrow(1, k, rows - k + 1):clone()
    local first, length = v[1]:item(), v:norm():item()
    signs[k] = length == 0 and 0.0 or first < 0 and 1.0 or -1.0
    v:narrow(1, 1, 1):add_(-signs[k] * length)
    if length > 0 then v:div_(v:norm()) end
    reflections[k] = v
    reflect(a, k)
  end
  local q = core.eye(rows, columns, { dtype = core.float64 })
  for k = columns, 1, -1 do reflect(q, k) end
  return q:mul_(core.tensor(signs, { dtype = core.float64 }))
end

define("orthogonal_", { { "gain", "number", 1.0 }, { "generator", "any?" } }, function(t, gain, generator)
  if t.ndim < 2 then
    core.raise("orthogonal_", "Only tensors with 2 or more dimensions are supported, but got shape %s", text.sizes(t))
  end
  if t:numel() == 0 then return end
  local rows = t:size(1)
  local columns = t:numel() // rows
  local flat = core.empty(rows, columns, { dtype = t.dtype, device = "cpu" }):normal_(0, 1, from(generator))
  local q = rows < columns and orthogonal_columns(flat:t()):t() or orthogonal_columns(flat)
  t:copy_(q:reshape(t.shape)):mul_(gain)
end)

define("dirac_", { { "groups", "integer", 1 } }, function(t, groups)
  if t.ndim < 3 or t.ndim > 5 then
    core.raise("dirac_", "Only tensors with 3, 4, or 5 dimensions are supported, but got shape %s", text.sizes(t))
  end
  if groups < 1 or t:size(1) % groups ~= 0 then
    core.raise("dirac_", "dim 1 must be divisible by groups, but its size is %d and groups %d", t:size(1), groups)
  end
  t:zero_()
  local per_group = t:size(1) // groups
  for g = 0, groups - 1 do
    for channel = 1, math.min(per_group, t:size(2)) do
      local key = { g * per_group + channel, channel }
      for d = 3, t.ndim do key[d] = t:size(d) // 2 + 1 end
      t[key] = 1
    end
  end
end)

define("sparse_", { { "sparsity", "number" }, { "std", "number", 0.01 }, { "generator", "any?" } },
  function(t, sparsity, std, generator)
    if t.ndim ~= 2 then
      core.raise("sparse_", "Only tensors with 2 dimensions are supported, but got shape %s", text.sizes(t))
    end
    local rows = t:size(1)
    local zeros = math.ceil(sparsity * rows)
    t:normal_(0, std, from(generator))
    for column = 1, t:size(2) do
      local order = core.randperm(rows, { device = t.device })
      t:select(2, column):index_fill_(1, order:narrow(1, 1, math.max(0, math.min(zeros, rows))), 0)
    end
  end)

-- The names of before PyTorch 0.4.
for _, name in ipairs {
  "uniform", "normal", "constant", "eye", "dirac", "xavier_uniform", "xavier_normal", "kaiming_uniform",
  "kaiming_normal", "orthogonal", "sparse",
} do
  init[name] = function(...)
    arguments.warn_once("init." .. name, "`nn.init.%s` is now deprecated in favor of `nn.init.%s_`.", name, name)
    return init[name .. "_"](...)
  end
end

--- Gives a whole model the start that Keras and TensorFlow give it: weights Glorot-uniform, biases zero.
-- Parameters with one dim that are no bias are left alone. Returns the model.
function init.like_tensorflow(model)
  if not walk.is_module(model) then
    core.raise("like_tensorflow", "expected a Module, but got %s", arguments.type_name(model))
  end
  for _, entry in ipairs(walk.tensors(model, "parameters")) do
    if entry.value.ndim >= 2 then
      init.xavier_uniform_(entry.value)
    elseif entry.name:match("[^.]*$"):find("^bias") then
      init.zeros_(entry.value)
    end
  end
  return model
end

return init
