--- The benchmark: lua bench/run.lua MACHINE, where MACHINE is the compiled bench/machine.c (`make bench` makes it).
--
-- First what the machine can do, for one thread and for all; then every workload of workloads.lua here and in PyTorch,
-- rounds alternating, medians. A row's floor is the time that its operations and its memory traffic need at the limits
-- measured just before and just after its rounds, the better of the two, since they wander; "ours" and "PyTorch's" are
-- floor over time. PyTorch is what $PYTHON (python3) imports; without it its columns
-- stay empty. $ONLY runs the rows whose group or title holds that text, $BENCH_JSON names a file for the figures.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local torch = require "moontorch"
local rivals = require "rival"
local report = require "report"
local workloads = require "workloads"

local machine_program = arg[1]
local python = os.getenv("PYTHON") or "python3"
local only = os.getenv("ONLY")
local all_threads = torch.get_num_threads()
-- A workload is measured in at least and at most so many rounds, and for about so many seconds on our side.
local FEWEST, MOST, SECONDS = 5, 15, 1.5
local FLOATS = 1 << 24 -- in each array that the machine's bandwidth is measured with
local quoted, output = rivals.quoted, rivals.output

-- This interpreter, as it was called.
local lua = "lua"
for i = -1, -100, -1 do
  if not arg[i] then break end
  lua = arg[i]
end

