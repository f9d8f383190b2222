--- Hooks of modules on gradients and state dicts, and to_empty. Expectations are PyTorch's for the same modules.
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local nn = torch.nn
local refuses = near.refuses

local Two = nn.class("Two")
function Two:forward(a, b) return a * b, a + 1, 5 end

local Scale = nn.class("Scale")
function Scale:init() self.w = nn.Parameter(torch.ones(2)) end
function Scale:forward(x) return x * self.w end

local function values(list)
  local result = {}
  for i = 1, list.n do result[i] = list[i] and list[i]:tolist() or "none" end
  return result
end

local function leaf(...)
  return torch.tensor({ ... }, { requires_grad = true })
end

describe("full backward hooks", function()
  it("see the gradients of arguments and results, the pre-hook first", function()
    local m, seen = Two(), {}
    m:register_full_backward_hook(function(module, gi, go)
      seen[#seen + 1] = { module == m, values(gi), values(go) }
    end)
    m:register_full_backward_pre_hook(function(module, go) seen[#seen + 1] = { module == m, values(go) } end)
    local a, b = leaf(1.0, 2.0), torch.tensor { 3.0, 4.0 }
    local y, z, five = m(a, b, 7)
    assert.equal(5, five)
    y:sum():backward()
    assert.same({
      { true, { { 1, 1 }, "none", "none" } },
      { true, { { 3, 4 }, { 0, 0 }, "none" }, { { 1, 1 }, "none", "none" } },
    }, seen)
    assert.same({ 3, 4 }, a.grad:tolist())
    assert.is_true(z.requires_grad)
  end)

  it("replace gradients, one after the other", function()
    local m, seen = Scale(), nil
    m:register_full_backward_hook(function(_, gi) return { gi[1] * 2 } end)
    m:register_full_backward_hook(function(_, gi) seen = values(gi) end)
    m:register_full_backward_pre_hook(function(_, go) return { go[1] * 10 } end)
    local a = leaf(1.0, 2.0)
    m(a):sum():backward()
    assert.same({ { 20, 20 } }, seen)
    assert.same({ 20, 20 }, a.grad:tolist())
    assert.same({ 10, 20 }, m.w.grad:tolist())
  end)

  it("go in order, prepended ones first, until they are removed", function()
    local m, order = Scale(), {}
    local function note(name) return function() order[#order + 1] = name end end
    local first = m:register_full_backward_hook(note "a")
    local second = m:register_full_backward_hook(note "b", { prepend = true })
    local x = leaf(1.0, 2.0)
    m(x):sum():backward()
    assert.same({ "b", "a" }, order)
    first:remove()
    m(x):sum():backward()
    assert.same({ "b", "a", "b" }, order)
    second:remove()
    m(x):sum():backward()
    assert.equal(3, #order)
  end)

  it("run without recorded arguments when the results' gradients are there, and warn", function()
    local m, seen = Scale(), nil
    m:register_full_backward_hook(function(_, gi, go) seen = { values(gi), values(go) } end)
    local said = warnings_of(function() m(torch.tensor { 3.0, 4.0 }):sum():backward() end)
    assert.same({ { "none" }, { { 1, 1 } } }, seen)
    assert.is_truthy(said[1]:find("Full backward hook is firing when gradients are computed with respect to module "
      .. "outputs since no inputs require gradients", 1, true))
    assert.same({ 3, 4 }, m.w.grad:tolist())
    m = Scale()
    m:register_full_backward_hook(function(_, _, go) return { go[1] } end)
    refuses(function()
      warnings_of(function() m(torch.ones(2)):sum():backward() end)
    end, "Backward hook for Modules where no input requires gradient should always return None")
  end)

  it("do nothing without recording", function()
    local m, count = Scale(), 0
    m:register_full_backward_hook(function() count = count + 1 end)
    assert.is_false(torch.no_grad(function() return m(leaf(1.0, 2.0)) end).requires_grad)
    assert.equal(0, count)
  end)

  it("warn about results that are no tensors", function()
    local Odd = nn.class("Odd")
    function Odd:forward(x) return { x * 2 } end
    local m = Odd()
    m:register_full_backward_hook(function() end)
    local said = warnings_of(function() m(leaf(1.0)) end)
    assert.is_truthy(said[1]:find("For backward hooks to be called, module output should be a Tensor or a tuple of "
      .. "Tensors", 1, true))
  end)

  it("refuse the wrong number of gradients, and what is no function", function()
    local m, a = Scale(), leaf(1.0, 2.0)
    m:register_full_backward_hook(function(_, gi) return { gi[1], gi[1] } end)
    refuses(function() m(a):sum():backward() end,
      "Backward hook returned an invalid number of grad_input, got 2, but expected 1")
    m = Scale()
    m:register_full_backward_pre_hook(function(_, go) return { go[1], go[1] } end)
    refuses(function() m(a):sum():backward() end,
      "Backward pre hook returned an invalid number of grad_output, got 2, but expected 1")
    refuses(function() m:register_full_backward_hook(3) end, "expected a function, but got integer")
  end)
end)

describe("state dict hooks", function()
  local function model()
    return nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 1, { bias = false })))
  end

  it("run before a module's tensors and after those of all below", function()
    local m, seen = model(), {}
    local function note(what)
      return function(module, a, b)
        seen[#seen + 1] = { what, module:_get_name(), type(a) == "string" and a or b }
      end
    end
    for module in m:modules() do
      module:register_state_dict_pre_hook(note "pre")
      module:register_state_dict_post_hook(note "post")
    end
    m:state_dict()
    assert.same({
      { "pre", "Sequential", "" }, { "pre", "Linear", "1." }, { "post", "Linear", "1." },
      { "pre", "Sequential", "2." }, { "pre", "Linear", "2.1." }, { "post", "Linear", "2.1." },
      { "post", "Sequential", "2." }, { "post", "Sequential", "" },
    }, seen)
  end)

  it("may change the dict, and must return nothing", function()
    local m, kept = model(), nil
    m:register_state_dict_pre_hook(function(_, prefix, keep_vars) kept = { prefix, keep_vars } end)
    local handle = m[2]:register_state_dict_post_hook(function(_, state_dict, prefix)
      state_dict[prefix .. "more"] = torch.ones(1)
    end)
    local keys = {}
    for name in pairs(m:state_dict { keep_vars = true, prefix = "m." }) do keys[#keys + 1] = name end
    assert.same({ "m.1.weight", "m.1.bias", "m.2.1.weight", "m.2.more" }, keys)
    assert.same({ "m.", true }, kept)
    handle:remove()
    m[2]:register_state_dict_post_hook(function() return 1 end)
    refuses(function() m:state_dict() end, "state_dict post-hook must return None")
  end)

  it("of loading rename keys before, and see incompatible keys after", function()
    local m, other, seen = model(), model(), {}
    m:register_load_state_dict_pre_hook(function(module, state_dict, prefix, metadata, strict, missing, ...)
      local unexpected, errors = ...
      seen[#seen + 1] = { module == m, prefix, type(metadata), strict, #missing, #unexpected, #errors }
      state_dict["1.weight"], state_dict["1.old"] = state_dict["1.old"], nil
    end)
    m[2]:register_load_state_dict_post_hook(function() seen[#seen + 1] = "inner" end)
    m:register_load_state_dict_post_hook(function(module, keys)
      seen[#seen + 1] = {
        module == m, { table.unpack(keys.missing_keys) }, { table.unpack(keys.unexpected_keys) },
        module[1].weight:item(),
      }
      keys.missing_keys[1] = nil
    end)
    local saved = other:state_dict()
    saved["1.old"], saved["1.weight"], saved["1.bias"] = torch.full({ 1, 1 }, 7), nil, nil
    m:load_state_dict(saved)
    assert.same({ { true, "", "table", true, 0, 0, 0 }, "inner", { true, { "1.bias" }, {}, 7 } }, seen)
    assert.equal(7, m[1].weight:item())
    assert.is_not_nil(saved["1.old"]) -- the hook worked on a copy
  end)

  it("that fail leave the module as it was", function()
    local m = model()
    local before = m[1].weight:item()
    local saved = model():state_dict()
    local handle = m:register_load_state_dict_post_hook(function() return 1 end)
    refuses(function() m:load_state_dict(saved) end,
      "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values")
    assert.equal(before, m[1].weight:item())
    refuses(function() m:load_state_dict(saved, { assign = true }) end, "not expected to return new values")
    assert.equal(before, m[1].weight:item())
    handle:remove()
    m:register_load_state_dict_post_hook(function() end)
    saved["1.bias"] = nil
    refuses(function() m:load_state_dict(saved) end, 'Missing key(s) in state_dict: "1.bias"')
    assert.equal(before, m[1].weight:item())
    m:register_load_state_dict_pre_hook(function(_, _, _, _, _, _, _, errors) errors[1] = "no such luck" end)
    refuses(function() m:load_state_dict(saved, { strict = false }) end, "Error(s) in loading state_dict for "
      .. "Sequential",
      "no such luck")
  end)
end)

describe("to_empty", function()
  it("gives new memory that must be written before the next forward", function()
    local layer = nn.Linear(2, 2)
    layer:register_buffer("steps", torch.zeros(1))
    local weight, pointer = layer.weight, layer.weight:data_ptr()
    layer(torch.ones(1, 2))
    assert.equal(layer, layer:to_empty { device = "cpu" })
    assert.equal(weight, layer.weight)
    assert.is_true(layer.weight.requires_grad and layer.weight.is_leaf)
    assert.not_equal(pointer, layer.weight:data_ptr())
    refuses(function() layer(torch.ones(1, 2)) end, "was never initialised")
    torch.no_grad(function()
      layer.weight:fill_(1)
      layer.bias:fill_(1)
    end)
    assert.same({ { 3, 3 } }, layer(torch.ones(1, 2)):tolist())
  end)

  it("leaves children alone when told to", function()
    local m = nn.Sequential(nn.Linear(2, 2))
    local pointer = m[1].weight:data_ptr()
    m:to_empty { device = "cpu", recurse = false }
    assert.equal(pointer, m[1].weight:data_ptr())
    m(torch.ones(1, 2))
  end)
end)
