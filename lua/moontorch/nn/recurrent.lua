--- Recurrent layers: RNN, LSTM, GRU over sequences, and RNNCell, LSTMCell, GRUCell for one step.
--
-- All parameters start uniform in ±1/sqrt(hidden_size), drawn layer by layer, forwards before backwards, in the order
-- weight_ih, weight_hh, bias_ih, bias_hh, weight_hr: that is the order of `_flat_names` and of PyTorch.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local init = require "moontorch.nn.initializers"
local recurrence = require "moontorch.nn.recurrence"
local rnn = require "moontorch.nn.utils.rnn"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local recurrent = {}

local signature, is_tensor, type_name = arguments.signature, core.is_tensor, arguments.type_name

-- Gates of a mode, and the function that runs it.
local MODES = {
  LSTM = { 4, recurrence.lstm }, GRU = { 3, recurrence.gru },
  RNN_TANH = { 1, recurrence.rnn_tanh }, RNN_RELU = { 1, recurrence.rnn_relu },
}

local function empty(sizes, device, dtype)
  return core.parameter(core.empty(sizes, { device = device, dtype = dtype }))
end

local function reset_uniform(self)
  local bound = self.hidden_size > 0 and 1 / math.sqrt(self.hidden_size) or 0
  for _, parameter in ipairs(self:parameters()) do init.uniform_(parameter, -bound, bound) end
end

local function sizes_text(sizes)
  return "(" .. table.concat(sizes, ", ") .. ")"
end

-- Sequences -----------------------------------------------------------------------------------------------------------

--- What RNN, LSTM and GRU share: RNNBase(mode, input_size, hidden_size, num_layers, bias, batch_first, dropout,
-- bidirectional, proj_size, device, dtype); mode LSTM, GRU, RNN_TANH or RNN_RELU. Has no forward of its own.
local RNNBase = class.extend("RNNBase", Module)

local SETTINGS = {
  { "input_size", "integer" }, { "hidden_size", "integer" }, { "num_layers", "integer", 1 },
  { "bias", "boolean", true }, { "batch_first", "boolean", false }, { "dropout", "number", 0.0 },
  { "bidirectional", "boolean", false }, { "proj_size", "integer", 0 }, { "device", "any?" }, { "dtype", "any?" },
}

local function check_settings(owner, s)
  if not (s.dropout >= 0 and s.dropout <= 1) then
    core.raise(owner, "dropout should be a number in range [0, 1] representing the probability of an element being "
      .. "zeroed, but it is %s", text.repr(s.dropout))
  end
  if s.dropout > 0 and s.num_layers == 1 then
    arguments.warn_once(s, "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
      .. "expects num_layers greater than 1, but got dropout=%s and num_layers=%d", text.repr(s.dropout), s.num_layers)
  end
  for _, name in ipairs { "input_size", "hidden_size", "num_layers" } do
    if s[name] <= 0 then core.raise(owner, "%s must be greater than zero, but it is %d", name, s[name]) end
  end
  if s.proj_size < 0 then
    core.raise(owner, "proj_size should be a positive integer or zero to disable projections, but it is %d",
      s.proj_size)
  elseif s.proj_size >= s.hidden_size then
    core.raise(owner, "proj_size has to be smaller than hidden_size, but they are %d and %d", s.proj_size,
      s.hidden_size)
  end
end

