--- torch.utils.progress: works around any loop, writes to a terminal only.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local progress = torch.utils.progress
local refuses = near.refuses

-- A stand-in for a stream.
local function stream()
  local written = {}
  return {
    write = function(_, ...) written[#written + 1] = table.concat { ... } end,
    flush = function() end,
    text = function() return table.concat(written) end,
  }
end

describe("progress", function()
  it("passes on what the loop gives", function()
    local seen = {}
    for i, v in progress({ "a", "b" }) do seen[#seen + 1] = i .. v end
    assert.same({ "1a", "2b" }, seen)
    local sum = 0
    for i in progress(4) do sum = sum + i end
    assert.equal(10, sum)
    local left = 3
    for n in progress(function() left = left - 1; return left >= 0 and left or nil end) do sum = sum + n end
    assert.equal(13, sum)
    for i, row in progress(torch.arange(6):reshape(3, 2)) do sum = sum + i * row[1]:item() end
    assert.equal(13 + 2 * 2 + 3 * 4, sum)
    local data = torch.utils.data
    local loader = data.DataLoader(data.TensorDataset(torch.arange(4), torch.arange(4)), { batch_size = 2 })
    local batches = 0
    for x, y in progress(loader, { desc = "epoch 1" }) do
      assert.is_true(x:equal(y))
      batches = batches + 1
    end
    assert.equal(2, batches)
  end)

  it("draws description, share, count, rate and values, and ends its line", function()
    local out = stream()
    local bar = progress({ 1, 2, 3, 4 }, { desc = "epoch 1", file = out, enabled = true })
    for i in bar do bar:set { loss = torch.tensor(i / 8), note = "x" } end
    local text = out:text()
    assert.is_truthy(text:find("\repoch 1:   0%% |"))
    local last = text:match("\r([^\r]*)\27%[K\n$")
    assert.is_truthy(last)
    assert.is_truthy(last:find("epoch 1: 100% |", 1, true))
    assert.is_truthy(last:find("4/4 [", 1, true))
    assert.is_truthy(last:find("loss=0.5 note=x", 1, true))
    assert.is_truthy(last:find("█", 1, true))
    assert.is_truthy(last:find("/s]", 1, true))
  end)

  it("starts over in a second loop and can be ended after break", function()
    local out = stream()
    local bar = progress(3, { file = out, enabled = true })
    for i in bar do if i == 2 then break end end
    bar:close()
    bar:close()
    local _, lines = out:text():gsub("\n", "")
    assert.equal(1, lines)
    local n = 0
    for _ in bar do n = n + 1 end
    assert.equal(3, n)
    assert.equal(3, bar.count)
  end)

  it("counts without a bar where the total is unknown, or takes it", function()
    local function three()
      local left = 3
      return function() left = left - 1; return left >= 0 and left or nil end
    end
    local out = stream()
    for _ in progress(three(), { file = out, enabled = true }) do end
    assert.is_truthy(out:text():find("3 [00:00", 1, true))
    assert.is_falsy(out:text():find("%%"))
    out = stream()
    for _ in progress(three(), { file = out, enabled = true, total = 3 }) do end
    assert.is_truthy(out:text():find("3/3", 1, true))
  end)

  it("writes nothing where the output is no terminal", function()
    local out = stream()
    local bar = progress({ 1, 2 }, { file = out, enabled = false })
    for _ in bar do bar:set { a = 1 } end
    assert.equal("", out:text())
  end)

  it("keeps no graph alive", function()
    local bar = progress(1, { enabled = false })
    local loss = torch.ones(1):requires_grad_() * 2
    bar:set { loss = loss }
    assert.is_false(bar.values.loss.requires_grad)
  end)

  it("refuses what cannot be iterated, and unknown options", function()
    refuses(function() progress() end, "expected something to iterate over", "nil")
    refuses(function() progress("abc") end, "expected something to iterate over")
    refuses(function() progress(3, { description = "x" }) end, "unexpected keyword argument 'description'",
      "desc, total")
    refuses(function() progress(3, 4) end, "expected a table of options")
    refuses(function() progress(3):set(4) end, "expected a table of names and values")
  end)
end)
