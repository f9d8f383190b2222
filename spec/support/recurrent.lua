--- Recurrent layers step by step, made of differentiable operators: what the operators in src/ops/recurrent.c are held
-- against. A layer in one direction at a time.
local torch = require "moontorch"
local linear = torch.nn.functional.linear

local reference = {}

-- One step each: `gates` is the step's product with the input weights, `h` and `c` the state before, `w` the weights
-- of a layer and direction. Returns the new h, and c for lstm.
local steps = {}

function steps.lstm(gates, h, c, w)
  gates = gates + linear(h, w.hh, w.bias_hh)
  local let_in, keep, fresh, let_out = table.unpack(gates:chunk(4, 2))
  c = keep:sigmoid() * c + let_in:sigmoid() * fresh:tanh()
  h = let_out:sigmoid() * c:tanh()
  if w.hr then h = linear(h, w.hr) end
  return h, c
end

function steps.gru(gates, h, _, w)
  local reset, update, fresh = table.unpack(gates:chunk(3, 2))
  local from_reset, from_update, from_fresh = table.unpack(linear(h, w.hh, w.bias_hh):chunk(3, 2))
  reset, update = (reset + from_reset):sigmoid(), (update + from_update):sigmoid()
  fresh = (fresh + reset * from_fresh):tanh()
  return (h - fresh) * update + fresh
end

function steps.rnn_tanh(gates, h, _, w)
  return (gates + linear(h, w.hh, w.bias_hh)):tanh()
end

function steps.rnn_relu(gates, h, _, w)
  return (gates + linear(h, w.hh, w.bias_hh)):relu()
end

-- A layer in one direction over a padded sequence [T, N, in]; returns the output [T, N, out] and the last state.
local function run_padded(step, x, h, c, w, reverse)
  local gates, outputs = linear(x, w.ih, w.bias_ih):unbind(1), {}
  local first, last, by = 1, #gates, 1
  if reverse then first, last, by = last, first, -1 end
  for t = first, last, by do
    h, c = step(gates[t], h, c, w)
    outputs[t] = h
  end
  return torch.stack(outputs, 1), h, c
end

-- The first rows of the state, or rows first … last.
local function rows(t, first, last)
  if t == nil or (first == 1 and last == t:size(1)) then return t end
  return t:narrow(1, first, last - first + 1)
end

local function join(parts)
  return #parts == 1 and parts[1] or torch.cat(parts, 1)
end

-- The same over packed rows. Forwards, sequences that have ended leave the state with their last rows; backwards, those
-- that begin enter it from the initial state.
local function run_packed(step, x, h, c, w, reverse, sizes)
  local gates, outputs = linear(x, w.ih, w.bias_ih):split(sizes, 1), {}
  if reverse then
    local h0, c0 = h, c
    h, c = rows(h0, 1, sizes[#sizes]), rows(c0, 1, sizes[#sizes])
    for t = #sizes, 1, -1 do
      local before, n = h:size(1), sizes[t]
      if n > before then
        h = join { h, rows(h0, before + 1, n) }
        c = c and join { c, rows(c0, before + 1, n) }
      end
      h, c = step(gates[t], h, c, w)
      outputs[t] = h
    end
    return join(outputs), h, c
  end
  local ended_h, ended_c = {}, {}
  local function leave(from, to)
    table.insert(ended_h, 1, rows(h, from, to))
    if c then table.insert(ended_c, 1, rows(c, from, to)) end
  end
  for t, n in ipairs(sizes) do
    local before = h:size(1)
    if n < before then
      leave(n + 1, before)
      h, c = rows(h, 1, n), rows(c, 1, n)
    end
    h, c = step(gates[t], h, c, w)
    outputs[t] = h
  end
  leave(1, h:size(1))
  return join(outputs), join(ended_h), c and join(ended_c)
end

--- Output, last h and, for lstm, last c of one layer and direction. mode: lstm, gru, rnn_tanh or rnn_relu; w: ih, hh,
-- bias_ih, bias_hh, hr; sizes: of the steps of packed rows x, nil where x is padded.
function reference.layer(mode, x, h, c, w, sizes, reverse)
  return (sizes and run_packed or run_padded)(steps[mode], x, h, c, w, reverse, sizes)
end

return reference
