--- Attention on a GPU against the CPU, values and gradients: sizes around the edges of blocks, masks, layouts, dtypes.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"
local F = torch.nn.functional

if gpu.missing(describe, it, "attention on a GPU") then return end

local attention = F.scaled_dot_product_attention
-- Of the largest wanted number; weights of 16-bit floats are rounded once more before their product.
local BOUND = {
  [torch.float64] = 1e-12, [torch.float32] = 1e-5, [torch.float16] = 3e-3, [torch.bfloat16] = 2.4e-2,
}

local function close(got, wanted, dtype, what) gpu.close(got, wanted, BOUND[dtype], what) end

local function plain(t) return t end

-- Values and gradients on both sides. `lay` makes of each leaf what attention gets; the CPU computes in float64 what
-- the device is given.
local function compare(what, dtype, shapes, options, lay)
  lay = lay or plain
  local host, device, mask = {}, {}, options.attn_mask
  for k, shape in ipairs(shapes) do
    host[k] = torch.randn(shape):to(dtype)
    device[k] = host[k]:cuda():requires_grad_()
    host[k] = host[k]:double():requires_grad_()
  end
  local function run(leaves, masked)
    local given = {}
    for k, v in pairs(options) do given[k] = v end
    given.attn_mask = masked
    return attention(lay(leaves[1]), lay(leaves[2]), lay(leaves[3]), given)
  end
  local wanted = run(host, mask and (mask.dtype == torch.bool and mask or mask:double()))
  local got = run(device, mask and mask:cuda())
  close(got, wanted:to(dtype), dtype, what)
  local gy = torch.randn(wanted:size()):to(dtype)
  local wanted_grads = table.pack(torch.autograd.grad(wanted, host, gy:double()))
  local grads = table.pack(torch.autograd.grad(got, device, gy:cuda()))
  for k = 1, 3 do close(grads[k], wanted_grads[k]:to(dtype), dtype, what .. ", gradient " .. k) end
  return got
end

local DTYPES = { torch.float64, torch.float32, torch.float16, torch.bfloat16 }

describe("attention on a GPU", function()
  for _, dtype in ipairs(DTYPES) do
    describe("in " .. tostring(dtype), function()
      before_each(function() torch.manual_seed(5) end)

      it("is the CPU's around the edges of blocks", function()
        for _, size in ipairs { { 1, 1, 1, 1 }, { 65, 33, 20, 7, true }, { 33, 70, 35, 40 }, { 30, 70, 8, 8, true } } do
          local l, s, e, v, causal = table.unpack(size)
          compare(("%d x %d of %d and %d%s"):format(l, s, e, v, causal and ", causal" or ""), dtype,
            { { 1, l, e }, { 1, s, e }, { 1, s, v } }, { is_causal = causal })
        end
      end)

      it("is the CPU's for wide heads", function()
        for _, size in ipairs { { 5, 35, 130, 70 }, { 5, 9, 70, 140 }, { 3, 5, 260, 3 } } do
          local l, s, e, v = table.unpack(size)
          compare(("width %d and %d"):format(e, v), dtype, { { l, e }, { s, e }, { s, v } }, {})
        end
      end)

      it("takes masks, and rows that see nothing", function()
        local shapes = { { 2, 1, 9, 8 }, { 2, 1, 37, 8 }, { 2, 1, 37, 16 } }
        local seen = torch.rand(2, 1, 9, 37):gt(0.4)
        seen:select(3, 4):fill_(false)
        local none = torch.zeros(9, 37)
        none[2]:fill_(-math.huge)
        for what, mask in pairs {
          bool = seen, row = seen:narrow(3, 1, 1), column = torch.ones(9, 1, { dtype = torch.bool }),
          numbers = torch.randn(9, 37), turned = torch.randn(37, 9):t(), nothing = none,
        } do
          compare("mask " .. what, dtype, shapes, { attn_mask = mask })
        end
        local got = compare("no key", dtype, { { 2, 3, 4 }, { 2, 0, 4 }, { 2, 0, 5 } }, {})
        assert.equal(0, got:detach():abs():max():item())
        compare("no query", dtype, { { 2, 0, 4 }, { 2, 3, 4 }, { 2, 3, 5 } }, {})
        compare("no width", dtype, { { 2, 3, 0 }, { 2, 4, 0 }, { 2, 4, 5 } }, {})
        compare("no head", dtype, { { 0, 3, 4 }, { 0, 4, 4 }, { 0, 4, 5 } }, {})
      end)

      it("reads every layout, repeats heads, broadcasts", function()
        local shapes = { { 1, 7, 2, 8 }, { 1, 9, 2, 8 }, { 1, 9, 2, 8 } }
        local y = compare("heads inside", dtype, shapes, {}, function(t) return t:transpose(2, 3) end)
        assert.is_true(y:transpose(2, 3):is_contiguous())
        compare("columns apart", dtype, { { 2, 8, 7 }, { 2, 8, 9 }, { 2, 5, 9 } }, { scale = -0.3 },
          function(t) return t:transpose(2, 3) end)
        compare("odd addresses", dtype, { { 3, 9 }, { 6, 9 }, { 6, 9 } }, {}, function(t) return t:narrow(2, 2, 8) end)
        compare("repeated heads", dtype, { { 1, 4, 5, 8 }, { 1, 2, 6, 8 }, { 1, 1, 6, 8 } }, { enable_gqa = true })
        compare("one for all", dtype, { { 2, 2, 5, 8 }, { 6, 8 }, { 1, 1, 6, 8 } }, {})
      end)

      it("is the same each time", function()
        local q, k, v = torch.randn(1, 70, 16), torch.randn(1, 67, 16), torch.randn(1, 67, 16)
        local function run()
          local leaves = {}
          for i, t in ipairs { q, k, v } do leaves[i] = t:to(dtype):cuda():requires_grad_() end
          local y = attention(leaves[1], leaves[2], leaves[3], { is_causal = true })
          return table.pack(y:detach(), torch.autograd.grad(y:float():square():sum(), leaves))
        end
        local a, b = run(), run()
        for i = 1, a.n do assert.is_true(torch.equal(a[i], b[i])) end
      end)
    end)
  end

  it("goes on where numbers are not finite", function()
    local q, k, v = torch.randn(3, 8), torch.randn(40, 8), torch.randn(40, 8)
    q[2][1] = 0 / 0
    local got = attention(q:cuda(), k:cuda(), v:cuda()):cpu()
    assert.is_true(got[2]:isnan():all():item())
    close(got[1]:cuda(), attention(q, k, v)[1], torch.float32, "the row before")
    close(got[3]:cuda(), attention(q, k, v)[3], torch.float32, "the row behind")
  end)

  it("keeps 16-bit second derivatives, and dropout", function()
    local q, k, v = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    local function twice(device)
      local leaves = {}
      for i, t in ipairs { q, k, v } do leaves[i] = t:half():to(device):requires_grad_() end
      local first = torch.autograd.grad(attention(table.unpack(leaves)):square():sum(), leaves[1],
        { create_graph = true })
      return table.pack(torch.autograd.grad(first:square():sum(), leaves))
    end
    local wanted, got = twice("cpu"), twice("cuda")
    for i = 1, 3 do close(got[i], wanted[i], torch.bfloat16, "second derivative " .. i) end
    local y = attention(q:cuda(), k:cuda(), torch.ones(2, 5, 4):cuda(), { dropout_p = 0.5 })
    assert.is_false(torch.allclose(y, torch.ones(2, 3, 4):cuda()))
  end)
end)
