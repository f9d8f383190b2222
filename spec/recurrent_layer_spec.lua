--- The operators of recurrent layers, forwards and back, against the same layer step by step
-- (spec/support/recurrent.lua), finite differences, themselves in other layouts, dtypes and numbers of threads.
local torch = require "moontorch"
local reference = require "spec.support.recurrent"
local gradcheck = require "spec.support.gradcheck"
local samples = require "spec.support.samples"
local near = require "spec.support.near"

local refuses = near.refuses
local GATES = { lstm = 4, gru = 3, rnn_tanh = 1, rnn_relu = 1 }
local MODES = { "lstm", "gru", "rnn_tanh", "rnn_relu" }
local NAMES = { "x", "h", "c", "ih", "hh", "bias_ih", "bias_hh", "hr" }

-- A layer's tensors by name. s: mode, steps or sizes, batch, features, hidden, proj, bias.
local function tensors(s, dtype)
  local stream = samples.stream(("%s %d %d"):format(s.mode, s.hidden, s.features))
  local function make(...)
    local count, values = 1, {}
    for _, n in ipairs { ... } do count = count * n end
    for k = 1, count do values[k] = stream.normal() end
    local t = count > 0 and torch.tensor(values, { dtype = torch.float64 }) or torch.zeros(0, { dtype = torch.float64 })
    return t:reshape(...):to(dtype or torch.float64)
  end
  local batch, out, gates = s.sizes and s.sizes[1] or s.batch, s.proj or s.hidden, GATES[s.mode] * s.hidden
  local t = { h = make(batch, out), ih = make(gates, s.features) * 0.5, hh = make(gates, out) * 0.5 }
  if s.sizes then
    local rows = 0
    for _, n in ipairs(s.sizes) do rows = rows + n end
    t.x = make(rows, s.features)
  else
    t.x = make(s.steps, batch, s.features)
  end
  if s.mode == "lstm" then t.c = make(batch, s.hidden) end
  if s.bias ~= false then t.bias_ih, t.bias_hh = make(gates), make(gates) end
  if s.proj then t.hr = make(out, s.hidden) end
  return t
end

-- The operator itself.
local function fused(mode, t, sizes, reverse)
  if mode == "lstm" then
    return torch._lstm(t.x, t.h, t.c, t.ih, t.hh, t.bias_ih, t.bias_hh, t.hr, sizes, reverse)
  end
  return torch["_" .. mode](t.x, t.h, t.ih, t.hh, t.bias_ih, t.bias_hh, sizes, reverse)
end

local function composed(mode, t, sizes, reverse)
  local output, h, c = reference.layer(mode, t.x, t.h, t.c, t, sizes, reverse)
  if mode == "lstm" then return output, h, c end
  return output, h
end

-- Fixed weights for the sum of some results: `which` names them by number.
local function total(which, ...)
  local sum
  for k, out in ipairs { ... } do
    if which:find(k, 1, true) then
      local weights = ((torch.arange(out:numel(), { dtype = torch.float64 }) * 7 % 11 - 4) / 5):to(out.dtype)
      local part = (out * weights:reshape(out.shape)):sum()
      sum = sum and sum + part or part
    end
  end
  return sum
end

-- Results, and gradients by name, of those tensors that `wanted` (a set; nil: all) asks for.
local function run(layer, s, t, wanted, which)
  local leaves = {}
  for name, v in pairs(t) do
    leaves[name] = v:detach()
    if not wanted or wanted[name] then leaves[name]:requires_grad_() end
  end
  local out = table.pack(layer(s.mode, leaves, s.sizes, s.reverse or false))
  total(which or "123", table.unpack(out, 1, out.n)):backward()
  local grads = {}
  for name, leaf in pairs(leaves) do grads[name] = leaf.grad end
  return out, grads
end

local function distance(a, b) return a:numel() == 0 and 0 or (a - b):abs():max():item() end

local function same(s, t, wanted, which, tolerance)
  local a, grads_a = run(fused, s, t, wanted, which)
  local b, grads_b = run(composed, s, t, wanted, which)
  assert.equal(b.n, a.n)
  for k = 1, a.n do
    assert.same({ table.unpack(b[k].shape) }, { table.unpack(a[k].shape) })
    assert.is_true(distance(a[k]:detach(), b[k]:detach()) <= (tolerance or 1e-12), "result " .. k)
  end
  for _, name in ipairs(NAMES) do
    local got, expected = grads_a[name], grads_b[name]
    assert.equal(wanted and not wanted[name] or not t[name], got == nil, name)
    if got and expected then
      assert.same({ table.unpack(expected.shape) }, { table.unpack(got.shape) })
      local scale = expected:numel() > 0 and math.max(1, expected:abs():max():item()) or 1
      assert.is_true(distance(got, expected) <= (tolerance or 1e-12) * scale, "gradient of " .. name)
    elseif got then
      assert.is_true(distance(got, torch.zeros_like(got)) == 0, "gradient of " .. name)
    end
  end
