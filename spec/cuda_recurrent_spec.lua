--- Recurrent layers and cells on a GPU against the CPU: values, states, gradients, second derivatives.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"
local nn = torch.nn

if gpu.missing(describe, it, "recurrent layers on a GPU") then return end

local BOUND = {
  [torch.float64] = 1e-12, [torch.float32] = 1e-5, [torch.float16] = 4e-3, [torch.bfloat16] = 3e-2,
}

local function close(got, wanted, dtype, what) gpu.close(got, wanted, BOUND[dtype], what) end

local KINDS = {
  LSTM = function(...) return nn.LSTM(...) end,
  GRU = function(...) return nn.GRU(...) end,
  tanh = function(a, b, options) return nn.RNN(a, b, options) end,
  relu = function(a, b, options)
    local all = { nonlinearity = "relu" }
    for k, v in pairs(options or {}) do all[k] = v end
    return nn.RNN(a, b, all)
  end,
}

-- Everything that a run gives: results, then gradients of the parameters and the leaves, by name.
local function results(layer, leaves, run)
  local out = table.pack(run(layer, leaves))
  local total, all = 0, {}
  for k = 1, out.n do
    all[#all + 1] = { "result " .. k, out[k] }
    local wide = out[k].dtype == torch.float64 and out[k] or out[k]:float()
    total = total + (wide * (k + 1)):sin():sum()
  end
  local wanted, names = {}, {}
  for name, p in layer:named_parameters() do wanted[#wanted + 1], names[#names + 1] = p, name end
  for k, t in ipairs(leaves) do wanted[#wanted + 1], names[#names + 1] = t, "leaf " .. k end
  local grads = table.pack(torch.autograd.grad(total, wanted))
  for k = 1, grads.n do all[#all + 1] = { "gradient of " .. names[k], grads[k] } end
  return all
end

local function compare(what, dtype, layer, shapes, run)
  local host, device = {}, {}
  layer = layer:to(dtype)
  for k, shape in ipairs(shapes) do
    local t = torch.randn(shape):to(dtype)
    host[k], device[k] = t:clone():requires_grad_(), t:cuda():requires_grad_()
  end
  local wanted = results(layer, host, run)
  local without = torch.no_grad(function() return (run(layer:cuda(), device)) end)
  local got = results(layer, device, run)
  for k, row in ipairs(wanted) do close(got[k][2], row[2], dtype, what .. ", " .. row[1]) end
  close(without, wanted[1][2], dtype, what .. ", without gradients")
end

-- A layer's output, and its states one by one.
local function flat(y, states)
  if torch.is_tensor(states) then return y, states end
  return y, states[1], states[2]
end
local function plain(layer, leaves) return flat(layer(leaves[1])) end

describe("recurrent layers on a GPU", function()
  for kind, make in pairs(KINDS) do
    it("are the CPU's: " .. kind, function()
      torch.manual_seed(8)
      for dtype in pairs(BOUND) do compare(tostring(dtype), dtype, make(5, 7), { { 4, 3, 5 } }, plain) end
      compare("many rows", torch.float32, make(9, 33), { { 3, 40, 9 } }, plain)
      compare("without bias", torch.float64, make(3, 4, { bias = false }), { { 3, 2, 3 } }, plain)
      compare("two layers, both ways", torch.float64, make(3, 4, { num_layers = 2, bidirectional = true }),
        { { 5, 2, 3 } }, plain)
      compare("no sequence in the batch", torch.float64, make(3, 4), { { 5, 0, 3 } }, plain)
      compare("batch first, turned", torch.float64, make(3, 4, { batch_first = true }), { { 3, 2, 5 } },
        function(layer, leaves) return plain(layer, { leaves[1]:transpose(1, 3):transpose(1, 2) }) end)
    end)

    it("start from given states: " .. kind, function()
      torch.manual_seed(9)
      local shapes = { { 5, 2, 3 }, { 2, 2, 4 }, kind == "LSTM" and { 2, 2, 4 } or nil }
      compare("states", torch.float64, make(3, 4, { bidirectional = true }), shapes, function(layer, leaves)
        return flat(layer(leaves[1], kind == "LSTM" and { leaves[2], leaves[3] } or leaves[2]))
      end)
    end)

    it("take packed sequences: " .. kind, function()
      torch.manual_seed(10)
      compare("packed", torch.float64, make(3, 4, { num_layers = 2, bidirectional = true }), { { 6, 4, 3 } },
        function(layer, leaves)
          local packed = nn.utils.rnn.pack_padded_sequence(leaves[1], { 6, 4, 4, 1 })
          local y, states = layer(packed)
          return flat(y.data, states)
        end)
    end)

    it("differentiate twice: " .. kind, function()
      torch.manual_seed(11)
      local layer = make(2, 3):double()
      local x = torch.randn(3, 2, 2, { dtype = torch.float64 })
      local function twice(device)
        layer:to(device)
        local leaf = x:to(device):requires_grad_()
        local first = torch.autograd.grad((layer(leaf)):square():sum(), leaf, { create_graph = true })
        return torch.autograd.grad(first:square():sum(), leaf)
      end
      local wanted = twice("cpu")
      close(twice("cuda"), wanted, torch.float64, "second derivative")
    end)
  end

  it("project", function()
    torch.manual_seed(12)
    for dtype in pairs(BOUND) do
      compare("projection in " .. tostring(dtype), dtype,
        nn.LSTM(3, 6, { proj_size = 4, num_layers = 2, bidirectional = true }), { { 5, 2, 3 } }, plain)
    end
    compare("packed projection", torch.float64, nn.LSTM(3, 6, { proj_size = 2 }), { { 4, 3, 3 } },
      function(layer, leaves)
        local y, states = layer(nn.utils.rnn.pack_padded_sequence(leaves[1], { 4, 2, 1 }))
        return flat(y.data, states)
      end)
  end)

  it("have cells", function()
    torch.manual_seed(13)
    for _, dtype in ipairs { torch.float64, torch.float16 } do
      compare("LSTMCell", dtype, nn.LSTMCell(3, 5), { { 4, 3 }, { 4, 5 }, { 4, 5 } }, function(layer, leaves)
        return layer(leaves[1], { leaves[2], leaves[3] })
      end)
      for name, cell in pairs { GRUCell = nn.GRUCell(3, 5), RNNCell = nn.RNNCell(3, 5) } do
        compare(name, dtype, cell, { { 4, 3 }, { 4, 5 } }, function(layer, leaves)
          return layer(leaves[1], leaves[2])
        end)
      end
    end
  end)

  it("are composed under autocast, in its dtype", function()
    local layer = nn.LSTM(3, 4):cuda()
    local x = torch.randn(2, 2, 3):cuda()
    local y = torch.autocast("cuda", { dtype = torch.float16 }, function() return (layer(x)) end)
    close(y:float(), layer:cpu()(x:cpu()), torch.float16, "autocast")
  end)
end)
