--- torch.nn.utils against PyTorch's numbers (spec/golden/optim.lua), and what it refuses.
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local golden = dofile(here .. "/golden/optim.lua")
local nn = torch.nn
local utils, rnn = nn.utils, nn.utils.rnn
local check, refuses = near.check, near.refuses

-- Element i, counted from 0, is ((i * a) mod 23 - 11) / 5.
local function numbers(shape, a, dtype)
  local n, values = 1, {}
  for _, size in ipairs(shape) do n = n * size end
  for i = 0, n - 1 do values[i + 1] = ((i * a) % 23 - 11) / 5 end
  return torch.tensor(values, { dtype = dtype or torch.float64 }):reshape(shape)
end

describe("clipping", function()
  local function parameters(dtype)
    local list = {}
    for i, shape in ipairs { { 2, 3 }, { 1 }, { 3 } } do
      list[i] = nn.Parameter(torch.zeros(shape, { dtype = dtype }))
    end
    list[1].grad, list[3].grad = numbers({ 2, 3 }, 7, dtype), numbers({ 3 }, 5, dtype)
    return list
  end

  for i, case in ipairs(golden.clips) do
    it(("%s, case %d"):format(case.how, i), function()
      local tolerance = case.dtype == "float64" and 1e-13 or 1e-6
      local list = parameters(torch[case.dtype])
      local result = utils[case.how](list, case.args[1], case.options)
      if case.result == nil then
        assert.is_nil(result)
      else
        assert.equal(0, result.ndim)
        assert.is_false(result.requires_grad)
        check(case.result, result:item(), tolerance)
      end
      check(case.first, list[1].grad:flatten(), tolerance)
      assert.is_nil(list[2].grad)
      check(case.third, list[3].grad, tolerance)
    end)
  end

  it("by value keeps what is within, in the gradient's own memory, and says nothing", function()
    local p = nn.Parameter(torch.zeros(4))
    local grad = torch.tensor { -3.0, -0.5, 0.5, 0 / 0 }
    p.grad = grad
    assert.equal(0, select("#", utils.clip_grad_value_({ p, nn.Parameter(torch.zeros(1)) }, 1.5)))
    check({ -1.5, -0.5, 0.5, 0 / 0 }, grad)
    utils.clip_grad_value_ { parameters = p, clip_value = 0.25 }
    check({ -0.25, -0.25, 0.25, 0 / 0 }, p.grad)
    refuses(function() utils.clip_grad_value_(p, "x") end, "'clip_value' (position 2) must be a number, not string")
  end)

  it("in two steps gives the same", function()
    local one, two = parameters(torch.float64), parameters(torch.float64)
    local norm = utils.clip_grad_norm_(one, 2, 3.0)
    local total = utils.get_total_norm({ two[1].grad, two[3].grad }, 3.0)
    assert.equal(norm:item(), total:item())
    utils.clip_grads_with_norm_(two, 2, total)
    assert.same(one[1].grad:tolist(), two[1].grad:tolist())
  end)

  it("takes one tensor, iterators, and nothing", function()
    local p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor { 3.0, 4.0 }
    assert.equal(5, utils.clip_grad_norm_(p, 1):item())
    check({ 0.6, 0.8 }, p.grad, 1e-6)
    local layer = nn.Linear(2, 1)
    layer(torch.ones(1, 2)):sum():backward()
    check(math.sqrt(3), utils.clip_grad_norm_(layer:named_parameters(), 10):item(), 1e-6)
    assert.equal(0, utils.clip_grad_norm_({}, 1):item())
    assert.equal(0, utils.get_total_norm({}):item())
    assert.equal(2, utils.get_total_norm(torch.tensor { -2.0 }):item())
  end)

  it("keeps a gradient's identity and records nothing", function()
    local p = nn.Parameter(torch.zeros(2))
    local grad = torch.tensor { 3.0, 4.0 }
    p.grad = grad
    utils.clip_grad_norm_({ p }, 1)
    check({ 0.6, 0.8 }, grad, 1e-6)
    assert.is_true(p.grad.is_leaf)
  end)

  it("refuses norms that are not finite when asked to", function()
    local p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor { 1.0, math.huge }
    refuses(function() utils.clip_grad_norm_(p, 1, { error_if_nonfinite = true }) end,
      "The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot be clipped.")
    assert.same({ 1, math.huge }, p.grad:tolist())
    assert.equal(math.huge, utils.clip_grad_norm_(p, 1):item())
    assert.equal(0, p.grad:tolist()[1])
    refuses(function() utils.clip_grad_norm_(3, 1) end, "'parameters' (position 1)", "not integer")
    refuses(function() utils.clip_grad_norm_({ 3 }, 1) end, "item 1 of the array is integer")
    refuses(function() utils.clip_grad_norm_(p, "x") end, "'max_norm' (position 2) must be a number, not string")
  end)

  it("has an old name that warns", function()
    local p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor { 3.0, 4.0 }
    local said = warnings_of(function() assert.equal(5, utils.clip_grad_norm(p, 1):item()) end)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("deprecated in favor of `torch.nn.utils.clip_grad_norm_`", 1, true))
  end)
