--- Recurrent layers, attention and transformers against PyTorch (spec/golden/recurrent.lua), and what they refuse.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local golden = dofile(here .. "/golden/recurrent.lua")
local nn, F = torch.nn, torch.nn.functional
local rnn = nn.utils.rnn
local refuses = near.refuses
local TOLERANCE = 1e-10

local function make(spec, hot)
  if type(spec) ~= "table" then return spec end
  local flat = torch.tensor(spec.v, { dtype = torch[spec.t] })
  local t = flat:view(#spec.s > 0 and spec.s or { 1 })
  if hot then t.requires_grad = true end
  return t
end

local function make_all(list, hot)
  local result = {}
  for i, spec in ipairs(list) do result[i] = make(spec, hot) end
  return result
end

-- Options with the tensors among them made.
local function made(options)
  local result = {}
  for key, value in pairs(options) do result[key] = make(value) end
  return result
end

local function check(wanted, got, what)
  if wanted == false then
    assert.is_nil(got, what)
    return
  end
  assert.same(wanted.s, { table.unpack(got.shape) }, what)
  near.check(wanted.v, got:detach():reshape(-1):tolist(), TOLERANCE, what)
end

local function check_all(wanted, got, what)
  assert.equal(#wanted, #got, what)
  for i, spec in ipairs(wanted) do check(spec, got[i], what .. " " .. i) end
end

local function flatten(results)
  local list = {}
  for i = 1, results.n or #results do
    local r = results[i]
    if type(r) == "userdata" then
      list[#list + 1] = r
    elseif type(r) == "table" then
      if r.data then list[#list + 1] = r.data else
        for _, t in ipairs(r) do list[#list + 1] = t end
      end
    end
  end
  return list
end

-- The gradients that the golden cases hand to the results.
local function total_of(outputs)
  local total = 0
  for _, out in ipairs(outputs) do
    local g = {}
    for i = 0, out:numel() - 1 do g[i + 1] = ((3 * i) % 7 - 3) / 4 end
    total = total + (out * torch.tensor(g):view(out.shape)):sum()
  end
  return total
end

local function named(module)
  local names, params = {}, {}
  for name, p in module:named_parameters() do names[#names + 1], params[#params + 1] = name, p end
  return names, params
end

local function gradients(params)
  local list = {}
  for i, p in ipairs(params) do list[i] = p.grad or torch.zeros_like(p) end
  return list
end

local function based_on_one(names)
  local result = {}
  for i, name in ipairs(names) do
    result[i] = name:gsub("layers%.(%d+)", function(n) return "layers." .. n + 1 end)
  end
  return result
end

describe("recurrent layers", function()
  local before
  setup(function()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
  end)
  teardown(function() torch.set_default_dtype(before) end)

  for i, case in ipairs(golden.recurrent) do
    it(("%s, case %d: names, start values, results and gradients are PyTorch's"):format(case.name, i), function()
      torch.manual_seed(5)
      local sizes = { table.unpack(case.sizes) }
      sizes[#sizes + 1] = case.options
      local layer = nn[case.name](table.unpack(sizes))
      local names, params = named(layer)
      assert.same(case.names, names)
      local sum = 0
      for k, p in ipairs(params) do sum = sum + p:sum():item() * k end
      near.check(case.start[1], sum, TOLERANCE, "start")
      check(case.start[2], params[1], "first parameter")
      check(case.start[3], params[#params], "last parameter")
      local x, states = make(case.x, true), make_all(case.states, true)
      local given = x
      if case.lengths then
        given = rnn.pack_padded_sequence(x, case.lengths, {
          batch_first = case.options.batch_first or false, enforce_sorted = case.sort,
        })
      end
      local start = nil
      if #states > 0 then start = case.name == "LSTM" and states or states[1] end
      local outputs = flatten(table.pack(layer(given, start)))
      check_all(case.out, outputs, "result")
      total_of(outputs):backward()
      check(case.grad_x, x.grad, "gradient of the input")
      for k, state in ipairs(states) do check(case.grad_states[k], state.grad, "gradient of state " .. k) end
      check_all(case.grads, gradients(params), "gradient of parameter")
    end)
  end

  for i, case in ipairs(golden.cells) do
    it(("%s, case %d: results and gradients are PyTorch's"):format(case.name, i), function()
      torch.manual_seed(6)
      local cell = nn[case.name](case.sizes[1], case.sizes[2], case.options)
      local names, params = named(cell)
      assert.same(case.names, names)
      local x, states = make(case.x, true), make_all(case.states, true)
      local start = nil
      if #states > 0 then start = case.name == "LSTMCell" and states or states[1] end
      local outputs = flatten(table.pack(cell(x, start)))
      check_all(case.out, outputs, "result")
      total_of(outputs):backward()
      check(case.grad_x, x.grad, "gradient of the input")
      for k, state in ipairs(states) do check(case.grad_states[k], state.grad, "gradient of state " .. k) end
      check_all(case.grads, gradients(params), "gradient of parameter")
    end)
  end

  it("draw dropout between layers as dropout over the whole output does", function()
    for _, name in ipairs { "LSTM", "GRU", "RNN" } do
      local both = nn[name](2, 3, 2, { dropout = 0.5, batch_first = true })
      local first, second = nn[name](2, 3, { batch_first = true }), nn[name](3, 3, { batch_first = true })
      for key, p in first:named_parameters() do torch.no_grad(function() p:copy_(both[key]) end) end
      for key, p in second:named_parameters() do
        torch.no_grad(function() p:copy_(both[(key:gsub("l0", "l1"))]) end)
      end
      local x = torch.randn(4, 5, 2)
      torch.manual_seed(3)
      local got = both(x)
      torch.manual_seed(3)
      local middle = first(x):transpose(1, 2):contiguous()
      local wanted = second(F.dropout(middle, 0.5, true):transpose(1, 2))
      assert.is_true(torch.equal(wanted, got), name)
      assert.is_false(torch.equal(got, both:eval()(x)), name)
    end
  end)

  it("have second derivatives", function()
    for _, name in ipairs { "LSTM", "GRU", "RNN" } do
      local layer = nn[name](2, 2, { bidirectional = true })
      local x = torch.randn(3, 1, 2):requires_grad_()
      assert.is_true(torch.autograd.gradgradcheck(function(t) return (layer(t)) end, { x }), name)
    end
  end)

  it("as functions give what the layers give", function()
    local lstm, gru = nn.LSTM(2, 3, { bidirectional = true }), nn.GRU(2, 3)
    local x, h, c = torch.randn(4, 1, 2), torch.randn(2, 1, 3), torch.randn(2, 1, 3)
    local out, last_h, last_c = torch.lstm(x, { h, c }, lstm:parameters(), true, 1, 0.0, false, true, false)
    local wanted, hc = lstm(x, { h, c })
    assert.is_true(torch.equal(wanted, out) and torch.equal(hc[1], last_h) and torch.equal(hc[2], last_c))
    h = h:narrow(1, 1, 1)
    local whole = gru(x, h)
    local packed = rnn.pack_padded_sequence(x, { 4 })
    local data, last = torch.gru(packed.data, packed.batch_sizes, h, gru:parameters(), true, 1, 0.0, false, false)
    near.check(whole:squeeze(2):tolist(), data:tolist())
    near.check(whole[-1]:tolist(), last[1]:tolist())
    refuses(function() torch.gru(x, h, { x }, true, 1, 0.0, false, false, false) end,
      "got an incorrect number of RNN parameters: 1")
    refuses(function() torch.lstm(x, { h }, gru:parameters(), true, 1, 0.0, false, false, false) end,
      "lstm expects two hidden states")
    local sizes = torch.tensor { 1, 2, 1 }
    refuses(function() torch.gru(packed.data, sizes, h, gru:parameters(), true, 1, 0.0, false, false) end,
      "batch_sizes must be positive and fall")
  end)

  it("learn the parameters that they are given, and keep their state in a dict", function()
    local a, b = nn.GRU(2, 3, 2), nn.GRU(2, 3, 2)
    b:load_state_dict(a:state_dict())
    local x = torch.randn(3, 1, 2)
    assert.is_true(torch.equal((a(x)), (b(x))))
    a:flatten_parameters()
    assert.equal(2, #a.all_weights)
    assert.is_true(rawequal(a.weight_hh_l1, a.all_weights[2][2]))
    a:float()
    assert.equal(torch.float32, a(x:float()).dtype)
  end)

  it("refuse what does not fit in PyTorch's words", function()
    local lstm, gru = nn.LSTM(5, 3), nn.GRU(5, 3)
    local x = torch.randn(4, 3, 5)
    refuses(function() lstm(torch.randn(4)) end, "LSTM: Expected input to be 2D or 3D, got 1D instead")
    refuses(function() lstm(torch.randn(4, 3, 6)) end,
      "input.size(-1) must be equal to input_size. Expected 5, got 6")
    refuses(function() lstm(x:float()) end,
      "RNN input dtype (torch.float32) does not match weight dtype (torch.float64)",
      "input:to(torch.float64)")
    refuses(function() lstm(torch.zeros(0, 3, 5)) end, "Expected sequence length to be larger than 0 in RNN")
    refuses(function() gru(x, torch.zeros(1, 2, 3)) end, "Expected hidden size (1, 3, 3), got [1, 2, 3]")
    refuses(function() gru(x, torch.zeros(1, 3)) end,
      "For batched 3-D input, hx should also be 3-D but got 2-D tensor")
    refuses(function() gru(x[1], torch.zeros(1, 1, 3)) end,
      "For unbatched 2-D input, hx should also be 2-D but got 3-D tensor")
    refuses(function() lstm(x, { torch.zeros(1, 3), torch.zeros(1, 3) }) end,
      "For batched 3-D input, hx and cx should also be 3-D but got (2-D, 2-D) tensors")
    refuses(function() lstm(x, { torch.zeros(1, 3, 3), torch.zeros(1, 2, 3) }) end,
      "Expected hidden[2] size (1, 3, 3), got [1, 2, 3]")
    refuses(function() lstm(x, torch.zeros(1, 3, 3)) end, "must be a pair of tensors {h, c}, not Tensor")
    refuses(function() nn.GRU(5, 3, { dropout = 2 }) end, "dropout should be a number in range [0, 1]")
    refuses(function() nn.GRU(5, 0) end, "hidden_size must be greater than zero")
    refuses(function() nn.GRU(5, 3, 0) end, "num_layers must be greater than zero")
    refuses(function() nn.GRU(5, 3, { bias = 1 }) end, "argument 'bias'")
    refuses(function() nn.LSTM(5, 3, { proj_size = 3 }) end, "proj_size has to be smaller than hidden_size")
    refuses(function() nn.LSTM(5, 3, { proj_size = -1 }) end, "proj_size should be a positive integer or zero")
    refuses(function() nn.GRU(5, 3, { proj_size = 1 }) end, "proj_size argument is only supported for LSTM")
    refuses(function() nn.RNN(5, 3, { nonlinearity = "x" }) end,
      "Unknown nonlinearity 'x'. Select from 'tanh' or 'relu'.")
    refuses(function() nn.RNNBase("X", 3, 4) end, "Unrecognized RNN mode: X")
    refuses(function() nn.RNNBase("GRU", 3, 4)(x) end, 'missing the required "forward" function')
    refuses(function() nn.LSTMCell(5, 3)(x) end, "LSTMCell: Expected input to be 1D or 2D, got 3D instead")
    refuses(function() nn.GRUCell(5, 3)(x[1], x) end, "GRUCell: Expected hidden to be 1D or 2D, got 3D instead")
    refuses(function() nn.LSTMCell(5, 3)(x[1], { x, x }) end, "LSTMCell: Expected hx[1] to be 1D or 2D, got 3D instead")
    refuses(function() nn.RNNCell(5, 3, { nonlinearity = "x" })(x[1]) end, "Unknown nonlinearity: x")
  end)

  it("take an empty batch", function()
    local out, hc = nn.LSTM(5, 3)(torch.zeros(4, 0, 5))
    assert.same({ 4, 0, 3 }, { table.unpack(out.shape) })
    assert.same({ 1, 0, 3 }, { table.unpack(hc[2].shape) })
  end)

  it("run in 16-bit floats", function()
    for _, dtype in ipairs { torch.float16, torch.bfloat16 } do
      local layer = nn.GRU(2, 3):to(dtype)
      local out = layer(torch.ones(4, 1, 2, { dtype = dtype }))
      assert.equal(dtype, out.dtype)
      out:sum():backward()
      assert.equal(dtype, layer.weight_hh_l0.grad.dtype)
    end
  end)
end)

describe("attention and transformers", function()
  local before
  setup(function()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
  end)
  teardown(function() torch.set_default_dtype(before) end)

  for i, case in ipairs(golden.attention) do
    it(("MultiheadAttention, case %d: results and gradients are PyTorch's"):format(i), function()
      torch.manual_seed(7)
      local layer = nn.MultiheadAttention(case.sizes[1], case.sizes[2], case.options)
      if layer.in_proj_bias then
        local values = {}
        for k = 0, layer.in_proj_bias:numel() - 1 do values[k + 1] = ((k * 7) % 23 - 11) / 8 end
        torch.no_grad(function() layer.in_proj_bias:copy_(torch.tensor(values)) end)
      end
      local inputs = make_all(case.inputs, true)
      local q, k, v = inputs[1], inputs[2], inputs[3]
      if case.same == "qkv" then k, v = q, q elseif case.same == "kv" then k, v = inputs[2], inputs[2] end
      local outputs = flatten(table.pack(layer(q, k, v, made(case.forward))))
      check_all(case.out, outputs, "result")
      total_of(outputs):backward()
      for n, input in ipairs(inputs) do check(case.grad_inputs[n], input.grad, "gradient of input " .. n) end
      local wanted = {}
      for n, name in ipairs(case.names) do wanted[name] = case.grads[n] end
      local count = 0
      for name, p in layer:named_parameters() do
        count = count + 1
        check(wanted[name], p.grad or torch.zeros_like(p), name)
      end
      assert.equal(#case.names, count)
    end)
  end

  for i, case in ipairs(golden.models) do
    it(("%s, case %d: names, results and gradients are PyTorch's"):format(case.name, i), function()
      torch.manual_seed(8)
      local args = { table.unpack(case.args) }
      args[#args + 1] = case.options
      local module = nn[case.name](table.unpack(args))
      if case.eval then module:eval() end
      local names, params = named(module)
      assert.same(based_on_one(case.names), names)
      local inputs = make_all(case.inputs, true)
      local values = { table.unpack(inputs) }
      values[#values + 1] = made(case.forward)
      local out = module(table.unpack(values))
      check(case.out, out, "result")
      total_of({ out }):backward()
      for n, input in ipairs(inputs) do
        check(case.grad_inputs[n], input.grad or torch.zeros_like(input), "gradient of input " .. n)
      end
      for n, grad in ipairs(gradients(params)) do
        local weights = (torch.arange(grad:numel()) % 5 + 1):view(grad.shape)
        near.check(case.sums[n], (grad * weights):sum():item(), TOLERANCE, names[n])
      end
    end)
  end

  it("leaves padded places out where PyTorch does", function()
    local case = golden.nested
    torch.manual_seed(9)
    local layer = nn.TransformerEncoderLayer(4, 2, 6, { batch_first = true })
    local norm = nn.TransformerEncoderLayer(4, 2, 6).norm1
    local encoder = nn.TransformerEncoder(layer, 2, norm):eval()
    local bare = nn.TransformerEncoder(layer, 1):eval()
    local x, padding = make(case.x), make(case.padding)
    torch.no_grad(function()
      check(case.normed, encoder(x, { src_key_padding_mask = padding }), "with a norm")
      check(case.bare, bare(x, { src_key_padding_mask = padding }), "without a norm")
      check(case.holed, bare(x, { src_key_padding_mask = make(case.middle) }), "padded in the middle")
    end)
    check(case.recorded, bare(x, { src_key_padding_mask = padding }), "with gradients")
  end)

  it("stack copies that share nothing", function()
    local layer = nn.TransformerEncoderLayer(4, 2, 6)
    local encoder = nn.TransformerEncoder(layer, 2, nil, { enable_nested_tensor = false })
    torch.no_grad(function() encoder.layers[1].linear1.weight:zero_() end)
    assert.is_true(torch.equal(layer.linear1.weight, encoder.layers[2].linear1.weight))
    assert.equal(24, #encoder:parameters())
  end)

  it("take activations as functions and modules", function()
    local x = torch.randn(3, 1, 4)
    torch.manual_seed(1)
    local a = nn.TransformerEncoderLayer(4, 2, 6, 0.0, F.gelu)
    torch.manual_seed(1)
    local b = nn.TransformerEncoderLayer(4, 2, 6, 0.0, "gelu")
    assert.is_true(torch.equal(a(x), b(x)))
    local c = nn.TransformerEncoderLayer(4, 2, 6, 0.0, nn.Tanh())
    assert.same({ 3, 1, 4 }, { table.unpack(c(x).shape) })
    assert.is_truthy(tostring(c):find("(activation): Tanh()", 1, true))
  end)

  it("make causal masks from the class and from a model", function()
    local inf = math.huge
    local wanted = { { 0, -inf }, { 0, 0 } }
    assert.same(wanted, nn.Transformer.generate_square_subsequent_mask(2):tolist())
    local model = nn.Transformer(4, 2, 1, 1, 6)
    assert.same(wanted, model:generate_square_subsequent_mask(2):tolist())
    assert.equal(torch.float32, nn.Transformer.generate_square_subsequent_mask(2, { dtype = torch.float32 }).dtype)
  end)

  it("have second derivatives", function()
    local attention = nn.MultiheadAttention(4, 2)
    local x = torch.randn(3, 1, 4):requires_grad_()
    assert.is_true(torch.autograd.gradgradcheck(function(t) return (attention(t, t, t)) end, { x }))
  end)

  it("as a function takes keys and values that were projected before", function()
    local m = nn.MultiheadAttention(4, 2)
    local q, k = torch.randn(3, 2, 4), torch.randn(5, 2, 4)
    local wanted, weights = m(q, k, k)
    local function projected(part)
      local rows = m.in_proj_weight:narrow(1, 4 * part + 1, 4)
      return F.linear(k, rows, m.in_proj_bias:narrow(1, 4 * part + 1, 4)):reshape(5, 4, 2):transpose(1, 2)
    end
    local function call(options)
      return F.multi_head_attention_forward(q, k, k, 4, 2, m.in_proj_weight, m.in_proj_bias, nil, nil, false, 0.0,
        m.out_proj.weight, m.out_proj.bias, options)
    end
    local out, found = call { static_k = projected(1), static_v = projected(2) }
    near.check(wanted:tolist(), out:tolist(), TOLERANCE)
    near.check(weights:tolist(), found:tolist(), TOLERANCE)
    out, found = call { need_weights = false }
    near.check(wanted:tolist(), out:tolist(), TOLERANCE)
    assert.is_nil(found)
    refuses(function() call { static_k = torch.randn(3, 5, 2) } end, "expecting static_k.size(1) of 4, but got 3")
    refuses(function() call { static_v = torch.randn(4, 5, 3) } end, "expecting static_v.size(3) of 2, but got 3")
    refuses(function() call { use_separate_proj_weight = true } end,
      "use_separate_proj_weight is True but q_proj_weight is None")
  end)

  it("drop attention weights in training alone", function()
    local attention = nn.MultiheadAttention(4, 2, { dropout = 0.5 })
    local x = torch.randn(6, 2, 4)
    local _, weights = attention(x, x, x, { average_attn_weights = false })
    assert.is_true(weights:eq(0):any():item())
    _, weights = attention:eval()(x, x, x)
    assert.is_false(weights:eq(0):any():item())
  end)

  it("refuse what does not fit in PyTorch's words", function()
    local attention = nn.MultiheadAttention(4, 2)
    local x = torch.randn(3, 2, 4)
    refuses(function() nn.MultiheadAttention(8, 3) end, "embed_dim must be divisible by num_heads")
    refuses(function() nn.MultiheadAttention(0, 3) end,
      "embed_dim and num_heads must be greater than 0, got embed_dim=0 and num_heads=3 instead")
    refuses(function() attention(x, x[1], x) end, "For batched (3-D) `query`, expected `key` and `value` to be 3-D")
    refuses(function() attention(x[1][1], x, x) end, "query should be unbatched 2D or batched 3D tensor")
    refuses(function() attention(x, x, x, { attn_mask = torch.zeros(2, 3) }) end,
      "The shape of the 2D attn_mask is torch.Size([2, 3]), but should be (3, 3).")
    refuses(function() attention(x, x, x, { attn_mask = torch.zeros(2, 3, 3) }) end,
      "The shape of the 3D attn_mask is torch.Size([2, 3, 3]), but should be (4, 3, 3).")
    refuses(function() attention(x, x, x, { attn_mask = torch.zeros(3, 3):long() }) end,
      "only bool and floating types of attn_mask are supported")
    refuses(function() attention(x, x, x, { key_padding_mask = torch.zeros(3, 2) }) end,
      "Expected key_padded_mask.shape[1] to be 2, but got 3")
    refuses(function() attention(x, x, x, { is_causal = true }) end, "Need attn_mask if specifying the is_causal hint")
    refuses(function() attention(torch.randn(3, 2, 5), x, x) end, "was expecting embedding dimension of 4, but got 5")
    refuses(function() attention(x, x, torch.randn(4, 2, 4)) end,
      "key shape torch.Size([3, 2, 4]) does not match value shape torch.Size([4, 2, 4])")
    refuses(function() nn.TransformerEncoderLayer(4, 2, { activation = "elu" }) end,
      "activation should be relu/gelu, not elu")
    local model = nn.Transformer(4, 2, 1, 1, 6)
    refuses(function() model(x, torch.randn(3, 1, 4)) end, "the batch number of src and tgt must be equal")
    refuses(function() model(x, torch.randn(3, 2, 5)) end,
      "the feature number of src and tgt must be equal to d_model")
  end)

  for _, pair in ipairs(golden.reprs) do
    it("print PyTorch's text: " .. pair[1], function()
      local module = load("return require('moontorch').nn." .. pair[1])()
      assert.equal(pair[2], tostring(module))
    end)
  end
end)
