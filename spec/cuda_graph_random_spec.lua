--- Random numbers in CUDA graphs: each replay draws what the generator would give then, as a script without one does.
local torch = require "moontorch"
local cuda, nn, F = torch.cuda, torch.nn, torch.nn.functional

if not cuda.is_available() then
  describe("random numbers in CUDA graphs", function()
    it("are skipped: this machine has no GPU that moontorch/cuda.so can use", function() end)
  end)
  return
end

local function zeros(n) return torch.zeros(n, { device = "cuda" }) end

local function captured(f, options)
  local g, out = cuda.CUDAGraph(), nil
  if options then
    cuda.graph(g, options, function() out = f() end)
  else
    cuda.graph(g, function() out = f() end)
  end
  return g, out
end

-- Copies of what f leaves in its results after each replay, and of what f gives when it is called as often.
local function both(f, times, seed)
  cuda.manual_seed(seed)
  local eager, replayed = {}, {}
  for k = 1, times do eager[k] = f():clone() end
  local after = torch.rand(3, { device = "cuda" })
  cuda.manual_seed(seed)
  local g, out = captured(f)
  for k = 1, times do
    g:replay()
    replayed[k] = out:clone()
  end
  return eager, replayed, after, torch.rand(3, { device = "cuda" })
end

describe("random numbers in CUDA graphs", function()
  after_each(function() cuda.synchronize() end)

  it("are those that calls in a row would draw", function()
    local rates = torch.full({ 40 }, 4.0):cuda()
    for name, f in pairs {
      rand = function() return torch.rand(1000, { device = "cuda" }) end,
      normal = function() return torch.randn(30, { device = "cuda", dtype = torch.float64 }) end,
      integers = function() return torch.randint(0, 1 << 40, { 50 }, { device = "cuda" }) end,
      poisson = function() return torch.poisson(rates) end,
      chance = function() return torch.bernoulli(rates / 8) end,
      strided = function()
        local x = torch.zeros(6, 8, { device = "cuda" })
        x:t():narrow(1, 2, 3):uniform_()
        return x
      end,
      several = function()
        local x = torch.rand(5, { device = "cuda" }) + torch.randn(5, { device = "cuda" })
        return torch.cat { x, F.dropout(torch.ones(64, { device = "cuda" }), 0.5) }
      end,
    } do
      local eager, replayed, after, then_ = both(f, 3, 7)
      for k = 1, 3 do assert.is_true(eager[k]:equal(replayed[k]), name .. ", replay " .. k) end
      assert.is_false(eager[1]:equal(eager[2]), name)
      assert.is_true(after:equal(then_), name .. ": the generator has moved as far")
    end
  end)

  it("leave the generator as it was when the capture began", function()
    cuda.manual_seed(3)
    torch.rand(10, { device = "cuda" })
    local before = cuda.get_rng_state()
    local g = captured(function() return torch.rand(10, { device = "cuda" }) end)
    assert.is_true(before:equal(cuda.get_rng_state()))
    g:replay()
    assert.is_false(before:equal(cuda.get_rng_state()))
    -- so does a capture that fails
    before = cuda.get_rng_state()
    assert.is_false(pcall(captured, function()
      torch.rand(10, { device = "cuda" })
      error("on purpose")
    end))
    assert.is_true(before:equal(cuda.get_rng_state()))
  end)

  it("follow what the generator is set to between replays", function()
    local g, x = captured(function() return torch.rand(20, { device = "cuda" }) end)
    local function next_numbers()
      g:replay()
      return x:clone()
    end
    torch.manual_seed(11)
    local a, b = next_numbers(), next_numbers()
    assert.is_false(a:equal(b))
    torch.manual_seed(11)
    assert.is_true(a:equal(torch.rand(20, { device = "cuda" })))
    local state = cuda.get_rng_state()
    assert.is_true(b:equal(next_numbers()))
    local c = next_numbers()
    cuda.set_rng_state(state)
    assert.is_true(b:equal(next_numbers()))
    assert.is_true(c:equal(torch.rand(20, { device = "cuda" })))
    cuda.manual_seed(12)
    assert.is_false(a:equal(next_numbers()))
  end)

  it("are one sequence for two graphs and the script between them", function()
    local function numbers() return torch.randn(12, { device = "cuda" }) end
    local function twice() return numbers() + numbers() * 10 end
    local pool = cuda.graph_pool_handle()
    local g, x = captured(numbers, { pool = pool })
    local h, y = captured(twice, { pool = pool })
    cuda.manual_seed(21)
    local want = { numbers(), twice(), numbers(), numbers(), twice() }
    cuda.manual_seed(21)
    local got = {}
    for k, of in ipairs { g, h, "script", g, h } do
      if of == "script" then
        got[k] = numbers()
      else
        of:replay()
        got[k] = (of == g and x or y):clone()
      end
    end
    for k = 1, #want do assert.is_true(want[k]:equal(got[k]), "draw " .. k) end
    g:reset()
    h:replay() -- it has its own record of the generator
    assert.is_true(y:equal(twice()) == false)
  end)

  it("come from generators of the script, which the graph keeps", function()
    local a, b = torch.Generator("cuda"):manual_seed(1), torch.Generator("cuda"):manual_seed(2)
    local function f()
      local x = torch.rand(9, { device = "cuda", generator = a })
      return x + 2 * torch.rand(9, { device = "cuda", generator = b })
    end
    local want = { f(), f() }
    a:manual_seed(1)
    b:manual_seed(2)
    local g, x = captured(f)
    for k = 1, 2 do
      g:replay()
      assert.is_true(want[k]:equal(x))
    end
    a, b = nil, nil
    collectgarbage()
    collectgarbage()
    g:replay()
    assert.is_false(want[2]:equal(x))
    assert.is_nil(a or b)
  end)

  it("may be drawn again in a capture from a state that was taken in it", function()
    cuda.manual_seed(6)
    local function f()
      local state = cuda.get_rng_state()
      local x = torch.rand(8, { device = "cuda" })
      cuda.set_rng_state(state)
      return torch.stack { x, torch.rand(8, { device = "cuda" }) }
    end
    local eager, replayed = both(f, 2, 6)
    for k = 1, 2 do
      assert.is_true(replayed[k][1]:equal(replayed[k][2]))
      assert.is_true(eager[k]:equal(replayed[k]))
    end
    local ok, why = pcall(captured, function()
      local x = torch.rand(2, { device = "cuda" })
      cuda.manual_seed(1234)
      return x + torch.rand(2, { device = "cuda" })
    end)
    assert.is_false(ok)
    assert.is_truthy(why:find("can be called during stream capture only if new seed is the same", 1, true), why)
    assert.is_truthy(why:find("cuda_graph_random_spec.lua:%d+: "), why)
  end)

  it("belong to the device of the graph", function()
    if cuda.device_count() < 2 then return end
    local s, ready = cuda.Stream { device = 1 }, cuda.Event()
    local ok, why = pcall(captured, function()
      ready:record()
      s:wait_event(ready)
      cuda.stream(s, function() return torch.rand(3, { device = "cuda:1" }) end)
    end)
    assert.is_false(ok)
    assert.is_truthy(why:find("a graph of cuda:0 draws from a generator of cuda:1", 1, true), why)
    cuda.synchronize(1)
  end)

  it("drop other units in each step of a captured training", function()
    local function training(graphed)
      torch.manual_seed(5)
      local model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1)):cuda()
      local optimizer = torch.optim.SGD(model:parameters(), { lr = 0.05 })
      local x, y = torch.arange(24):float():view(4, 6):div(24):cuda(), torch.ones(4, 1):cuda()
      local losses, loss = {}, zeros(1)
      local function step()
        optimizer:zero_grad { set_to_none = true }
        local l = F.mse_loss(model(x), y)
        l:backward()
        optimizer:step()
        torch.no_grad(function() loss:copy_(l:detach():view(1)) end)
      end
      local g
      if graphed then g = captured(step) end
      for k = 1, 4 do
        if graphed then g:replay() else step() end
        losses[k] = loss:item()
      end
      return losses
    end
    local eager, replayed = training(false), training(true)
    assert.same(eager, replayed)
    assert.is_false(eager[1] == eager[2])
  end)

  it("fail whole: a replay that does not happen draws nothing", function()
    local control = require "spec.support.standin"
    if not control then return end -- a real runtime fails when it wants to
    local g, x = captured(function() return torch.rand(4, { device = "cuda" }) end)
    local failures = 0
    for n = 1, 6 do
      cuda.manual_seed(8)
      local state = cuda.get_rng_state()
      control.fail_at(n, false)
      local ok = pcall(g.replay, g)
      control.fail_at(0, false)
      if not ok then
        failures = failures + 1
        assert.is_true(state:equal(cuda.get_rng_state()), "call " .. n)
      end
    end
    assert.is_true(failures >= 2) -- the generator's numbers, and the graph
    cuda.manual_seed(8)
    g:replay()
    cuda.manual_seed(8)
    assert.is_true(x:equal(torch.rand(4, { device = "cuda" })))
  end)
end)