local function median(values)
  table.sort(values)
  return values[(#values + 1) // 2]
end

local talks = torch.isatty(2)
local function say(format, ...)
  if talks then io.stderr:write("\r\27[K", format:format(...)) end
end

local rows = {}
local rival

-- The machine ---------------------------------------------------------------------------------------------------------

-- Limits for that many threads: f32, f64 in operations, read, fill, copy, add in bytes a second; `sets` for the text.
-- Of the figures named, in a few passes; of all without names.
local function measure_machine(threads, figures)
  say("measuring the machine, %d thread%s", threads, threads == 1 and "" or "s")
  local m = { threads = threads, f32 = 0, f64 = 0, sets = {} }
  local few = figures and ("%d %d %s"):format(FLOATS, FEWEST, table.concat(figures, " ")) or ""
  for line in output(("%s %d %s"):format(quoted(machine_program), threads, few)):gmatch("[^\n]+") do
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

local function describe(m)
  local text = "%d thread%s: float32 GFLOP/s %s; float64 %.0f; GB/s read %.1f, fill %.1f, copy %.1f, add %.1f"
  print(text:format(m.threads, m.threads == 1 and "" or "s", table.concat(m.sets, ", "), m.f64 / 1e9, m.read / 1e9,
    m.fill / 1e9, m.copy / 1e9, m.add / 1e9))
end

-- Workloads -----------------------------------------------------------------------------------------------------------

-- A function of the repeats that frees each result at once.
local function repeated(once)
  return function(repeats)
    for _ = 1, repeats do
      local result <close> = once() -- luacheck: ignore
    end
  end
end

local function seconds(run, repeats)
  local begin = torch.clock()
  run(repeats)
  return (torch.clock() - begin) / repeats
end

-- Medians of both sides; the rival's is nil without one. A round of ours takes 10 ms or one repeat.
local function compare(w, threads)
  torch.set_num_threads(threads)
  torch.manual_seed(1)
  collectgarbage() -- what the row before left; the other side does so too
  local run = workloads.make[w.key](table.unpack(w.args))
  if not w.loops then run = repeated(run) end
  run(1)
  local repeats = 1
  while seconds(run, repeats) * repeats < 0.01 do repeats = repeats * 2 end
  local rounds = math.max(FEWEST, math.min(MOST, SECONDS // (seconds(run, repeats) * repeats)))
  local ours, theirs = {}, {}
  for round = 1, rounds do
    say("%s, %d thread%s: round %d of %d", w.title, threads, threads == 1 and "" or "s", round, rounds)
    run(1) -- the caches are the other side's; it does so too
    ours[round] = seconds(run, repeats)
    theirs[round] = rival and rival.seconds(w.key, w.args, threads, math.max(1, repeats // 2))
  end
  return median(ours), #theirs == rounds and median(theirs) or nil
end

-- The limits that a row is held against.
local function figures_of(w)
  local figures = {}
  if w.flops then figures[1] = w.f64 and "f64" or "f32" end
  if w.bytes then figures[#figures + 1] = w.stream end
  return figures
end

-- The least time that a row can take on a machine that did as well as it does in one of two measurements, or nil.
local function floor_of(w, before, after)
  local floor
  for k, figure in ipairs(figures_of(w)) do
    local work = k == 1 and w.flops or w.bytes
    floor = math.max(floor or 0, work / math.max(before[figure], after[figure]))
  end
  return floor
end

local function time_row(w, threads)
  local figures = figures_of(w)
  local r = { title = w.title, threads = threads, unit = "s" }
  local before = #figures > 0 and measure_machine(threads, figures)
  r.ours, r.theirs = compare(w, threads)
  r.floor = before and floor_of(w, before, measure_machine(threads, figures))
  r.ratio = r.theirs and r.theirs / r.ours
  r.share = r.floor and r.floor / r.ours
  r.their_share = r.floor and r.theirs and r.floor / r.theirs
  local least = w.least or threads > 1 and w.least_all
  if least then
    r.target, r.met = (">= %.0f %% of the limit"):format(100 * least), r.share >= least
  elseif w.most then
    r.target, r.met = ("<= %.2f of PyTorch"):format(w.most), r.ratio and 1 / r.ratio <= w.most
  end
  rows[#rows + 1] = r
end

local function wanted(...)
  if not only or only == "" then return true end
  for _, text in ipairs { ... } do
    if text:find(only, 1, true) then return true end
  end
  return false
end

-- What is no workload -------------------------------------------------------------------------------------------------

local function limit_row(title, unit, ours, limit, target)
  rows[#rows + 1] = { title = title, unit = unit, ours = ours, target = target, met = ours < limit }
end

local function collector(mode, tables, limit)
  local peaks, left, closed = {}, {}, {}
  for round = 1, 3 do
    say("collector, %s, %d live tables: round %d of 3", mode, tables, round)
    local answer = output(("%s %s %s %d"):format(quoted(lua), quoted(here .. "/collector.lua"), mode, tables))
    local a, b, c = answer:match("(%S+)%s+(%S+)%s+(%S+)")
    peaks[round], left[round], closed[round] = tonumber(a), tonumber(b), tonumber(c)
  end
  local what = ("8,000 x 1 MB, %s, %s"):format(mode, tables == 0 and "empty heap" or "1M tables")
  limit_row(what .. ": peak", "B", median(peaks), limit * 2 ^ 20, ("< %d MB"):format(limit))
  local with, without = median(closed), median(left)
  local r = { title = what .. ": time", unit = "s", ours = without }
  r.target = (tables == 0 and "<= 2 of %s closed" or "beside %s closed"):format(report.time_text(with))
  if tables == 0 then r.met = without <= 2 * with end
  rows[#rows + 1] = r
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
    say("require: round %d of %d", round, MOST)
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

local function main()
  say("looking for PyTorch")
  rival = rivals.start(python, here .. "/torch_side.py")
  local machine = { measure_machine(1) }
  if all_threads > 1 then machine[2] = measure_machine(all_threads) end
  for _, w in ipairs(workloads.rows) do
    if wanted(w.group, w.title) then
      for k, m in ipairs(machine) do
        if k == 1 or w.threads ~= "one" then time_row(w, m.threads) end
      end
    end
  end
  if wanted("memory") then
    for _, tables in ipairs { 0, 1000000 } do
      for _, mode in ipairs { "incremental", "generational" } do collector(mode, tables, tables == 0 and 64 or 192) end
    end
  end
  if wanted("loading") then
    loading()
    size_of_object()
  end
  say("")
  print(("%s, %d thread%s; PyTorch: %s"):format(_VERSION, all_threads, all_threads == 1 and "" or "s",
    rival and rival.version or "not found by " .. python))
  for _, m in ipairs(machine) do describe(m) end
  print()
  report.show(rows)
  print("limits: measured before and after each row, the better counts; those above: once, at the start")
  local path = os.getenv("BENCH_JSON")
  if path and path ~= "" then report.write_json(path, machine, rows) end
end

main()
