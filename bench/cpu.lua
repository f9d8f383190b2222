--- `make bench`: what this processor can do, by the compiled bench/machine.c, and what is measured besides workloads.
local torch = require "moontorch"
local report = require "report"
local rivals = require "rival"
local rows = require "rows"
local quoted, output, median = rivals.quoted, rivals.output, report.median

local FLOATS = 1 << 24 -- in each array that the machine's bandwidth is measured with
local FEW, MOST = 5, 15 -- passes beside a row; fresh processes
local cpu = { name = "bench", rival = "cpu", rows = rows.cpu(), by_threads = true }

--- Thread counts that each row is timed with: one, and all.
cpu.threads = { 1, torch.get_num_threads() > 1 and torch.get_num_threads() or nil }

--- Limits for that many threads: f32, f64 in operations, read, fill, copy, add in bytes a second; `sets` for the text.
-- Of the figures named, in a few passes; of all without names.
function cpu.limits(threads, figures)
  report.say("measuring the machine, %d thread%s", threads, threads == 1 and "" or "s")
  local m = { threads = threads, f32 = 0, f64 = 0, sets = {} }
  local few = figures and ("%d %d %s"):format(FLOATS, FEW, table.concat(figures, " ")) or ""
  for line in output(("%s %d %s"):format(quoted(cpu.machine), threads, few)):gmatch("[^\n]+") do
    local set, kind, flops = line:match("^fma (%S+) (%S+) (%d+)$")
    if set then
      m[kind] = math.max(m[kind], tonumber(flops))
      if kind == "f32" then m.sets[#m.sets + 1] = ("%s %.0f"):format(set, tonumber(flops) / 1e9) end
    else
      local name, bytes = line:match("^(%S+) (%d+)$")
      m[name] = tonumber(bytes)
    end
  end
  return m
end

--- What those of all figures are, as a text.
function cpu.describe(m)
  local text = "%d thread%s: float32 GFLOP/s %s; float64 %.0f; GB/s read %.1f, fill %.1f, copy %.1f, add %.1f"
  return text:format(m.threads, m.threads == 1 and "" or "s", table.concat(m.sets, ", "), m.f64 / 1e9, m.read / 1e9,
    m.fill / 1e9, m.copy / 1e9, m.add / 1e9)
end

--- Seconds that one repeat takes.
function cpu.seconds(run, repeats)
  local begin = torch.clock()
  run(repeats)
  return (torch.clock() - begin) / repeats
end

--- Frees what the row before left; the other side does so too.
function cpu.settle() collectgarbage() end

-- What is no workload -------------------------------------------------------------------------------------------------

local lua = "lua" -- this interpreter, as it was called
for i = -1, -100, -1 do
  if not arg[i] then break end
  lua = arg[i]
end

local extra = {}
local function limit_row(title, unit, ours, limit, target)
  extra[#extra + 1] = { title = title, unit = unit, ours = ours, target = target, met = ours < limit }
end

local function collector(mode, tables, limit)
  local peaks, left, closed = {}, {}, {}
  for round = 1, 3 do
    report.say("collector, %s, %d live tables: round %d of 3", mode, tables, round)
    local answer = output(("%s %s %s %d"):format(quoted(lua), quoted(cpu.here .. "/collector.lua"), mode, tables))
    local a, b, c = answer:match("(%S+)%s+(%S+)%s+(%S+)")
    peaks[round], left[round], closed[round] = tonumber(a), tonumber(b), tonumber(c)
  end
  local what = ("8,000 x 1 MB, %s, %s"):format(mode, tables == 0 and "empty heap" or "1M tables")
  limit_row(what .. ": peak", "B", median(peaks), limit * 2 ^ 20, ("< %d MB"):format(limit))
  local with, without = median(closed), median(left)
  local r = { title = what .. ": time", unit = "s", ours = without }
  r.target = (tables == 0 and "<= 2 of %s closed" or "beside %s closed"):format(report.time_text(with))
  if tables == 0 then r.met = without <= 2 * with end
  extra[#extra + 1] = r
end

-- Loading, in fresh processes.
local function loading()
  local script = [[
    local function resident()
      local f = io.open("/proc/self/statm")
      if not f then return 0 end
      local _, pages = f:read("n", "n")
      f:close()
      return pages * 4096
    end
    local before, begin = resident(), os.clock()
    require "moontorch"
    local took = os.clock() - begin
    print(took, resident() - before)]]
  local took, grown = {}, {}
  for round = 1, MOST do
    report.say("require: round %d of %d", round, MOST)
    local a, b = output(("%s -e %s"):format(quoted(lua), quoted(script))):match("(%S+)%s+(%S+)")
    took[round], grown[round] = tonumber(a), tonumber(b)
  end
  limit_row('require "moontorch": time', "s", median(took), 0.005, "< 5 ms")
  if median(grown) > 0 then limit_row('require "moontorch": memory', "B", median(grown), 8 * 2 ^ 20, "< 8 MB") end
end

local function size_of_object()
  local path = package.searchpath("moontorch.core", package.cpath)
  local copy = os.tmpname()
  local command = "cp %s %s && strip %s 2>/dev/null"
  local stripped = path and os.execute(command:format(quoted(path), quoted(copy), quoted(copy)))
  local f = io.open(copy, "rb")
  local bytes = f and f:seek("end")
  if f then f:close() end
  os.remove(copy)
  if stripped then limit_row("shared object, stripped", "B", bytes, 2.5 * 2 ^ 20, "< 2.5 MB") end
end

--- The rows that are no workload.
function cpu.others(wanted)
  if wanted("memory") then
    for _, tables in ipairs { 0, 1000000 } do
      for _, mode in ipairs { "incremental", "generational" } do collector(mode, tables, tables == 0 and 64 or 192) end
    end
  end
  if wanted("loading") then
    loading()
    size_of_object()
  end
  return extra
end

return cpu