end)

describe("parameters as a vector", function()
  it("go there and back", function()
    local layer = nn.Linear(2, 3)
    local vec = utils.parameters_to_vector(layer:parameters())
    assert.same({ 9 }, { table.unpack(vec.shape) })
    assert.same(layer.weight:flatten():tolist(), vec[{ { 1, 6 } }]:tolist())
    vec:sum():backward()
    assert.same({ 1, 1, 1 }, layer.bias.grad:tolist())
    local new = torch.arange(9.0)
    utils.vector_to_parameters(new, layer:parameters())
    assert.same({ { 0, 1 }, { 2, 3 }, { 4, 5 } }, layer.weight:tolist())
    assert.same({ 6, 7, 8 }, layer.bias:tolist())
    assert.is_true(layer.weight.requires_grad)
    new[1] = 40
    assert.equal(40, layer.weight[{ 1, 1 }]:item()) -- the memory is shared, as in PyTorch
  end)

  it("refuse a vector that is too short, and change nothing", function()
    local layer = nn.Linear(2, 3)
    local before = layer.weight:tolist()
    refuses(function() utils.vector_to_parameters(torch.zeros(7), layer:parameters()) end,
      "shape '[3]' is invalid for input of size 1")
    assert.same(before, layer.weight:tolist())
    refuses(function() utils.vector_to_parameters(3, {}) end, "expected torch.Tensor, but got: integer")
    refuses(function() utils.parameters_to_vector(3) end, "must be an array of Tensors", "integer")
  end)
end)

