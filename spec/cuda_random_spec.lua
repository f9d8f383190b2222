--- Random numbers on a GPU: Philox's own answers, PyTorch's numbers on a GPU for seed 0, generators, distributions.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"

if gpu.missing(describe, it, "random numbers on a GPU") then return end

local function near(wanted, got, bound)
  assert.is_true(math.abs(wanted - got) <= bound, ("%g is not within %g of %g"):format(got, bound, wanted))
end

local function rounded(t, digits)
  local out = {}
  for k, v in ipairs(t:double():tolist()) do out[k] = ("%." .. digits .. "f"):format(v) end
  return out
end

describe("random numbers on a GPU", function()
  -- Philox 4x32-10 of counter 0 and key 0, from the paper's known answers: 6627e8d5 e169c58d bc57ac4c 9b00dbd8
  it("are Philox's", function()
    local g = torch.Generator("cuda"):manual_seed(0)
    local x = torch.zeros(1, { device = "cuda", dtype = torch.int64 })
    x:random_(math.mininteger, nil, { generator = g })
    assert.equal(0x6627e8d5e169c58d, x[1]:item() - math.mininteger)
  end)

  it("are PyTorch's for a seed", function()
    torch.manual_seed(0)
    assert.same({ "0.3990", "0.5167", "0.0249", "0.9401", "0.9459", "0.7967", "0.4150", "0.8203", "0.2290", "0.9096" },
      rounded(torch.rand(10, { device = "cuda" }):cpu(), 4))
    torch.manual_seed(0)
    assert.same({ "-0.9247", "-0.4253", "-2.6438", "0.1452", "-0.1209", "-0.5797", "-0.6229", "-0.3284", "-1.0745",
      "-0.3631" }, rounded(torch.randn(10, { device = "cuda" }):cpu(), 4))
  end)

  it("come from generators that can be seeded, saved and restored", function()
    local g = torch.Generator("cuda:0"):manual_seed(5)
    assert.equal("cuda:0", tostring(g.device))
    assert.equal("cpu", tostring(torch.Generator().device))
    local state = g:get_state()
    assert.equal(16, state:numel())
    local a = torch.rand(7, { device = "cuda", generator = g })
    local b = torch.rand(7, { device = "cuda", generator = g })
    assert.is_false(a:equal(b))
    g:set_state(state)
    assert.is_true(a:equal(torch.rand(7, { device = "cuda", generator = g })))
    torch.cuda.manual_seed(9)
    assert.equal(9, torch.cuda.initial_seed())
    local all = torch.cuda.get_rng_state_all()
    assert.equal(torch.cuda.device_count(), #all)
    a = torch.randn(5, { device = "cuda" })
    torch.cuda.set_rng_state_all(all)
    assert.is_true(a:equal(torch.randn(5, { device = "cuda" })))
    torch.cuda.set_rng_state(all[1], 0)
    assert.is_true(a:equal(torch.randn(5, { device = "cuda" })))
    torch.cuda.manual_seed_all(9)
    assert.is_true(a:equal(torch.randn(5, { device = "cuda" })))
    torch.cuda.seed_all()
    torch.cuda.seed()
    assert.is_false(a:equal(torch.randn(5, { device = "cuda" })))
  end)

  it("refuse another device's generator, a wrong state and wrong numbers", function()
    local x = torch.zeros(4, { device = "cuda" })
    for _, case in ipairs {
      { function() x:normal_(0, 1, { generator = torch.Generator() }) end, "found 'cpu'" },
      { function() torch.rand(3, { generator = torch.Generator("cuda") }) end, "Expected a 'cpu' device type" },
      { function() torch.Generator("cuda"):set_state(torch.get_rng_state()) end, "RNG state is wrong size" },
      { function() torch.cuda.set_rng_state(torch.zeros(3, { dtype = torch.uint8 })) end, "RNG state is wrong size" },
      { function() torch.Generator("cuda:77") end, "cuda:77" },
      { function() torch.cuda.manual_seed("a") end, "seed must be an integer" },
      { function() x:normal_(0, -1) end, "normal expects std >= 0.0" },
      { function() x:uniform_(2, 1) end, "uniform_ expects" },
      { function() x:bernoulli_(1.5) end, "bernoulli_ expects p to be in [0, 1]" },
    } do
      local ok, why = pcall(case[1])
      assert.is_false(ok)
      assert.is_truthy(why:find(case[2], 1, true), why)
    end
    assert.same({ 0, 0, 0, 0 }, x:cpu():tolist())
  end)

  it("have their distributions in each dtype", function()
    torch.manual_seed(1)
    local n = 30000
    for _, dtype in ipairs { "float64", "float32", "float16", "bfloat16" } do
      local function empty() return torch.empty(n, { device = "cuda", dtype = dtype }) end
      local x = empty():normal_(1, 2):double():cpu()
      near(1, x:mean():item(), 0.05)
      near(2, x:std():item(), 0.05)
      x = empty():uniform_(-1, 3):double():cpu()
      near(1, x:mean():item(), 0.05)
      assert.is_true(x:min():item() >= -1 and x:max():item() < 3)
      near(0.5, empty():exponential_(2):double():mean():item(), 0.03)
      near(4, empty():geometric_(0.25):double():mean():item(), 0.15)
      near(0.3, empty():bernoulli_(0.3):double():mean():item(), 0.02)
      near(math.exp(0.5), empty():log_normal_(0, 1):double():mean():item(), 0.12)
      near(1, empty():cauchy_(1, 2):double():median():item(), 0.15)
    end
    for _, dtype in ipairs { "int64", "int32", "int16", "int8", "uint8", "float32" } do
      local x = torch.randint(3, 9, { n }, { device = "cuda", dtype = dtype })
      assert.equal(3, x:min():item())
      assert.equal(8, x:max():item())
      near(5.5, x:double():mean():item(), 0.05)
    end
    near(2 ^ 62, torch.empty(n, { device = "cuda", dtype = torch.int64 }):random_():double():mean():item(), 2 ^ 57)
    near(0.5, torch.empty(n, { device = "cuda", dtype = torch.bool }):random_():double():mean():item(), 0.02)
    near(4, torch.poisson(torch.full({ n }, 4.0):cuda()):mean():item(), 0.1)
    near(40, torch.poisson(torch.full({ n }, 40.0):cuda()):var():item(), 2)
    near(0.7, torch.bernoulli(torch.full({ n }, 0.7):cuda()):mean():item(), 0.02)
  end)

  it("fill what is not packed, nothing, and permute", function()
    torch.manual_seed(2)
    local x = torch.zeros(20, 30, { device = "cuda" })
    x:t():narrow(1, 5, 10):uniform_(1, 2)
    assert.equal(200, (x:ne(0)):sum():item())
    assert.equal(0, torch.rand(0, 3, { device = "cuda" }):numel())
    local p = torch.randperm(100, { device = "cuda" })
    assert.is_true(p.is_cuda)
    local counted = torch.arange(1, 101)
    assert.is_true((p:cpu():sort()):equal(counted))
    assert.is_false(p:cpu():equal(counted))
    local both = torch.normal(torch.zeros(5000):cuda(), torch.full({ 5000 }, 3.0):cuda())
    near(3, both:std():item(), 0.15)
  end)

  it("choose by weights, with and without replacement", function()
    torch.manual_seed(4)
    local w = torch.tensor { { 0, 1, 3 }, { 2, 2, 0 } }:float():cuda()
    local x = torch.multinomial(w, 8000, true)
    assert.is_true(x.is_cuda and x:min():item() >= 1 and x:max():item() <= 3)
    near(0.75, x[1]:eq(3):double():mean():item(), 0.03)
    near(0.5, x[2]:eq(1):double():mean():item(), 0.03)
    assert.equal(0, x[1]:eq(1):sum():item() + x[2]:eq(3):sum():item())
    local both = torch.multinomial(w, 2)
    assert.same({ 2, 3 }, (both[1]:cpu():sort()):tolist())
    assert.same({ 1, 2 }, (both[2]:cpu():sort()):tolist())
    local first = torch.multinomial(w[1]:expand(8000, 3), 1, { generator = torch.Generator("cuda"):manual_seed(3) })
    near(0.75, first:eq(3):double():mean():item(), 0.03)
    for _, bad in ipairs { { { 1, -1 }, 1 }, { { 0, 0 }, 1 }, { { 1, 1 }, 3 } } do
      local ok, why = pcall(torch.multinomial, torch.tensor(bad[1]):float():cuda(), bad[2])
      local _, same = pcall(torch.multinomial, torch.tensor(bad[1]):float(), bad[2])
      assert.is_false(ok)
      assert.equal(same:match("multinomial%(%).*"), why:match("multinomial%(%).*"))
    end
    local noise = torch.nn.functional.rrelu(torch.full({ 1000 }, -1.0):cuda(), 0.25, 0.5, true):neg()
    near(0.375, noise:mean():item(), 0.02)
    assert.is_true(noise:min():item() >= 0.25 and noise:max():item() <= 0.5)
  end)

  it("tell of numbers that are no probabilities where something waits for them", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local x = torch.bernoulli(torch.tensor { 0.5, 1.5 }:cuda())
    local ok, why = pcall(function() return x:sum():item() end)
    assert.is_false(ok)
    assert.is_truthy(why:find("probability number 2 is 1.5", 1, true), why)
    assert.is_truthy(why:find("met by bernoulli() at ", 1, true), why)
    assert.is_truthy(why:find("cuda_random_spec.lua:" .. line, 1, true), why)
    assert.equal(0, x[2]:item())
  end)
end)
