--- Random numbers against PyTorch's (spec/golden/rng.lua): each stream is replayed after one manual_seed. Integers must
-- be equal; floats may differ by what a vectorised log, cos or sin moves, and the place in the stream must not.
local torch = require "moontorch"
local nn = torch.nn
local F = nn.functional
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local streams = dofile(here .. "/golden/rng.lua")

-- Relative rounding of each float dtype, a few times over.
local TOLERANCE = { float64 = 4e-15, float32 = 1e-6, float16 = 2 ^ -10, bfloat16 = 2 ^ -7 }

local function numel(n)
  return type(n) == "table" and n[1] * n[2] or n
end

local function sizes(n)
  return type(n) == "table" and n or { n }
end

-- The inputs that make_rng.py gave: the multiples of a step modulo 11, scaled below a bound.
local function given(call, step, scale)
  local values = {}
  for i = 1, numel(call.n) do values[i] = (i * step % 11) / 11 * scale end
  return torch.tensor(values, { dtype = torch.float64 }):to(torch[call.dtype]):reshape(sizes(call.n))
end

local function empty(call)
  return torch.zeros(sizes(call.n), { dtype = torch[call.dtype] })
end

local function parameters(layer, call)
  local flat = {}
  for i, p in ipairs(layer:to(torch[call.dtype]):parameters()) do flat[i] = p:detach():reshape(-1) end
  return torch.cat(flat)
end

local RUN = {
  rand = function(call) return torch.rand(sizes(call.n), { dtype = torch[call.dtype] }) end,
  randn = function(call) return torch.randn(sizes(call.n), { dtype = torch[call.dtype] }) end,
  randint = function(call, low, high)
    return torch.randint(low, high, sizes(call.n), { dtype = torch[call.dtype] })
  end,
  randperm = function(call) return torch.randperm(call.n) end,
  normal = function(call, mean, std) return torch.normal(mean, std, sizes(call.n), { dtype = torch[call.dtype] }) end,
  normal_tensors = function(call) return torch.normal(given(call, 3, 2.0), given(call, 5, 3.0)) end,
  bernoulli = function(call) return torch.bernoulli(given(call, 4, 1.0)) end,
  bernoulli_tensor_ = function(call, dtype) return empty(call):bernoulli_(given(call, 7, 1.0):to(torch[dtype])) end,
  poisson = function(call, scale) return torch.poisson(given(call, 6, scale)) end,
  multinomial = function(call, k, replacement) return torch.multinomial(given(call, 3, 5.0), k, replacement) end,
  dropout = function(call, p) return F.dropout(torch.ones(sizes(call.n), { dtype = torch[call.dtype] }), p, true) end,
  random_ = function(call, from, to)
    if from and from < 0 and not to then return empty(call):random_(from, torch.none) end
    return empty(call):random_(table.unpack({ from, to }))
  end,
}
for _, name in ipairs { "Linear", "Conv2d", "Embedding", "LSTM" } do
  RUN[name] = nn[name] and function(call, ...) return parameters(nn[name](...), call) end
end
for _, name in ipairs { "uniform_", "normal_", "bernoulli_", "exponential_", "geometric_", "cauchy_", "log_normal_" } do
  RUN[name] = function(call, ...)
    local x = empty(call)
    return x[name](x, ...)
  end