local function set_up(self, mode, values)
  if not MODES[mode] then
    core.raise(self:_get_name(), "Unrecognized RNN mode: %s; it is LSTM, GRU, RNN_TANH or RNN_RELU", mode)
  end
  self.mode = mode
  for i, setting in ipairs(SETTINGS) do
    if i <= 8 then self[setting[1]] = values[i] end
  end
  check_settings(self:_get_name(), self)
  local device, dtype = values[9], values[10]
  local gates, out = MODES[mode][1] * self.hidden_size, self.proj_size > 0 and self.proj_size or self.hidden_size
  self._flat_names = {}
  local function add(name, sizes)
    self[name] = empty(sizes, device, dtype)
    self._flat_names[#self._flat_names + 1] = name
  end
  for layer = 0, self.num_layers - 1 do
    for direction = 1, self.bidirectional and 2 or 1 do
      local suffix = layer .. (direction == 2 and "_reverse" or "")
      local into = layer == 0 and self.input_size or out * (self.bidirectional and 2 or 1)
      add("weight_ih_l" .. suffix, { gates, into })
      add("weight_hh_l" .. suffix, { gates, out })
      if self.bias then
        add("bias_ih_l" .. suffix, { gates })
        add("bias_hh_l" .. suffix, { gates })
      end
      if self.proj_size > 0 then add("weight_hr_l" .. suffix, { self.proj_size, self.hidden_size }) end
    end
  end
  self:reset_parameters()
end

local base_arguments = signature("RNNBase", { { "mode", "string" }, table.unpack(SETTINGS) })

function RNNBase:init(...)
  local values = table.pack(base_arguments(...))
  set_up(self, values[1], { table.unpack(values, 2, values.n) })
end

--- Draws new start values.
function RNNBase:reset_parameters()
  reset_uniform(self)
end

--- Nothing to do: the parameters are used where they lie.
function RNNBase:flatten_parameters() end

-- The parameters, an array for each layer and direction: the property `all_weights`.
local function all_weights(self)
  local groups, each = {}, #self._flat_names // (self.num_layers * (self.bidirectional and 2 or 1))
  for i, name in ipairs(self._flat_names) do
    local k = (i - 1) // each + 1
    groups[k] = groups[k] or {}
    table.insert(groups[k], self[name])
  end
  return groups
end

rawset(RNNBase, "__index", function(self, key)
  if key == "all_weights" then return all_weights(self) end
  return getmetatable(self)[key]
end)

local function flat_weights(self)
  local params = {}
  for i, name in ipairs(self._flat_names) do params[i] = self[name] end
  return params
end

--- Refuses an input whose dtype, dims or last size do not fit.
function RNNBase:check_input(input, batch_sizes)
  local owner, weight = self:_get_name(), self[self._flat_names[1]]
  local dims = batch_sizes and 2 or 3
  if input.dtype ~= weight.dtype and not core._autocast_anywhere() then
    local wanted, got = tostring(weight.dtype), tostring(input.dtype)
    core.raise(owner, "RNN input dtype (%s) does not match weight dtype (%s). Convert input: input:to(%s), or convert "
      .. "model: model:to(%s)", got, wanted, wanted, got)
  end
  if input.ndim ~= dims then core.raise(owner, "input must have %d dimensions, got %d", dims, input.ndim) end
  if input:size(-1) ~= self.input_size then
    core.raise(owner, "input.size(-1) must be equal to input_size. Expected %d, got %d: the input is %s",
      self.input_size, input:size(-1), text.sizes(input))
  end
end

--- The shape of the hidden state, as an array.
function RNNBase:get_expected_hidden_size(input, batch_sizes)
  local batch = batch_sizes and batch_sizes[1]:item() or input:size(self.batch_first and 1 or 2)
  local out = self.proj_size > 0 and self.proj_size or self.hidden_size
  return { self.num_layers * (self.bidirectional and 2 or 1), batch, out }
end

--- Refuses a hidden state of another shape; `message` has places for the expected and the actual one.
function RNNBase:check_hidden_size(hx, expected, message)
  if table.concat(hx.shape, " ") ~= table.concat(expected, " ") then
    core.raise(self:_get_name(), message or "Expected hidden size %s, got %s", sizes_text(expected), text.sizes(hx))
  end
end

local function hidden_states(self, hx)
  if self.mode ~= "LSTM" then
    if not is_tensor(hx) then
      core.raise(self:_get_name(), "argument 'hx' (position 2) must be Tensor, not %s", type_name(hx))
    end
    return { hx }
  end
  if type(hx) ~= "table" or #hx ~= 2 or not is_tensor(hx[1]) or not is_tensor(hx[2]) then
    core.raise(self:_get_name(), "argument 'hx' (position 2) must be a pair of tensors {h, c}, not %s", type_name(hx))
  end
  return { hx[1], hx[2] }
end

-- The state to start from, of 3 dims and in the order of the packed rows: what the caller gave, or zeros.
local function start_state(self, input, hx, packed, is_batched)
  local expected = self:get_expected_hidden_size(input, packed and packed.batch_sizes)
  local shapes = { expected }
  if self.mode == "LSTM" then shapes[2] = { expected[1], expected[2], self.hidden_size } end
  if hx == nil or hx == core.none then
    local states = {}
    for i, shape in ipairs(shapes) do
      states[i] = core.zeros(shape, { dtype = input.dtype, device = input.device })
    end
    return states
  end
  local states, dims, wrong = hidden_states(self, hx), is_batched and 3 or 2, false
  for _, state in ipairs(states) do wrong = wrong or (not packed and state.ndim ~= dims) end
  if wrong then
    local found = ("%d-D tensor"):format(states[1].ndim)
    if states[2] then found = ("(%d-D, %d-D) tensors"):format(states[1].ndim, states[2].ndim) end
    core.raise(self:_get_name(), "For %s %d-D input, %s should also be %d-D but got %s",
      is_batched and "batched" or "unbatched", dims, states[2] and "hx and cx" or "hx", dims, found)
  end
  for i, state in ipairs(states) do
    if not packed and not is_batched then state = state:unsqueeze(2) end
    local message = states[2] and ("Expected hidden[%d] size %%s, got %%s"):format(i)
    self:check_hidden_size(state, shapes[i], message)
    if packed and packed.sorted_indices then state = state:index_select(2, packed.sorted_indices) end
    states[i] = state
  end
  return states
end

local function forward(self, input, hx)
  local packed = class.isinstance(input, rnn.PackedSequence) and input or nil
  local owner, is_batched = self:_get_name(), true
  if packed then
    input = packed.data
  elseif not is_tensor(input) then
    core.raise(owner, "argument 'input' (position 1) must be Tensor or PackedSequence, not %s", type_name(input))
  elseif input.ndim ~= 2 and input.ndim ~= 3 then
    core.raise(owner, "%s: Expected input to be 2D or 3D, got %dD instead: it is %s", owner, input.ndim,
      text.sizes(input))
  else
    is_batched = input.ndim == 3
    if not is_batched then input = input:unsqueeze(self.batch_first and 1 or 2) end
  end
  self:check_input(input, packed and packed.batch_sizes)
  local state = start_state(self, input, hx, packed, is_batched)
  local start = self.mode == "LSTM" and state or state[1]
  local fn = MODES[self.mode][2]
  local output, h, c
  if packed then
    output, h, c = fn(input, packed.batch_sizes, start, flat_weights(self), self.bias, self.num_layers, self.dropout,
      self.training, self.bidirectional)
    output = rnn.PackedSequence(output, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
    if packed.unsorted_indices then
      h, c = h:index_select(2, packed.unsorted_indices), c and c:index_select(2, packed.unsorted_indices)
    end
  else
    output, h, c = fn(input, start, flat_weights(self), self.bias, self.num_layers, self.dropout, self.training,
      self.bidirectional, self.batch_first)
    if not is_batched then
      output, h, c = output:squeeze(self.batch_first and 1 or 2), h:squeeze(2), c and c:squeeze(2)
    end
  end
  return output, c and { h, c } or h
end

function RNNBase:extra_repr()
  local parts = { self.input_size, self.hidden_size }
  local function add(name, usual)
    if self[name] ~= usual then parts[#parts + 1] = name .. "=" .. text.repr(self[name]) end
  end
  add("proj_size", 0)
  add("num_layers", 1)
  add("bias", true)
  add("batch_first", false)
  if self.dropout ~= 0 then parts[#parts + 1] = "dropout=" .. text.repr(self.dropout + 0.0) end
  add("bidirectional", false)
  return table.concat(parts, ", ")
end

local function without_projection()
  local list = {}
  for _, setting in ipairs(SETTINGS) do
    if setting[1] ~= "proj_size" then list[#list + 1] = setting end
  end
  return list
end

local function refuse_projection(owner, ...)
  local _, _, keywords = arguments.split(...)
  if keywords.proj_size ~= nil then
    core.raise(owner, "proj_size argument is only supported for LSTM, not RNN or GRU")
  end
end

--- RNN(input_size, hidden_size, num_layers = 1, nonlinearity = "tanh", bias = true, batch_first = false, dropout = 0,
-- bidirectional = false, device, dtype): h' = tanh or relu of (x w_ih^T + b_ih + h w_hh^T + b_hh) for each step.
-- Takes input (L, N, input_size), with batch_first (N, L, input_size), (L, input_size) or a PackedSequence, and the
-- state before; returns the output and the last state.
local RNN = class.extend("RNN", RNNBase)

local rnn_settings = without_projection()
table.insert(rnn_settings, 4, { "nonlinearity", "string", "tanh" })
local rnn_arguments = signature("RNN", rnn_settings)

function RNN:init(...)
  refuse_projection("RNN", ...)
  local input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, device, dtype =
    rnn_arguments(...)
  if nonlinearity ~= "tanh" and nonlinearity ~= "relu" then
    core.raise("RNN", "Unknown nonlinearity '%s'. Select from 'tanh' or 'relu'.", nonlinearity)
  end
  RNNBase.init(self, "RNN_" .. nonlinearity:upper(), input_size, hidden_size, num_layers, bias, batch_first, dropout,
    bidirectional, 0, device, dtype)
  self.nonlinearity = nonlinearity
end

RNN.forward = forward

--- LSTM(input_size, hidden_size, num_layers = 1, bias = true, batch_first = false, dropout = 0, bidirectional = false,
-- proj_size = 0, device, dtype): long short-term memory; `local out, hc = lstm(x, {h, c})`, hc the last {h, c}.
-- With proj_size the hidden state is a learned projection of that size.
local LSTM = class.extend("LSTM", RNNBase)

local lstm_arguments = signature("LSTM", SETTINGS)

function LSTM:init(...)
  RNNBase.init(self, "LSTM", lstm_arguments(...))
end

LSTM.forward = forward

--- The shape of the cell state, as an array.
function LSTM:get_expected_cell_size(input, batch_sizes)
  local size = self:get_expected_hidden_size(input, batch_sizes)
  size[3] = self.hidden_size
  return size
end

--- GRU(input_size, hidden_size, num_layers = 1, bias = true, batch_first = false, dropout = 0, bidirectional = false,
-- device, dtype): gated recurrent units; `local out, h = gru(x, h0)`.
local GRU = class.extend("GRU", RNNBase)

local gru_arguments = signature("GRU", without_projection())

function GRU:init(...)
  refuse_projection("GRU", ...)
  local input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype =
    gru_arguments(...)
  RNNBase.init(self, "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device,
    dtype)
end

GRU.forward = forward

-- One step ------------------------------------------------------------------------------------------------------------

--- What the three cells share.
local RNNCellBase = class.extend("RNNCellBase", Module)

local cell_base_arguments = signature("RNNCellBase", {
  { "input_size", "integer" }, { "hidden_size", "integer" }, { "bias", "boolean" }, { "num_chunks", "integer" },
  { "device", "any?" }, { "dtype", "any?" },
})

function RNNCellBase:init(...)
  local input_size, hidden_size, bias, chunks, device, dtype = cell_base_arguments(...)
  for name, size in pairs { input_size = input_size, hidden_size = hidden_size } do
    if size < 0 then
      core.raise(self:_get_name(), "Trying to create tensor with negative dimension %d: %s", size, name)
    end
  end
  self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
  self.weight_ih = empty({ chunks * hidden_size, input_size }, device, dtype)
  self.weight_hh = empty({ chunks * hidden_size, hidden_size }, device, dtype)
  self:register_parameter("bias_ih", bias and empty({ chunks * hidden_size }, device, dtype) or nil)
  self:register_parameter("bias_hh", bias and empty({ chunks * hidden_size }, device, dtype) or nil)
  self:reset_parameters()
end

--- Draws new start values.
function RNNCellBase:reset_parameters()
  reset_uniform(self)
end

function RNNCellBase:extra_repr()
  local extra = ("%d, %d"):format(self.input_size, self.hidden_size)
  if not self.bias then extra = extra .. ", bias=False" end
  if self.nonlinearity ~= nil and self.nonlinearity ~= "tanh" then
    extra = extra .. ", nonlinearity=" .. self.nonlinearity
  end
  return extra
end

local function check_dims(owner, word, t)
  if not is_tensor(t) then core.raise(owner, "%s must be Tensor, not %s", word, type_name(t)) end
  if t.ndim ~= 1 and t.ndim ~= 2 then
    core.raise(owner, "%s: Expected %s to be 1D or 2D, got %dD instead: it is %s", owner, word, t.ndim, text.sizes(t))
  end
end

-- Runs `step(input, states)`, which returns one new state or two, on one sample or a batch.
local function run_cell(self, input, states, count, step)
  check_dims(self:_get_name(), "input", input)
  for i, state in ipairs(states or {}) do
    check_dims(self:_get_name(), count == 2 and ("hx[%d]"):format(i) or "hidden", state)
  end
  local alone = input.ndim == 1
  if alone then input = input:unsqueeze(1) end
  local ready = {}
  for i = 1, count do
    if not states then
      local kind = { dtype = input.dtype, device = input.device }
      ready[i] = ready[1] or core.zeros({ input:size(1), self.hidden_size }, kind)
    else
      ready[i] = alone and states[i]:unsqueeze(1) or states[i]
    end
  end
  local h, c = step(input, ready)
  if alone then h, c = h:squeeze(1), c and c:squeeze(1) end
  return h, c
end

-- What may be nil and means zeros.
local function given(hx)
  if hx == core.none then return nil end
  return hx
end

--- RNNCell(input_size, hidden_size, bias = true, nonlinearity = "tanh", device, dtype): `h = cell(x, h)`.
local RNNCell = class.extend("RNNCell", RNNCellBase)

local rnn_cell_arguments = signature("RNNCell", {
  { "input_size", "integer" }, { "hidden_size", "integer" }, { "bias", "boolean", true },
  { "nonlinearity", "string", "tanh" }, { "device", "any?" }, { "dtype", "any?" },
})

function RNNCell:init(...)
  local input_size, hidden_size, bias, nonlinearity, device, dtype = rnn_cell_arguments(...)
  RNNCellBase.init(self, input_size, hidden_size, bias, 1, device, dtype)
  self.nonlinearity = nonlinearity
end

function RNNCell:forward(input, hx)
  local fn = self.nonlinearity == "tanh" and core.rnn_tanh_cell or self.nonlinearity == "relu" and core.rnn_relu_cell
  if not fn then
    core.raise("RNNCell", "Unknown nonlinearity: %s; it is tanh or relu", tostring(self.nonlinearity))
  end
  hx = given(hx)
  return (run_cell(self, input, hx ~= nil and { hx } or nil, 1, function(x, states)
    return (fn(x, states[1], self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh))
  end))
end

local cell_settings = {
  { "input_size", "integer" }, { "hidden_size", "integer" }, { "bias", "boolean", true }, { "device", "any?" },
  { "dtype", "any?" },
}

--- LSTMCell(input_size, hidden_size, bias = true, device, dtype): `h, c = cell(x, {h, c})`.
local LSTMCell = class.extend("LSTMCell", RNNCellBase)

local lstm_cell_arguments = signature("LSTMCell", cell_settings)

function LSTMCell:init(...)
  local input_size, hidden_size, bias, device, dtype = lstm_cell_arguments(...)
  RNNCellBase.init(self, input_size, hidden_size, bias, 4, device, dtype)
end

function LSTMCell:forward(input, hx)
  hx = given(hx)
  if hx ~= nil and (type(hx) ~= "table" or #hx ~= 2) then
    core.raise("LSTMCell", "argument 'hx' (position 2) must be a pair of tensors {h, c}, not %s", type_name(hx))
  end
  return run_cell(self, input, hx, 2, function(x, states)
    return core.lstm_cell(x, states, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
  end)
end

--- GRUCell(input_size, hidden_size, bias = true, device, dtype): `h = cell(x, h)`.
local GRUCell = class.extend("GRUCell", RNNCellBase)

local gru_cell_arguments = signature("GRUCell", cell_settings)

function GRUCell:init(...)
  local input_size, hidden_size, bias, device, dtype = gru_cell_arguments(...)
  RNNCellBase.init(self, input_size, hidden_size, bias, 3, device, dtype)
end

function GRUCell:forward(input, hx)
  hx = given(hx)
  return (run_cell(self, input, hx ~= nil and { hx } or nil, 1, function(x, states)
    return (core.gru_cell(x, states[1], self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh))
  end))
end

recurrent.RNNBase, recurrent.RNN, recurrent.LSTM, recurrent.GRU = RNNBase, RNN, LSTM, GRU
recurrent.RNNCellBase, recurrent.RNNCell = RNNCellBase, RNNCell
recurrent.LSTMCell, recurrent.GRUCell = LSTMCell, GRUCell

return recurrent
