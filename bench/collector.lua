--- One collector line of bench/run.lua, in a process of its own: lua collector.lua MODE LIVE_TABLES
--
-- Drops 8,000 results of 1 MB in a loop, first left to the collector, then closed by <close>, and prints the peak of
-- native memory in bytes of the first loop and the seconds that a result took in each.
local torch = require "moontorch"

local mode, tables = arg[1], math.tointeger(arg[2])
local RESULTS, FLOATS = 8000, 262144 -- 1 MB each

torch.set_num_threads(1)
collectgarbage(mode)
local live = {}
for i = 1, tables do live[i] = {} end
local x = torch.ones(FLOATS)

local function dropped(count)
  for _ = 1, count do
    local y = x + 1 -- luacheck: ignore
  end
end

local function closed(count)
  for _ = 1, count do
    local y <close> = x + 1 -- luacheck: ignore
  end
end

local function seconds(f)
  local begin = torch.clock()
  f(RESULTS)
  return (torch.clock() - begin) / RESULTS
end

-- Without x itself: what the loop's results hold.
collectgarbage()
local held = torch.memory().in_use
torch.reset_peak_memory()
local left = seconds(dropped)
local peak = torch.memory().peak - held
collectgarbage()
print(peak, left, seconds(closed), collectgarbage("count") * 1024, #live)
