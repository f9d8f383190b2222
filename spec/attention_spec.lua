--- scaled_dot_product_attention: the fused operator against its definition, spelled out here in other operators.
local torch = require "moontorch"
local gradcheck = require "spec.support.gradcheck"
local F, nn = torch.nn.functional, torch.nn
local attention = F.scaled_dot_product_attention

local function seen(length, source)
  return torch.ones(length, source, { dtype = torch.bool }):tril()
end

-- Heads of key or value, each for as many of the query's as there are to it.
local function repeated(t, heads)
  return t:repeat_interleave(heads // t:size(-3), -3)
end

-- The definition; rows that may attend to nothing give 0.
local function defined(q, k, v, options)
  local mask, scale = options.attn_mask, options.scale or 1 / math.sqrt(q:size(-1))
  if options.enable_gqa then k, v = repeated(k, q:size(-3)), repeated(v, q:size(-3)) end
  local scores = torch.matmul(q, k:transpose(-2, -1)) * scale
  if options.is_causal then mask = seen(q:size(-2), k:size(-2)) end
  if mask and mask.dtype == torch.bool then
    scores = scores:masked_fill(mask:logical_not(), -math.huge)
  elseif mask then
    scores = scores + mask
  end
  local nothing = scores:detach():eq(-math.huge):all(-1, true)
  local weights = torch.softmax(scores:masked_fill(nothing, 0), -1)
  return torch.matmul(weights:masked_fill(nothing, 0), v)
end

local function close(wanted, got, tolerance, what)
  assert.same({ table.unpack(wanted.shape) }, { table.unpack(got.shape) }, what)
  if wanted:numel() == 0 then return end
  local off = (wanted:double() - got:double()):abs():max():item() / math.max(1, wanted:abs():max():item())
  local good = off <= tolerance -- NaN is not
  if not good then error(("%s is off by %g"):format(what, off), 2) end
end

-- Values and gradients of both, for leaves q, k, v and what else wants a gradient.
local function compare(q, k, v, options, what)
  local tolerance = q.dtype == torch.float64 and 1e-12 or 3e-5
  local leaves = {}
  for i, t in ipairs { q, k, v, options.attn_mask } do
    if t.dtype.is_floating_point and (i <= 3 or t.requires_grad) then leaves[#leaves + 1] = t:requires_grad_() end
  end
  local got, wanted = attention(q, k, v, options), defined(q, k, v, options)
  local gy = torch.randn(wanted.shape, { dtype = q.dtype })
  close(wanted:detach(), got:detach(), tolerance, what)
  local a, b = table.pack(torch.autograd.grad(got, leaves, gy)), table.pack(torch.autograd.grad(wanted, leaves, gy))
  for i = 1, a.n do close(b[i], a[i], tolerance, what .. ", gradient " .. i) end
  return got
end

-- (batch, heads, n, width) in memory as it says, heads inside of positions, or columns far apart.
local layouts = {
  function(b, h, n, width, options) return torch.randn(b, h, n, width, options) end,
  function(b, h, n, width, options)
    return torch.randn(b, n, h * width, options):view(b, n, h, width):transpose(2, 3)
  end,
  function(b, h, n, width, options) return torch.randn(b, h, width, n, options):transpose(3, 4) end,
}

local masks = {
  function() return nil end,
  function(_, _, length, source) return torch.rand(length, source):gt(0.3) end,
  function(b, _, _, source) return torch.rand(b, 1, 1, source):gt(0.3) end,
  function(_, h, length) return torch.rand(h, length, 1):gt(0.2) end,
  function(b, _, length, source, options) return torch.randn(b, 1, length, source, options) end,
  function(_, _, length, source) return torch.randn(source, length):t() end,
}

describe("attention", function()
  before_each(function() torch.manual_seed(3) end)

  it("is its definition, whatever shape, layout, mask and scale", function()
    local lengths = { 1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 257 }
    local function one_of(list) return list[torch.randint(1, #list + 1, { 1 }):item()] end
    for round = 1, 120 do
      local options = { dtype = one_of { torch.float32, torch.float64 } }
      local b, h, length, source = one_of { 1, 2 }, one_of { 1, 3 }, one_of(lengths), one_of(lengths)
      local width, out, layout = one_of { 1, 4, 8, 16, 17, 32 }, one_of { 1, 5, 16, 24, 32 }, one_of(layouts)
      local causal = round % 3 == 0
      local given = { is_causal = causal, scale = one_of { nil, 0.3, -1.0, 0.0 } }
      if not causal then given.attn_mask = one_of(masks)(b, h, length, source, options) end
      compare(layout(b, h, length, width, options), layout(b, h, source, width, options),
        layout(b, h, source, out, options), given,
        ("round %d: %d heads %dx%d of %d, %d, causal %s"):format(round, b * h, length, source, width, out, causal))
    end
  end)

  it("serves two to five dims, and batches that broadcast", function()
    local shapes = {
      { { 5, 4 }, { 7, 4 }, { 7, 3 } },
      { { 2, 5, 4 }, { 2, 7, 4 }, { 2, 7, 3 } },
      { { 2, 1, 3, 5, 4 }, { 2, 1, 3, 7, 4 }, { 2, 1, 3, 7, 3 } },
      { { 1, 3, 5, 4 }, { 2, 1, 7, 4 }, { 7, 3 } },
      { { 5, 4 }, { 2, 7, 4 }, { 3, 1, 7, 3 } },
    }
    for n, s in ipairs(shapes) do
      local function make(k) return torch.randn(s[k], { dtype = torch.float64 }) end
      compare(make(1), make(2), make(3), {}, "shapes " .. n)
      compare(make(1), make(2), make(3), { attn_mask = torch.rand(5, 7):gt(0.4) }, "masked shapes " .. n)
    end
    -- a mask with more dims than the scores
    local q = torch.randn(5, 4, { dtype = torch.float64 })
    compare(q, q:clone(), q:clone(), { attn_mask = torch.randn(2, 5, 5, { dtype = torch.float64 }) }, "wide mask")
  end)

  it("shares heads of key and value among those of the query", function()
    for _, heads in ipairs { { 4, 2, 2 }, { 6, 1, 3 }, { 6, 3, 2 }, { 3, 3, 3 } } do
      for _, make in ipairs(layouts) do
        local options = { dtype = torch.float64 }
        local q, k, v = make(2, heads[1], 17, 8, options), make(2, heads[2], 33, 8, options),
          make(2, heads[3], 33, 5, options)
        local what = table.concat(heads, " ")
        compare(q, k, v, { enable_gqa = true }, what)
        compare(q, k, v, { enable_gqa = true, is_causal = true }, "causal " .. what)
        compare(q, k, v, { enable_gqa = true, attn_mask = torch.rand(17, 33):gt(0.3) }, "masked " .. what)
      end
    end
  end)

  it("gives 0, and no gradient, where nothing may be attended to", function()
    local q, k, v = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 20, 4), torch.randn(1, 2, 20, 4)
    local blocked = torch.tensor { { true }, { false }, { true } }:expand(3, 20)
    for _, mask in ipairs { blocked, torch.zeros(3, 20):masked_fill(blocked:logical_not(), -math.huge) } do
      local leaves = { q:clone():requires_grad_(), k:clone():requires_grad_(), v:clone():requires_grad_() }
      local y = attention(leaves[1], leaves[2], leaves[3], mask)
      assert.equal(0, y:select(3, 2):abs():max():item())
      local a, b, c = torch.autograd.grad(y, leaves, torch.ones(y.shape))
      assert.equal(0, a:select(3, 2):abs():max():item())
      assert.is_false(a:isnan():any():item() or b:isnan():any():item() or c:isnan():any():item())
      compare(q:clone(), k:clone(), v:clone(), { attn_mask = mask }, "blocked row")
    end
  end)

  it("knows tensors of no elements", function()
    local function shape_of(b, length, source, width, out)
      local q, k, v = torch.randn(b, length, width), torch.randn(b, source, width), torch.randn(b, source, out)
      local leaves = { q:requires_grad_(), k:requires_grad_(), v:requires_grad_() }
      local y = attention(q, k, v)
      assert.same({ b, length, out }, { table.unpack(y.shape) })
      local gradients = table.pack(torch.autograd.grad(y, leaves, torch.ones(y.shape)))
      for i = 1, 3 do
        assert.same({ table.unpack(leaves[i].shape) }, { table.unpack(gradients[i].shape) })
        assert.is_false(gradients[i]:isnan():any():item())
      end
      return y, v
    end
    shape_of(0, 3, 4, 2, 2)
    shape_of(2, 0, 4, 2, 2)
    shape_of(2, 3, 4, 2, 0)
    assert.equal(0, shape_of(2, 3, 0, 2, 2):abs():sum():item())
    local y, v = shape_of(2, 3, 4, 0, 2) -- without scores all keys weigh the same
    close(v:detach():mean(2, true):expand(2, 3, 2), y:detach(), 1e-6, "mean")
  end)

  it("has first and second derivatives", function()
    local function leaf(...) return torch.randn(..., { dtype = torch.float64 }):requires_grad_() end
    local bool = torch.tensor { { true, false, true }, { false, false, false }, { true, true, true } }
    local cases = {
      causal = { { 3, 2 }, { 3, 2 }, { 3, 2 }, { is_causal = true } },
      masked = { { 2, 3, 2 }, { 2, 3, 2 }, { 2, 3, 1 }, { attn_mask = bool } },
      grouped = { { 2, 2, 2 }, { 1, 3, 2 }, { 1, 3, 2 }, { enable_gqa = true, scale = 0.4 } },
    }
    for name, c in pairs(cases) do
      local inputs = { leaf(c[1]), leaf(c[2]), leaf(c[3]) }
      local function fn() return attention(inputs[1], inputs[2], inputs[3], c[4]) end
      for _, order in ipairs { "first", "second" } do
        local good, why = gradcheck[order](fn, inputs)
        assert.is_true(good, name .. " " .. order .. ": " .. tostring(why))
      end
    end
  end)

  it("has one gradient, recorded or not, across blocks", function()
    local function leaf(n, width)
      return layouts[2](1, 2, n, width, { dtype = torch.float64 }):detach():requires_grad_()
    end
    for _, options in ipairs { { is_causal = true }, { attn_mask = torch.rand(150, 270):gt(0.5) }, {} } do
      local inputs = { leaf(150, 8), leaf(270, 8), leaf(270, 6) }
      local gy = torch.randn(1, 2, 150, 6, { dtype = torch.float64 })
      local function gradients(create_graph)
        local y = attention(inputs[1], inputs[2], inputs[3], options)
        return table.pack(torch.autograd.grad(y, inputs, gy, { create_graph = create_graph }))
      end
      local plain, recorded = gradients(false), gradients(true)
      for i = 1, 3 do
        assert.is_true(recorded[i].requires_grad)
        close(recorded[i]:detach(), plain[i], 1e-12, "gradient " .. i)
      end
    end
  end)

  it("has a gradient for a mask of numbers", function()
    local function make(n, width) return torch.randn(2, 3, n, width, { dtype = torch.float64 }) end
    local mask = torch.randn(3, 17, 1, { dtype = torch.float64 }):requires_grad_()
    compare(make(17, 4), make(20, 4), make(20, 3), { attn_mask = mask }, "mask")
  end)

  it("computes 16-bit floats in float32", function()
    local q, k, v = torch.randn(2, 3, 40, 16), torch.randn(2, 3, 50, 16), torch.randn(2, 3, 50, 8)
    for _, dtype in ipairs { torch.float16, torch.bfloat16 } do
      local a, b, c = q:to(dtype), k:to(dtype), v:to(dtype)
      local wanted = attention(a:float(), b:float(), c:float()):to(dtype)
      local got = attention(a, b, c)
      assert.equal(dtype, got.dtype)
      assert.is_true(torch.equal(wanted, got))
    end
  end)

  it("gives the same bits for every number of threads", function()
    local before = torch.get_num_threads()
    for _, case in ipairs { { 1, 1, 700, 40, true }, { 1, 1, 700, 40, false }, { 3, 4, 64, 16, true } } do
      local b, h, n, width, causal = table.unpack(case)
      local q, k, v = torch.randn(b, h, n, width):requires_grad_(), torch.randn(b, h, n, width):requires_grad_(),
        torch.randn(b, h, n, width):requires_grad_()
      local gy, first = torch.randn(b, h, n, width), nil
      for _, threads in ipairs { 1, 2, 3, 5 } do
        torch.set_num_threads(threads)
        local y = attention(q, k, v, { is_causal = causal })
        local all = table.pack(y, torch.autograd.grad(y, { q, k, v }, gy))
        first = first or all
        for i = 1, 4 do assert.is_true(torch.equal(first[i], all[i]), threads .. " threads, tensor " .. i) end
      end
    end
    torch.set_num_threads(before)
  end)

  it("lets NaN into its own row alone, and through a key into all", function()
    local q, k, v = torch.randn(1, 20, 8), torch.randn(1, 40, 8), torch.randn(1, 40, 8)
    q[1][3]:fill_(0 / 0)
    local y = attention(q, k, v):isnan():any(-1)
    assert.equal(1, y:sum():item())
    assert.is_true(y[1][3]:item())
    q, k[1][17][2] = torch.randn(1, 20, 8), 0 / 0
    assert.is_true(attention(q, k, v):isnan():all():item())
    local causal = attention(q, k, v, { is_causal = true }):isnan():any(-1)
    assert.equal(4, causal:sum():item()) -- rows 17 to 20 see key 17
  end)

  it("lies in memory as the query does", function()
    local function stride(make)
      local q, k = make(2, 3, 5, 4), torch.randn(2, 3, 6, 4)
      return { table.unpack(attention(q, k, k):stride()) }
    end
    -- PyTorch 2.15's strides
    assert.same({ 60, 20, 4, 1 }, stride(layouts[1]))
    assert.same({ 60, 4, 12, 1 }, stride(layouts[2]))
    local y = attention(layouts[2](2, 3, 5, 4), torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 4))
    assert.same({ 2, 5, 12 }, { table.unpack(y:transpose(2, 3):view(2, 5, 12).shape) })
  end)

  it("holds no matrix of scores", function()
    local n = 1024
    local q = torch.randn(1, 4, n, 16):requires_grad_()
    local gy = torch.randn(1, 4, n, 16)
    local function most()
      collectgarbage()
      torch.reset_peak_memory()
      local before = torch.memory().in_use
      attention(q, q, q):backward(gy)
      return torch.memory().peak - before
    end
    most()
    assert.is_true(most() < 4 * n * n) -- bytes; one head's scores take as many
  end)

  it("draws the same numbers for dropout as weights that are dropped apart", function()
    local q, k, v = torch.randn(2, 5, 4), torch.randn(2, 6, 4), torch.randn(2, 6, 3)
    torch.manual_seed(11)
    local got = attention(q, k, v, nil, 0.4)
    torch.manual_seed(11)
    local scores = torch.matmul(q, k:transpose(2, 3)) / 2
    close(torch.matmul(F.dropout(torch.softmax(scores, -1), 0.4, true), v), got, 1e-6, "dropped")
  end)

  it("makes MultiheadAttention's output without weights the same as with them", function()
    for _, batch_first in ipairs { true, false } do
      local layer = nn.MultiheadAttention(12, 3, { batch_first = batch_first, dtype = torch.float64 })
      local x = torch.randn(4, 7, 12, { dtype = torch.float64 }):requires_grad_()
      local n = batch_first and 7 or 4
      local parameters = { x, layer.in_proj_weight, layer.in_proj_bias, layer.out_proj.weight }
      local blocked = torch.ones(n, n, { dtype = torch.bool }):triu(1)
      local padding = torch.zeros(batch_first and 4 or 7, n, { dtype = torch.bool })
      padding[2][n] = true
      for _, options in ipairs { {}, { attn_mask = blocked }, { key_padding_mask = padding },
        { attn_mask = blocked, is_causal = true } } do
        local function run(need_weights)
          options.need_weights = need_weights
          local y, w = layer(x, x, x, options)
          return y, w, table.pack(torch.autograd.grad((y * y):sum(), parameters))
        end
        local a, weights, slopes = run(true)
        local b, none, others = run(false)
        assert.is_not_nil(weights)
        assert.is_nil(none)
        close(a:detach(), b:detach(), 1e-12, "output")
        for i = 1, #parameters do close(slopes[i], others[i], 1e-12, "gradient " .. i) end
      end
    end
  end)
end)
