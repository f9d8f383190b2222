--- torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu: whole sequences through layers of recurrent cells.
--
-- A layer in one direction is one operator (src/ops/recurrent.c); here layers and directions are put together. A
-- sequence is either a tensor of shape [T, N, in] or packed: its rows step by step, with the number of rows of each
-- step. Invariant: rows of a step are the first rows of the step before.

local core = require "moontorch.core"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local recurrence = {}

-- One layer in one direction: the operator of each function, with the weights `w`. Returns the output, the last h, and
-- for lstm the last c.
local layers = {}

function layers.lstm(x, h, c, w, sizes, reverse)
  return core._lstm(x, h, c, w.ih, w.hh, w.bias_ih, w.bias_hh, w.hr, sizes, reverse)
end

for _, name in ipairs { "gru", "rnn_tanh", "rnn_relu" } do
  local layer = core["_" .. name]
  layers[name] = function(x, h, _, w, sizes, reverse)
    return layer(x, h, w.ih, w.hh, w.bias_ih, w.bias_hh, sizes, reverse)
  end
end

-- Parameters in PyTorch's flat order, one table for each layer and direction.
local function group(owner, params, has_biases, count, projects)
  local each = 2 + (has_biases and 2 or 0) + (projects and 1 or 0)
  if #params ~= each * count then
    core.raise(owner, "got an incorrect number of RNN parameters: %d, but %d layers and directions need %d each",
      #params, count, each)
  end
  local groups = {}
  for i, p in ipairs(params) do
    if not core.is_tensor(p) then
      core.raise(owner, "expected Tensor as element %d in argument 'params', but got %s", i, arguments.type_name(p))
    end
  end
  for k = 1, count do
    local at = (k - 1) * each
    groups[k] = { ih = params[at + 1], hh = params[at + 2] }
    if has_biases then groups[k].bias_ih, groups[k].bias_hh = params[at + 3], params[at + 4] end
    if projects then groups[k].hr = params[at + each] end
  end
  return groups
end

local function check_sizes(owner, x, sizes)
  local sum = 0
  for t, n in ipairs(sizes) do
    if n < 1 or (t > 1 and n > sizes[t - 1]) then
      core.raise(owner, "batch_sizes must be positive and fall, but step %d has %d", t, n)
    end
    sum = sum + n
  end
  if x.ndim ~= 2 or sum ~= x:size(1) then
    core.raise(owner, "batch_sizes stand for %d rows, but data has shape %s", sum, text.sizes(x))
  end
end

local function check_state(owner, word, state, count, batch)
  if state == nil then return end
  if state.ndim ~= 3 or state:size(1) ~= count or state:size(2) ~= batch then
    core.raise(owner, "%s must have shape [%d, %d, hidden size] (layers * directions, batch, hidden size), but it is "
      .. "%s", word, count, batch, text.sizes(state))
  end
end

-- All layers. `s`: x, sizes (packed) or batch_first, h, c, params, has_biases, layers, dropout, train, bidirectional.
local function run(owner, s)
  local x, sizes, directions = s.x, s.sizes, s.bidirectional and 2 or 1
  local count = s.layers * directions
  if sizes then
    check_sizes(owner, x, sizes)
  elseif x.ndim ~= 3 then
    core.raise(owner, "input must have 3 dimensions, got %d: it is %s", x.ndim, text.sizes(x))
  elseif s.batch_first then
    x = x:transpose(1, 2)
  end
  local length = sizes and #sizes or x:size(1)
  if length == 0 then
    core.raise(owner, "Expected sequence length to be larger than 0 in RNN: the input is %s", text.sizes(s.x))
  end
  local batch = sizes and sizes[1] or x:size(2)
  check_state(owner, s.c and "hx[1]" or "hx", s.h, count, batch)
  check_state(owner, "hx[2]", s.c, count, batch)
  local groups = group(owner, s.params, s.has_biases, count, s.c ~= nil and s.h:size(3) ~= s.c:size(3))
  local h, c, run_layer, last_h, last_c = s.h:unbind(1), s.c and s.c:unbind(1), layers[owner], {}, {}
  for layer = 1, s.layers do
    local outputs = {}
    for direction = 1, directions do
      local k = (layer - 1) * directions + direction
      outputs[direction], last_h[k], last_c[k] = run_layer(x, h[k], c and c[k], groups[k], sizes, direction == 2)
    end
    x = directions == 2 and core.cat(outputs, -1) or outputs[1]
    if s.dropout > 0 and s.train and layer < s.layers then x = core.dropout(x, s.dropout, true) end
  end
  if s.batch_first and not sizes then x = x:transpose(1, 2) end
  if c then return x, core.stack(last_h, 1), core.stack(last_c, 1) end
  return x, core.stack(last_h, 1)
end

local function define(name, state_kind)
  local rest = {
    { "params", "list" }, { "has_biases", "boolean" }, { "num_layers", "integer" }, { "dropout", "number" },
    { "train", "boolean" }, { "bidirectional", "boolean" },
  }
  local padded = table.move(rest, 1, #rest, 3, { { "input", "tensor" }, { "hx", state_kind } })
  padded[#padded + 1] = { "batch_first", "boolean" }
  local packed = table.move(rest, 1, #rest, 4, {
    { "data", "tensor" }, { "batch_sizes", "tensor" }, { "hx", state_kind },
  })
  local of_padded, of_packed = arguments.signature(name, padded), arguments.signature(name, packed)

  -- PyTorch tells the two forms apart by what stands where the parameters or the sizes of steps are.
  local function is_packed(...)
    local values, n, keywords = arguments.split(...)
    if keywords.data ~= nil or keywords.batch_sizes ~= nil then return true end
    if state_kind == "list" then return n >= 2 and core.is_tensor(values[2]) end
    return n >= 3 and core.is_tensor(values[3])
  end

  recurrence[name] = function(...)
    local s = {}
    local hx
    if is_packed(...) then
      local batch_sizes
      s.x, batch_sizes, hx, s.params, s.has_biases, s.layers, s.dropout, s.train, s.bidirectional = of_packed(...)
      s.sizes = batch_sizes:tolist()
      if type(s.sizes) ~= "table" then core.raise(name, "batch_sizes must be 1-D, but it has no dims") end
    else
      s.x, hx, s.params, s.has_biases, s.layers, s.dropout, s.train, s.bidirectional, s.batch_first = of_padded(...)
    end
    if state_kind == "list" then
      if #hx ~= 2 or not core.is_tensor(hx[1]) or not core.is_tensor(hx[2]) then
        core.raise(name, "lstm expects two hidden states: {h, c}")
      end
      s.h, s.c = hx[1], hx[2]
    else
      s.h = hx
    end
    return run(name, s)
  end
end

--- lstm(input, {h, c}, params, has_biases, num_layers, dropout, train, bidirectional, batch_first), or with a packed
-- sequence lstm(data, batch_sizes, {h, c}, params, …): output, and the last h and c.
define("lstm", "list")
--- gru(input, h, params, …), or gru(data, batch_sizes, h, params, …): output, and the last h.
define("gru", "tensor")
--- rnn_tanh(input, h, params, …), or rnn_tanh(data, batch_sizes, h, params, …): output, and the last h.
define("rnn_tanh", "tensor")
--- rnn_relu(input, h, params, …), or rnn_relu(data, batch_sizes, h, params, …): output, and the last h.
define("rnn_relu", "tensor")

return recurrence
