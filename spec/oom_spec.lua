--- Out of memory wherever it can happen: each workload runs with native allocation k failing, for every k, once and
-- then for good. It ends well or in an ordinary Lua error that says so, leaves no native memory behind, and works
-- afterwards.
local torch = require "moontorch"
local workloads = require "spec.support.workloads"

-- A library that is loaded lazily keeps what it allocates when it is first used.
local function warm(run)
  run()
  return run()
end

local function settled()
  collectgarbage()
  collectgarbage()
  collectgarbage()
  return torch.memory().in_use
end

-- Runs with allocation k failing: the message of the error, or nil.
local function attempt(run, k, for_good, expected)
  torch._fail_at(k, for_good)
  local good, result = pcall(run)
  torch._fail_at(0, false)
  if good then
    if result == expected then return nil end
    error(("allocation %d failing: %s instead of %s"):format(k, tostring(result), tostring(expected)), 0)
  end
  if type(result) ~= "string" or not result:find("memory", 1, true) then
    error(("allocation %d failing %s raises: %s"):format(k, for_good and "for good" or "once", tostring(result)), 0)
  end
  return result
end

-- The allocation whose failure leaves memory behind, by looking after each.
local function first_leak(run, count, for_good, expected)
  for k = 1, count do
    local before = settled()
    attempt(run, k, for_good, expected)
    local left = settled() - before
    if left > 0 then return ("allocation %d failing leaves %d bytes"):format(k, left) end
  end
  return "memory is left behind"
end

describe("without memory", function()
  for _, workload in ipairs(workloads) do
    local name, run = workload[1], workload[2]
    it(name, function()
      local expected = warm(run)
      torch._allocations()
      assert.are.equal(expected, run())
      local count = torch._allocations()
      assert.is_true(count > 0)
      local refused = 0
      for _, for_good in ipairs { false, true } do
        local before = settled()
        for k = 1, count do
          if attempt(run, k, for_good, expected) then refused = refused + 1 end
        end
        if settled() > before then error(first_leak(run, count, for_good, expected), 0) end
      end
      assert.is_true(refused > 0, "no failing allocation was noticed")
      assert.are.equal(expected, run())
    end)
  end

  it("a cap that is reached is an error, and lifting it is enough", function()
    local before = settled()
    torch.set_memory_cap(torch.memory().in_use + (1 << 20))
    local ok, message = pcall(torch.zeros, 1 << 20)
    torch.set_memory_cap(0)
    assert.is_false(ok)
    assert.is_truthy(message:find("out of memory", 1, true), message)
    assert.are.equal(1 << 20, torch.zeros(1 << 20):numel())
    assert.is_true(settled() <= before)
  end)

  it("sizes that overflow are refused before anything is allocated", function()
    local before = settled()
    for _, size in ipairs { { 1 << 62 }, { 1 << 31, 1 << 31, 1 << 31 }, { 1 << 40, 1 << 20 } } do
      local ok, message = pcall(torch.zeros, size)
      assert.is_false(ok)
      assert.is_truthy(message:find("zeros", 1, true), message)
    end
    assert.are.equal(before, settled())
  end)
end)
