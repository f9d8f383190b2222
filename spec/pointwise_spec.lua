--- Pointwise mathematics where golden cases do not reach: 16-bit floats, inplace arguments, which names exist.
local torch = require "moontorch"
local F = torch.nn.functional

local function has(t, name)
  local ok, value = pcall(function() return t[name] end)
  return ok and value ~= nil
end

describe("nextafter of 16-bit floats", function()
  -- Spacing of the dtype between 1 and 2, its smallest number, its largest.
  local of = {
    [torch.float16] = { 2 ^ -10, 2 ^ -24, 65504.0 },
    [torch.bfloat16] = { 2 ^ -7, 2 ^ -133, (2 - 2 ^ -7) * 2.0 ^ 127 },
  }
  for dtype, numbers in pairs(of) do
    it("of " .. tostring(dtype), function()
      local spacing, least, most = table.unpack(numbers)
      local huge = math.huge
      local from = torch.tensor({ 1.0, 1.0, 0.0, -0.0, most, huge, -1.0, 2.0, 1.0, least }, { dtype = dtype })
      local to = torch.tensor({ 2.0, 0.0, 5.0, -1.0, huge, 0.0, 0.0, 2.0, -huge, -1.0 }, { dtype = dtype })
      local below = 1 - spacing / 2
      assert.same({ 1 + spacing, below, least, -least, huge, most, -below, 2.0, below, 0.0 },
        torch.nextafter(from, to):tolist())
      local nan = torch.nextafter(torch.tensor({ 0 / 0, 1.0 }, { dtype = dtype }),
        torch.tensor({ 1.0, 0 / 0 }, { dtype = dtype }))
      assert.is_true(torch.isnan(nan):all():item())
      local zero = torch.nextafter(torch.tensor({ 0.0 }, { dtype = dtype }), torch.tensor({ -0.0 }, { dtype = dtype }))
      assert.is_true(torch.signbit(zero):item())
    end)
  end
end)

describe("activations", function()
  it("write into their input when asked to", function()
    for _, name in ipairs { "relu", "relu6", "selu", "silu", "mish", "hardsigmoid", "hardswish", "elu", "celu",
      "leaky_relu", "hardtanh", "rrelu" } do
      local x = torch.tensor { -4.0, -1.0, 0.5, 7.0 }
      local wanted = F[name](x):tolist()
      local same = x:clone()
      assert.is_true(rawequal(same, F[name](same, { inplace = true })), name)
      assert.same(wanted, same:tolist(), name)
      assert.same({ -4.0, -1.0, 0.5, 7.0 }, x:tolist(), name)
    end
    local x = torch.tensor { -4.0, 7.0 }
    assert.is_true(rawequal(x, F.hardswish { input = x, inplace = true }))
    assert.same({ -0.0, 7.0 }, x:tolist())
    x = torch.tensor { -4.0, 7.0 }
    assert.is_true(rawequal(x, F.threshold(x, 0, -1, true)))
    assert.same({ -1.0, 7.0 }, x:tolist())
  end)

  it("refuse what they do not know, under their own name", function()
    local x = torch.ones(2)
    for call, text in pairs {
      [function() F.elu(x, { alfa = 1 }) end] = "elu%(%): got an unexpected keyword argument 'alfa'",
      [function() F.threshold(x, 1) end] = "threshold%(%): missing 1 required positional arguments: \"value\"",
      [function() F.gelu(x:long()) end] = "gelu%(%): \"gelu_cpu\" not implemented for 'Long'",
      [function() F.elu_(1) end] = "elu_%(%): argument 'input' %(position 1%) must be Tensor",
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.matches(text, message)
    end
  end)

  it("stand where PyTorch has them", function()
    local x = torch.ones(2)
    for _, name in ipairs { "elu", "gelu", "silu", "mish", "leaky_relu", "softplus", "hardtanh", "glu", "relu6" } do
      assert.is_nil(torch[name])
      assert.is_false(has(x, name))
      assert.is_function(F[name])
    end
    for _, name in ipairs { "selu", "celu", "rrelu", "threshold", "dropout" } do
      assert.is_function(torch[name])
      assert.is_function(torch[name .. "_"])
      assert.is_false(has(x, name))
      assert.is_false(has(x, name .. "_"))
    end
    for _, name in ipairs { "fmax_", "logaddexp_", "signbit_", "frexp_", "positive_" } do
      assert.is_false(has(x, name))
    end
  end)

  it("draw rrelu's slopes from the generator that is given", function()
    local x = -torch.ones(4)
    local g = torch.Generator():manual_seed(5)
    torch.manual_seed(6)
    local drawn = torch.rrelu(x, 0.25, 0.5, true, { generator = g }):tolist()
    torch.manual_seed(5)
    assert.same(torch.rrelu(x, 0.25, 0.5, true):tolist(), drawn)
    for _, v in ipairs(drawn) do assert.is_true(v <= -0.25 and v >= -0.5) end
  end)
end)

describe("torch.special", function()
  it("has SciPy's names", function()
    for _, name in ipairs { "digamma", "psi", "gammaln", "polygamma", "multigammaln", "erf", "erfc", "erfinv", "erfcx",
      "exp2", "expm1", "expit", "logit", "log1p", "xlogy", "xlog1py", "sinc", "round", "logsumexp", "softmax",
      "log_softmax", "entr", "ndtr", "ndtri", "log_ndtr", "zeta", "i0", "i0e", "i1", "i1e" } do
      assert.is_function(torch.special[name], name)
    end
    assert.equal(torch.lgamma, torch.special.gammaln)
  end)

  it("inverts what it computes", function()
    local x = torch.linspace(-5, 5, 41, { dtype = torch.float64 })
    assert.is_true(torch.special.ndtri(torch.special.ndtr(-x:abs())):allclose(-x:abs(), 1e-12, 1e-12))
    local y = torch.linspace(-0.999, 0.999, 81, { dtype = torch.float64 })
    assert.is_true(torch.erf(torch.erfinv(y)):allclose(y, 1e-14, 1e-15))
    local p = 10.0 ^ torch.arange(-300, -10, 7, { dtype = torch.float64 })
    assert.is_true(torch.special.log_ndtr(torch.special.ndtri(p)):allclose(torch.log(p), 1e-13))
  end)

  it("obeys the recurrences of the gamma function", function()
    local x = torch.tensor({ -3.75, -0.5, 0.001, 0.7, 5.5, 40.25 }, { dtype = torch.float64 })
    assert.is_true((torch.digamma(x + 1) - torch.digamma(x)):allclose(1 / x, 1e-10, 1e-12))
    for n = 1, 4 do
      local factor = (n % 2 == 0 and 1 or -1) * math.exp(torch.lgamma(torch.tensor(n + 1.0)):item())
      local step = torch.polygamma(n, x + 1) - torch.polygamma(n, x)
      assert.is_true(step:allclose(factor * x ^ -(n + 1), 1e-6, 1e-12), "n = " .. n)
    end
  end)
end)