describe("weight norm", function()
  for i, case in ipairs(golden.weight_norms) do
    it(("of shape %s, case %d"):format(table.concat(case.shape, "x"), i), function()
      local module = nn.Module()
      module.weight = nn.Parameter(numbers(case.shape, 7))
      module.forward = function(self) return (self.weight * numbers(case.shape, 5)) ^ 2 end
      local dim = case.dim
      if dim == -1 and i % 2 == 0 then dim = torch.none end
      assert.equal(module, utils.weight_norm(module, "weight", dim))
      torch.no_grad(function() module.weight_g:mul_(1.5) end)
      module():sum():backward()
      check(case.g, module.weight_g)
      check(case.weight, module.weight)
      check(case.g_grad, module.weight_g.grad)
      check(case.v_grad, module.weight_v.grad)
    end)
  end

  it("replaces the parameter by two, and gives it back", function()
    local layer = nn.Linear(3, 2)
    local x = torch.ones(1, 3)
    local before, weight = layer(x):tolist(), layer.weight:tolist()
    utils.weight_norm(layer)
    local names = {}
    for name in layer:named_parameters() do names[#names + 1] = name end
    assert.same({ "bias", "weight_g", "weight_v" }, names)
    check(before, layer(x), 1e-6)
    local saved = layer:state_dict()
    assert.same({ 2, 1 }, { table.unpack(saved.weight_g.shape) })
    assert.is_nil(saved.weight)
    saved.weight_g = saved.weight_g:clone() -- it shared the parameter's memory
    torch.no_grad(function() layer.weight_g:mul_(2) end)
    layer:load_state_dict(saved)
    check(before, layer(x), 1e-6)
    assert.equal(layer, utils.remove_weight_norm(layer))
    names = {}
    for name in layer:named_parameters() do names[#names + 1] = name end
    assert.same({ "bias", "weight" }, names)
    check(weight, layer.weight, 1e-6)
    check(before, layer(x), 1e-6)
    layer(x):sum():backward()
    assert.is_not_nil(layer.weight.grad)
    utils.weight_norm(layer) -- once more
    check(before, layer(x), 1e-6)
  end)

  it("refuses what it cannot do", function()
    local layer = nn.Linear(3, 2)
    refuses(function() utils.remove_weight_norm(layer) end, "weight_norm of 'weight' not found in Linear(")
    refuses(function() utils.weight_norm(layer, "other") end, "Linear has no parameter 'other'")
    refuses(function() utils.weight_norm(layer, "weight", 3) end, "Dimension out of range", "[1, 2]")
    utils.weight_norm(layer)
    refuses(function() utils.weight_norm(layer) end,
      "Cannot register two weight_norm hooks on the same parameter weight")
    refuses(function() utils.weight_norm(3) end, "must be a Module, not integer")
  end)
end)

describe("packed sequences", function()
  for i, case in ipairs(golden.packs) do
    it("case " .. i, function()
      local longest = math.max(table.unpack(case.lengths))
      local x = numbers({ longest, #case.lengths, 2 }, 7):requires_grad_()
      local given = case.batch_first and x:transpose(1, 2) or x
      local lengths = i % 2 == 0 and torch.tensor(case.lengths) or case.lengths
      local packed = rnn.pack_padded_sequence(given, lengths, {
        batch_first = case.batch_first, enforce_sorted = case.enforce_sorted,
      })
      check(case.data, packed.data)
      check(case.batch_sizes, packed.batch_sizes)
      assert.equal(torch.int64, packed.batch_sizes.dtype)
      assert.same(case.sorted, packed.sorted_indices and packed.sorted_indices:tolist())
      assert.same(case.unsorted, packed.unsorted_indices and packed.unsorted_indices:tolist())
      local padded, out = rnn.pad_packed_sequence(packed, {
        batch_first = case.batch_first, padding_value = case.padding_value, total_length = case.total_length,
      })
      check(case.padded, padded)
      check(case.out, out)
      local sizes = { table.unpack(padded.shape) };
      (padded * numbers(sizes, 3)):sum():backward()
      check(case.grad, x.grad)
    end)
  end

  it("go from arrays and back", function()
    local a, b, c = torch.arange(6.0):reshape(3, 2), torch.ones(1, 2), torch.zeros(2, 2)
    local list = rnn.unpack_sequence(rnn.pack_sequence({ a, b, c }, { enforce_sorted = false }))
    assert.equal(3, #list)
    for i, t in ipairs { a, b, c } do assert.same(t:tolist(), list[i]:tolist()) end
    local padded = rnn.pad_sequence { a, b }
    assert.same({ { { 0, 1 }, { 1, 1 } }, { { 2, 3 }, { 0, 0 } }, { { 4, 5 }, { 0, 0 } } }, padded:tolist())
    list = rnn.unpad_sequence(padded, torch.tensor { 3, 1 })
    assert.same({ a:tolist(), b:tolist() }, { list[1]:tolist(), list[2]:tolist() })
    assert.same({ 3, 2, 2 }, { table.unpack(padded.shape) }) -- PyTorch's unpad_sequence would have transposed it
  end)

  it("pad on either side, in the first sequence's dtype", function()
    assert.same({ { 9, 1, 1 }, { 1, 1, 1 } }, rnn.pad_sequence({ torch.ones(2), torch.ones(3) },
      { batch_first = true, padding_value = 9, padding_side = "left" }):tolist())
    local mixed = rnn.pad_sequence({ torch.ones(2, { dtype = torch.int64 }), torch.ones(3) }, true, 1.5)
    assert.equal(torch.int64, mixed.dtype)
    assert.same({ { 1, 1, 1 }, { 1, 1, 1 } }, mixed:tolist())
    assert.same({ { 0, 2 }, { 1, 3 } }, rnn.pad_sequence(torch.tensor { { 0, 1 }, { 2, 3 } }):tolist())
  end)

  it("are objects with PyTorch's fields, methods and text", function()
    local packed = rnn.pack_sequence { torch.ones(2) }
    assert.equal("PackedSequence(data=tensor([1., 1.]), batch_sizes=tensor([1, 1]), sorted_indices=None, "
      .. "unsorted_indices=None)", tostring(packed))
    assert.equal(packed, packed:float())
    assert.equal(torch.float64, packed:double().data.dtype)
    assert.equal(torch.int64, packed:long().data.dtype)
    assert.equal(packed, packed:cpu())
    assert.is_false(packed.is_cuda)
    assert.same({ 3, 1, 2 }, rnn.invert_permutation(torch.tensor { 2, 3, 1 }):tolist())
    assert.is_nil(rnn.invert_permutation(nil))
    local made = rnn.PackedSequence(torch.zeros(3), torch.tensor { 2, 1 }, torch.tensor { 2, 1 })
    assert.same({ 2, 1 }, made.unsorted_indices:tolist())
  end)

  it("refuse what they cannot be", function()
    local x = torch.zeros(4, 3)
    refuses(function() rnn.pack_padded_sequence(x, { 4, 2 }) end,
      "Expected `len(lengths)` to be equal to batch_size, but got 2 (batch_size=3)")
    refuses(function() rnn.pack_padded_sequence(x, { 4, 2 }, false, false) end,
      "Expected `len(lengths)` to be equal to batch_size, but got 2 (batch_size=3)")
    refuses(function() rnn.pack_padded_sequence(x, { 2, 4, 1 }) end,
      "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
      .. "`enforce_sorted=False`")
    refuses(function() rnn.pack_padded_sequence(x, { 4, 2, 0 }) end,
      "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    refuses(function() rnn.pack_padded_sequence(x, { 5, 2, 1 }) end, "length 1 is 5", "4 steps")
    refuses(function() rnn.pack_padded_sequence(x, torch.tensor { { 3, 2, 1 } }) end,
      "'lengths' argument should be a 1D CPU int64 tensor, but got 2D")
    refuses(function() rnn.pack_padded_sequence(x, 3) end, "'lengths' argument should be a 1D CPU int64 tensor")
    refuses(function() rnn.pack_padded_sequence(torch.zeros(0, 3), { 1, 1, 1 }) end, "Cannot pack empty tensors.")
    refuses(function() rnn.pack_padded_sequence(torch.zeros(3), { 1, 1, 1 }) end, "Dimension out of range")
    refuses(function() rnn.pad_sequence({}) end, "received an empty list of sequences")
    refuses(function() rnn.pad_sequence(3) end,
      "pad_sequence: Expected iterable for input sequences, but got arg of type: integer")
    refuses(function() rnn.pad_sequence({ 1 }) end, "expected Tensor as element 1 in argument 1, but got integer")
    refuses(function() rnn.pad_sequence({ torch.zeros(2, 3), torch.zeros(2, 4) }) end, "sequence 1 is [2, 3]",
      "sequence 2 is [2, 4]")
    refuses(function() rnn.pad_sequence({ torch.tensor(1.0) }) end, "sequence 1 has no dims")
    refuses(function() rnn.pad_sequence({ x }, { padding_side = "top" }) end,
      "Expected padding_side to be one of left or right, but got top")
    local packed = rnn.pack_padded_sequence(x, { 3, 2, 1 })
    refuses(function() rnn.pad_packed_sequence(packed, { total_length = 2 }) end,
      "Expected total_length to be at least the length of the longest sequence in input, but got total_length=2 and "
      .. "max sequence length being 3")
    refuses(function() rnn.pad_packed_sequence(x) end, "must be a PackedSequence, not torch.FloatTensor")
    refuses(function() rnn.pad_packed_sequence(rnn.PackedSequence(torch.zeros(5), torch.tensor { 2, 1 })) end,
      "batch_sizes stand for 3 elements", "[5]")
    refuses(function() rnn.pad_packed_sequence(rnn.PackedSequence(torch.zeros(3), torch.tensor { 1, 2 })) end,
      "batch_sizes must be positive and fall")
    refuses(function() rnn.unpad_sequence(x, { 4, 2 }) end, "batch_size=3")
    refuses(function() rnn.PackedSequence(3) end, "expected the tensors data and batch_sizes")
  end)
end)
