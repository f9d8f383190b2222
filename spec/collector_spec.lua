-- Lua's collector and native memory: what dead tensors hold is given back in time, in both modes.
local torch = require "moontorch"

local MB = 2 ^ 20
local FLOATS = 262144 -- 1 MB

-- Native memory beyond what is held now, at its peak while f runs, in MB.
local function peak_of(f)
  collectgarbage()
  collectgarbage()
  local held = torch.memory().in_use
  torch.reset_peak_memory()
  f()
  return (torch.memory().peak - held) / MB
end

local function drop(x, count)
  for _ = 1, count do
    local y = x + 1 -- luacheck: ignore
  end
end

local function tables(count)
  local live = {}
  for i = 1, count do live[i] = {} end
  return live
end

for _, mode in ipairs { "incremental", "generational" } do
  describe("in " .. mode .. " mode", function()
    local before
    setup(function() before = collectgarbage(mode) end)
    teardown(function() collectgarbage(before) end)
    local x = torch.ones(FLOATS)

    it("keeps a loop of dropped results small", function()
      assert.is_true(peak_of(function() drop(x, 500) end) < 64)
    end)

    it("lets no more pile up beside a large Lua heap than the heap holds", function()
      local count = os.getenv("GCSTRESS") and 3000 or 300000
      local live = tables(count)
      local heap = collectgarbage("count") / 1024
      -- Beside a small heap an excess of 16 MB and an eighth is let be; then come the result that passes it and the
      -- next.
      assert.is_true(peak_of(function() drop(x, 300) end) < math.max(heap, 18) + 3)
      assert.equal(count, #live)
    end)

    -- A cycle takes time with the heap, so few small results must not make one. Minor collections take little.
    it("shares a complete cycle among thousands of small results", function()
      if os.getenv("GCSTRESS") or mode ~= "incremental" then return end
      local live, small, cycles, done = tables(30000), torch.ones(4), 0, false
      local function watch()
        setmetatable({}, { __gc = function()
          cycles = cycles + 1
          if not done then watch() end
        end })
      end
      collectgarbage()
      watch()
      drop(small, 20000)
      done = true
      assert.is_true(cycles <= 20000 / 2000 + 2, cycles .. " cycles")
      assert.equal(30000, #live)
    end)

    it("keeps a rolling window of live results small", function()
      local keep = {}
      for i = 1, 50 do keep[i] = x + 1 end
      local grown = peak_of(function()
        for i = 1, 500 do keep[i % 50 + 1] = x + 1 end
      end)
      assert.is_true(grown < 64)
      assert.equal(50, #keep)
    end)

    it("keeps the peak of a training loop flat", function()
      local w = torch.ones(256, 1024, { requires_grad = true })
      local function steps(count)
        for _ = 1, count do
          local loss = ((w * 2 + w) * w):sum()
          loss:backward()
          w.grad = nil
        end
      end
      steps(20)
      local first = peak_of(function() steps(100) end)
      local second = peak_of(function() steps(100) end)
      assert.is_true(first < 64)
      assert.is_true(second < first + 16)
    end)

    it("works in coroutines", function()
      local grown = peak_of(function()
        for _ = 1, 10 do coroutine.wrap(drop)(x, 50) end
      end)
      assert.is_true(grown < 64)
    end)
  end)
end

describe("the collector", function()
  it("is left alone while it is stopped", function()
    local x = torch.ones(FLOATS)
    collectgarbage()
    local held = torch.memory().in_use
    collectgarbage("stop")
    drop(x, 60)
    local grown = torch.memory().in_use - held
    collectgarbage("restart")
    if not os.getenv("GCSTRESS") then assert.is_true(grown >= 60 * MB) end
    collectgarbage()
    collectgarbage()
    assert.is_true(torch.memory().in_use < held + MB)
  end)

  it("is not entered from finalizers that make tensors", function()
    local x, runs = torch.ones(FLOATS), 0
    for _ = 1, 20 do
      setmetatable({}, { __gc = function()
        drop(x, 40)
        runs = runs + 1
      end })
    end
    collectgarbage()
    assert.equal(20, runs)
    collectgarbage()
    collectgarbage()
    assert.is_true(peak_of(function() drop(x, 100) end) < 64)
  end)

  it("is not driven by results that are closed", function()
    local x = torch.ones(FLOATS)
    local cycles = 0
    local again = {}
    again.__gc = function(o)
      cycles = cycles + 1
      setmetatable(o, again)
    end
    collectgarbage()
    setmetatable({}, again)
    collectgarbage("incremental")
    local grown = peak_of(function()
      cycles = 0
      for _ = 1, 200 do
        local y <close> = x + 1 -- luacheck: ignore
      end
    end)
    again.__gc = nil
    if not os.getenv("GCSTRESS") then assert.is_true(cycles <= 2) end
    assert.is_true(grown < 4)
  end)
end)
