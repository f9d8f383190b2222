--- Mistakes in data and training loops, made on purpose: see support/pitfalls.lua.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local pitfalls = dofile(here .. "/../support/pitfalls.lua")
local mistake, right, warns, train_step = pitfalls.mistake, pitfalls.right, pitfalls.warns, pitfalls.train_step
local nn, F, optim, data = torch.nn, torch.nn.functional, torch.optim, torch.utils.data

describe("training loops", function()
  it("31 workers do not draw the same numbers, epoch by epoch, math.random's too", function()
    local Noise = data.Dataset:class("Noise")
    function Noise:len() return 4 end
    function Noise:get() return { torch.rand(1), math.random() } end
    local function epochs(seed)
      torch.manual_seed(seed)
      local loader = data.DataLoader(Noise(), { batch_size = 1, num_workers = 2 })
      local drawn = {}
      for _ = 1, 2 do
        for a, b in loader:iter() do
          drawn[#drawn + 1] = a:item()
          drawn[#drawn + 1] = b:item()
        end
      end
      return drawn
    end
    local first = right(function() return epochs(1) end)
    local seen = {}
    for _, v in ipairs(first) do
      assert.is_nil(seen[v])
      seen[v] = true
    end
    assert.equal(16, #first)
    assert.same(first, epochs(1))
    assert.not_same(first, epochs(2))
  end)

  it("32 a scheduler stepped before the optimiser warns", function()
    local net = nn.Linear(1, 1)
    local function loop(scheduler_first)
      local optimizer = optim.SGD(net:parameters(), { lr = 0.1 })
      local scheduler = optim.lr_scheduler.StepLR(optimizer, { step_size = 1 })
      for _ = 1, 3 do
        if scheduler_first then scheduler:step() end
        train_step(net, optimizer, torch.ones(1, 1))
        if not scheduler_first then scheduler:step() end
      end
    end
    warns(function() loop(true) end, "Detected call of `lr_scheduler.step()` before `optimizer.step()`",
      "optimizer:step() before scheduler:step()")
    right(function() return loop(false) end)
  end)

  it("34 samples of different shapes name the samples, the field and a collate function", function()
    local function load(samples, collate)
      local batch
      for x in data.DataLoader(samples, { batch_size = 2, collate_fn = collate }):iter() do batch = x end
      return batch
    end
    mistake(function() load { { torch.ones(2), 1 }, { torch.ones(3), 2 } } end,
      "stack expects each tensor to be equal size, but got [2] at entry 1 and [3] at entry 2 (samples 1 and 2)",
      "field 1", "collate_fn")
    mistake(function() load { { x = torch.ones(2) }, { x = torch.ones(3) } } end, "field x", "samples 1 and 2",
      "collate_fn")
    mistake(function() load { { { 1, 2 }, 1 }, { { 1, 2, 3 }, 2 } } end, "sample 1 has 2 and sample 2 has 3", "field 1")
    local padded = right(function()
      return load({ { torch.ones(2) }, { torch.ones(3) } }, function(samples)
        local rows = {}
        for i, sample in ipairs(samples) do rows[i] = F.pad(sample[1], { 0, 3 - sample[1]:size(1) }) end
        return torch.stack(rows)
      end)
    end)
    assert.same({ { 1, 1, 0 }, { 1, 1, 1 } }, padded:tolist())
  end)
end)