end
for _, name in ipairs { "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "trunc_normal_" } do
  RUN[name] = function(call, ...) return nn.init[name](empty(call), ...) end
end

local function arguments(call)
  local text = {}
  for i = 1, 4 do
    local a = (call.args or {})[i]
    if a ~= nil then text[#text + 1] = tostring(a) end
  end
  local n = type(call.n) == "table" and table.concat(call.n, "x") or call.n
  return ("%s(%s) of %s %s"):format(call.op, table.concat(text, ", "), n, call.dtype)
end

local function close(got, want, tolerance)
  if not tolerance or got == want then return got == want end
  return math.abs(got - want) <= tolerance * math.max(math.abs(want), 1e-3)
end

local function replay(call)
  local x = RUN[call.op](call, table.unpack(call.args or {}, 1, 4))
  local exact = call.op == "randperm" or call.op == "multinomial" or not TOLERANCE[call.dtype]
  local tolerance = not exact and TOLERANCE[call.dtype] or nil
  local values = x:reshape(-1):tolist()
  assert.equal(call.count or #call.want, #values, arguments(call) .. ": count")
  for i, want in ipairs(call.want) do
    local at = call.at and call.at[i] or i
    if not close(values[at], want, tolerance) then
      error(("%s: element %d is %s, PyTorch has %s"):format(arguments(call), at, values[at], want), 0)
    end
  end
  if call.sum then
    local sum, size = 0.0, 0.0
    for _, v in ipairs(values) do
      sum, size = sum + v, size + math.abs(v)
    end
    assert.is_true(math.abs(sum - call.sum) <= math.max(tolerance or 0, 1e-12) * size, arguments(call) .. ": sum")
  end
end

describe("random numbers", function()
  for number, stream in ipairs(streams) do
    if not RUN[stream[2].op] then goto next end -- a layer that is not there yet
    local title = #stream == 2 and arguments(stream[2]) or ("a stream of %d calls"):format(#stream - 1)
    it(("stream %d, seed %d: %s"):format(number, stream[1], title), function()
      torch.manual_seed(stream[1])
      for i = 2, #stream do replay(stream[i]) end
    end)
    ::next::
  end
end)

describe("the generator", function()
  it("continues from a saved state", function()
    torch.manual_seed(42)
    torch.randn(3)
    local state = torch.get_rng_state()
    assert.equal(5056, state:numel())
    assert.is_true(state.dtype == torch.uint8)
    local a = torch.randn(20)
    torch.set_rng_state(state)
    assert.is_true(a:equal(torch.randn(20)))
  end)

  it("keeps the seed", function()
    torch.manual_seed(123)
    assert.equal(123, torch.initial_seed())
    local seed = torch.seed()
    assert.equal(seed, torch.initial_seed())
  end)

  it("is an object of its own where one is passed", function()
    local g = torch.Generator():manual_seed(7)
    torch.manual_seed(7)
    local a = torch.rand(5)
    assert.is_true(a:equal(torch.rand(5, { generator = g })))
    local state = g:get_state()
    local b = torch.empty(5):normal_(0, 1, { generator = g })
    g:set_state(state)
    assert.is_true(b:equal(torch.empty(5):normal_(0, 1, { generator = g })))
    assert.equal(7, g:initial_seed())
  end)

  it("fills what is not contiguous as PyTorch does, what trunc_normal_ draws again too", function()
    local function check(wanted, following, x, ...)
      torch.manual_seed(0)
      nn.init.trunc_normal_(x, ...)
      for i, value in ipairs(x:reshape(-1):tolist()) do
        assert.is_true(close(value, wanted[i], 1e-6), ("element %d is %s, not %s"):format(i, value, wanted[i]))
      end
      assert.is_true(close(torch.rand(1):item(), following, 1e-6))
    end
    check({ 1.80669367313385, -0.43851515650749207, -0.1932707279920578, 0.4131421744823456, 0.19331294298171997,
      1.3640729188919067 }, 0.41940832138061523, torch.zeros(3, 2):t(), 1, 2, -1, 2)
    check({ 1.63275146484375, 1.8053109645843506, 1.9111239910125732, 1.5844709873199463, 1.407806634902954,
      1.6405396461486816, 1.7428240776062012, 1.9911997318267822, 1.9838581085205078, 1.6893341541290283,
      1.7637734413146973, 1.887244462966919 }, 0.1163826584815979, torch.zeros(2, 3, 2):permute(3, 1, 2), 5, 1, -1, 2)
  end)

  it("refuses what PyTorch refuses, in its words", function()
    local function refuses(message, f)
      local ok, text = pcall(f)
      assert.is_false(ok)
      assert.truthy(tostring(text):find(message, 1, true), tostring(text))
    end
    local x = torch.zeros(3)
    refuses("Expected a CPUGeneratorImplState of size 5056", function()
      torch.set_rng_state(torch.zeros(5, { dtype = torch.uint8 }))
    end)
    refuses("uniform_ expects to return a [from, to) range", function() x:uniform_(1, 0) end)
    refuses("normal expects std >= 0.0, but found std -1", function() x:normal_(0, -1) end)
    refuses("exponential_ expects lambda > 0.0", function() x:exponential_(0) end)
    refuses("geometric_ expects p to be in (0, 1)", function() x:geometric_(1) end)
    refuses("cauchy_ expects sigma > 0.0", function() x:cauchy_(0, 0) end)
    refuses("log_normal_ expects std > 0.0", function() x:log_normal_(0, 0) end)
    refuses("bernoulli_ expects p to be in [0, 1]", function() x:bernoulli_(2) end)
    refuses("random_ expects 'from' to be less than 'to'", function() torch.randint(5, 5, { 2 }) end)
    refuses("cannot sample n_sample > prob_dist.size(-1) samples", function() torch.multinomial(torch.ones(3), 4) end)
    refuses("sum of probabilities <= 0", function() torch.multinomial(torch.zeros(3), 2) end)
    refuses("invalid Poisson rate", function() torch.poisson(torch.full({ 3 }, -1.0)) end)
  end)
end)