end

local function describe_case(s)
  local words = { s.mode }
  words[2] = s.sizes and "packed " .. table.concat(s.sizes, " ") or ("%d x %d"):format(s.steps, s.batch)
  words[3] = ("%d to %d"):format(s.features, s.hidden)
  if s.proj then words[#words + 1] = "projected to " .. s.proj end
  if s.bias == false then words[#words + 1] = "without bias" end
  if s.reverse then words[#words + 1] = "backwards" end
  return table.concat(words, ", ")
end

local cases = {}
for _, mode in ipairs(MODES) do
  for _, reverse in ipairs { false, true } do
    local function add(s)
      s.mode, s.reverse = mode, reverse
      cases[#cases + 1] = s
    end
    add { steps = 5, batch = 3, features = 4, hidden = 3 }
    add { steps = 4, batch = 2, features = 3, hidden = 2, bias = false }
    add { steps = 1, batch = 3, features = 2, hidden = 5 }
    add { steps = 9, batch = 20, features = 5, hidden = 19 }
    add { steps = 30, batch = 20, features = 3, hidden = 8 } -- several chunks
    add { steps = 2, batch = 400, features = 1, hidden = 2 } -- a chunk for each step
    add { steps = 3, batch = 0, features = 2, hidden = 3 }
    add { steps = 3, batch = 2, features = 0, hidden = 3 }
    add { sizes = { 3, 2, 2, 1 }, features = 4, hidden = 3 }
    add { sizes = { 4 }, features = 2, hidden = 3, bias = false }
    add { sizes = { 60, 60, 60, 60, 41, 40, 40, 40, 40, 3, 3, 1 }, features = 3, hidden = 5 }
    if mode == "lstm" then
      add { steps = 5, batch = 3, features = 4, hidden = 3, proj = 2 }
      add { steps = 30, batch = 20, features = 3, hidden = 8, proj = 3, bias = false }
      add { sizes = { 30, 30, 20, 11, 1 }, features = 2, hidden = 18, proj = 17 }
    end
  end
end

describe("a recurrent layer", function()
  for _, s in ipairs(cases) do
    it(describe_case(s) .. ": is the same as step by step", function() same(s, tensors(s)) end)
  end

  it("gives gradients to those alone that want one, from results that are used", function()
    for _, s in ipairs {
      { mode = "lstm", steps = 4, batch = 3, features = 2, hidden = 3, proj = 2 },
      { mode = "lstm", sizes = { 3, 2 }, features = 2, hidden = 3, reverse = true },
      { mode = "gru", sizes = { 3, 1 }, features = 2, hidden = 3 },
      { mode = "rnn_tanh", steps = 4, batch = 3, features = 2, hidden = 3, bias = false },
      { mode = "rnn_relu", steps = 1, batch = 3, features = 2, hidden = 3 },
    } do
      local t = tensors(s)
      for name in pairs(t) do same(s, t, { [name] = true }) end
      for _, which in ipairs { "1", "2", s.mode == "lstm" and "3" or "12" } do same(s, t, nil, which) end
    end
  end)

  it("has the gradients that differences say, once and twice", function()
    for _, s in ipairs {
      { mode = "lstm", steps = 3, batch = 2, features = 2, hidden = 2 },
      { mode = "lstm", sizes = { 3, 2, 1 }, features = 1, hidden = 2, proj = 1, reverse = true },
      { mode = "gru", steps = 2, batch = 2, features = 2, hidden = 2, reverse = true },
      { mode = "gru", sizes = { 2, 1 }, features = 1, hidden = 2, bias = false },
      { mode = "rnn_tanh", steps = 3, batch = 1, features = 2, hidden = 2 },
      { mode = "rnn_relu", sizes = { 2, 1 }, features = 2, hidden = 2 },
    } do
      local t, inputs = tensors(s), {}
      for _, name in ipairs(NAMES) do
        if t[name] then inputs[#inputs + 1] = t[name]:requires_grad_() end
      end
      local function layer() return fused(s.mode, t, s.sizes, s.reverse or false) end
      for _, order in ipairs { "first", "second" } do
        local good, different = gradcheck[order](layer, inputs)
        assert.is_true(good, ("%s, %s: %s"):format(describe_case(s), order, tostring(different)))
      end
    end
  end)

  it("has second derivatives where one tensor stands in several places", function()
    local w = torch.randn(2, 2, { dtype = torch.float64 }):requires_grad_()
    local function layer() return torch._rnn_tanh(w:unsqueeze(2), w, w, w) end
    assert.is_true(gradcheck.first(layer, { w }))
    assert.is_true(gradcheck.second(layer, { w }))
    local grad = torch.autograd.grad(total("12", layer()), { w }, { create_graph = true })
    local again = torch.autograd.grad(total("12", layer()), { w })
    assert.is_true(distance(grad[1]:detach(), again[1]) < 1e-12)
  end)

  it("reads tensors in any layout", function()
    for _, mode in ipairs(MODES) do
      local s = { mode = mode, steps = 4, batch = 5, features = 3, hidden = 4 }
      local t = tensors(s)
      local wanted, grads = run(fused, s, t)
      for _, change in ipairs { samples.swapped, samples.sliced } do
        local laid = {}
        for name, v in pairs(t) do laid[name] = (change(v)) end
        local out, laid_grads = run(fused, s, laid)
        for k = 1, out.n do assert.is_true(torch.equal(wanted[k], out[k])) end
        for name, grad in pairs(grads) do assert.is_true(torch.equal(grad, laid_grads[name]), name) end
      end
      t.h, t.bias_hh = torch.ones(1, { dtype = torch.float64 }):expand(5, 4), t.bias_hh[{ 1 }]:expand(4 * GATES[mode])
      same(s, t)
    end
  end)

  it("gives the same bits for any number of threads, and recorded or not", function()
    local before = torch.get_num_threads()
    for _, s in ipairs {
      { mode = "lstm", steps = 20, batch = 44, features = 30, hidden = 50 },
      { mode = "lstm", sizes = { 44, 44, 40, 37, 20, 20, 9, 1 }, features = 30, hidden = 70, proj = 33 },
      { mode = "gru", steps = 20, batch = 44, features = 30, hidden = 50, reverse = true },
      { mode = "rnn_tanh", steps = 20, batch = 44, features = 30, hidden = 90 },
      { mode = "lstm", steps = 3, batch = 2, features = 200, hidden = 300 },
      { mode = "gru", steps = 20, batch = 2, features = 200, hidden = 300 },
    } do
      local t, wanted, grads = tensors(s, torch.float32), nil, nil
      for _, threads in ipairs { 1, 2, 3, 5 } do
        torch.set_num_threads(threads)
        local out, mine = run(fused, s, t)
        if not wanted then wanted, grads = out, mine end
        for k = 1, out.n do assert.is_true(torch.equal(wanted[k], out[k]), "result " .. k) end
        for name, grad in pairs(grads) do assert.is_true(torch.equal(grad, mine[name]), name) end
        local plain = table.pack(fused(s.mode, t, s.sizes, s.reverse or false))
        for k = 1, out.n do assert.is_true(torch.equal(wanted[k], plain[k]), "unrecorded result " .. k) end
      end
    end
    torch.set_num_threads(before)
  end)

  it("is as exact in float32 as its numbers allow", function()
    for _, mode in ipairs(MODES) do
      local s = { mode = mode, steps = 12, batch = 33, features = 21, hidden = 37 }
      local t, wide = tensors(s, torch.float32), {}
      for name, v in pairs(t) do wide[name] = v:double() end
      local out, grads = run(fused, s, t)
      local exact, exact_grads = run(fused, s, wide)
      for k = 1, out.n do assert.is_true(distance(out[k]:double(), exact[k]) < (mode == "rnn_relu" and 1 or 2e-5)) end
      if mode ~= "rnn_relu" then
        for name, grad in pairs(grads) do
          local scale = math.max(1, exact_grads[name]:abs():max():item())
          assert.is_true(distance(grad:double(), exact_grads[name]) < 2e-5 * scale, mode .. " " .. name)
        end
      end
    end
  end)

  it("computes 16-bit floats as float32", function()
    for _, dtype in ipairs { torch.float16, torch.bfloat16 } do
      local s = { mode = "lstm", steps = 5, batch = 4, features = 3, hidden = 6, proj = 2 }
      local t, wide = tensors(s, dtype), {}
      for name, v in pairs(t) do wide[name] = v:float() end
      local out, grads = run(fused, s, t, nil, "12")
      local exact = table.pack(fused(s.mode, wide))
      for k = 1, out.n do assert.is_true(torch.equal(exact[k]:to(dtype), out[k]:detach())) end
      for _, grad in pairs(grads) do assert.equal(dtype, grad.dtype) end
    end
  end)

  it("refuses what does not fit in the words of the operators it is made of", function()
    local function layer(change)
      local t = tensors { mode = "lstm", steps = 3, batch = 2, features = 4, hidden = 3 }
      for name, v in pairs(change) do t[name] = v end
      return function() fused("lstm", t) end
    end
    refuses(layer { ih = torch.zeros(12, 5, { dtype = torch.float64 }) },
      "lstm(): mat1 and mat2 shapes cannot be multiplied (6x4 and 5x12)")
    refuses(layer { hh = torch.zeros(12, 4, { dtype = torch.float64 }) },
      "lstm(): mat1 and mat2 shapes cannot be multiplied (2x3 and 4x12)")
    local one = torch.zeros(1, { dtype = torch.float64 })
    refuses(layer { hh = torch.zeros(8, 3, { dtype = torch.float64 }), bias_hh = one },
      "lstm(): The size of tensor a (12) must match the size of tensor b (8)")
    refuses(layer { ih = torch.zeros(12, 4) },
      "lstm(): self and mat2 must have the same dtype, but got Double and Float: bias is float64 [12]")
    refuses(layer { c = torch.zeros(2, 4, { dtype = torch.float64 }) },
      "lstm(): The size of tensor a (3) must match the size of tensor b (4)")
    refuses(layer { ih = torch.zeros(12, { dtype = torch.float64 }) }, "lstm(): weights must be 2-D")
    refuses(layer { ih = torch.zeros(11, 4, { dtype = torch.float64 }) },
      "lstm(): weight_ih first dim must be 4 * hidden_size, but got 11")
    refuses(layer { bias_ih = torch.zeros(5, { dtype = torch.float64 }) }, "lstm(): The expanded size of the tensor")
    refuses(layer { x = torch.zeros(0, 2, 4, { dtype = torch.float64 }) },
      "lstm(): Expected sequence length to be larger than 0 in RNN")
  end)

  it("takes states and biases that broadcast, as the operators it is made of do", function()
    for _, mode in ipairs { "lstm", "gru" } do
      local s = { mode = mode, steps = 3, batch = 2, features = 4, hidden = 3 }
      local t = tensors(s)
      t.bias_hh = torch.tensor({ 0.5 }, { dtype = torch.float64 })
      same(s, t)
    end
  end)

  it("takes one bias without the other", function()
    for _, mode in ipairs(MODES) do
      for _, name in ipairs { "bias_ih", "bias_hh" } do
        local s = { mode = mode, steps = 12, batch = 3, features = 4, hidden = 3 }
        local t = tensors(s)
        t[name] = nil
        same(s, t)
      end
    end
  end)

  it("is done at once with any number of steps of nothing", function()
    local out, h = torch._gru(torch.zeros(1 << 40, 0, 2), torch.zeros(0, 3), torch.zeros(9, 2), torch.zeros(9, 3))
    assert.same({ 1 << 40, 0, 3 }, { table.unpack(out.shape) })
    assert.same({ 0, 3 }, { table.unpack(h.shape) })
  end)

  it("says when what it saved was written or is gone", function()
    local s = { mode = "lstm", steps = 3, batch = 2, features = 4, hidden = 3 }
    local t = tensors(s)
    t.hh:requires_grad_()
    local out = fused("lstm", t)
    torch.no_grad(function() t.hh:add_(1) end)
    refuses(function() out:sum():backward() end, "has been modified by an inplace operation")
    out = fused("lstm", t)
    local loss = out:sum()
    loss:backward({ retain_graph = true })
    local first = t.hh.grad:clone()
    loss:backward()
    assert.is_true(distance(t.hh.grad, first * 2) < 1e-12)
    refuses(function() loss:backward() end, "Trying to backward through the graph a second time")
  end)

  it("works with hooks on what it saves", function()
    local s = { mode = "gru", sizes = { 3, 2 }, features = 2, hidden = 3 }
    local t = tensors(s)
    local _, wanted = run(fused, s, t)
    for _, first in ipairs { 4, 17 } do
      local function moved(saved) -- into the middle of other memory
        local room = torch.zeros(saved:numel() + 24, { dtype = saved.dtype })
        local part = room:narrow(1, first, saved:numel())
        part:copy_(saved:reshape(-1))
        return { part:view(saved.shape) }
      end
      local _, got = torch.autograd.graph.saved_tensors_hooks(moved, function(box) return box[1] end, function()
        return run(fused, s, t)
      end)
      for name, grad in pairs(wanted) do assert.is_true(torch.equal(grad, got[name]), name) end
    end
  end)
end)
