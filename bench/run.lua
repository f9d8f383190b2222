--- The benchmarks: lua bench/run.lua cpu MACHINE, where MACHINE is the compiled bench/machine.c (`make bench`), or
-- lua bench/run.lua cuda (`make bench-cuda`).
--
-- First what the machine can do; then every row of rows.lua here and in PyTorch, rounds alternating, medians. A row's
-- floor is the time that its operations and its memory traffic need at the limits measured just before and just after
-- its rounds, the better of the two, since they wander; "ours" and "PyTorch's" are floor over time. PyTorch is what
-- $PYTHON (python3) imports; without it its columns stay empty. $ONLY runs the rows whose group or title holds that
-- text, $BENCH_JSON names a file for the figures. A row that fails is told, and then the exit status is 1. BENCH_TINY=1
-- only sees that rows run: once, on a GPU with sizes that need no time.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local torch = require "moontorch"
local rivals = require "rival"
local report = require "report"
local workloads = require "workloads"
local on = require(arg[1] == "cuda" and "cuda" or "cpu")

local python = os.getenv("PYTHON") or "python3"
local only = os.getenv("ONLY")
-- A workload is measured in at least and at most so many rounds, and for about so many seconds on our side.
local FEWEST, MOST, SECONDS = 5, 15, 1.5
local LEAST_ROUND = 0.01 -- seconds, or one repeat
if report.tiny then FEWEST, MOST, SECONDS, LEAST_ROUND = 1, 1, 0, 0 end
local median, say = report.median, report.say
local rows = {}
local rival

-- How often the work is repeated in a round, which grows with how short it is.
local function repeats_of(w, run)
  local repeats = w.host and on.most_launches or 1
  if w.host then return repeats end
  while repeats < 1 << 24 and on.seconds(run, repeats) * repeats < LEAST_ROUND do repeats = repeats * 2 end
  return repeats
end

-- Medians of both sides; the rival's is nil without one, and with what it says when it fails.
local function compare(w, threads)
  torch.set_num_threads(threads)
  torch.manual_seed(1)
  on.settle()
  workloads.configure(w.options)
  local run = workloads.make[w.key](table.unpack(w.args))
  if not w.loops then run = workloads.repeated(run) end
  run(1)
  local repeats = repeats_of(w, run)
  local rounds = math.max(FEWEST, math.min(MOST, SECONDS // (on.seconds(run, repeats, w.host) * repeats)))
  local ours, theirs, problem = {}, {}, nil
  local clock, their_repeats = w.host and "host" or "device", w.host and repeats or math.max(1, repeats // 2)
  for round = 1, rounds do
    say("%s: round %d of %d", report.name(w.title, on.by_threads and threads), round, rounds)
    run(1) -- the caches are the other side's; it does so too
    ours[round] = on.seconds(run, repeats, w.host)
    if rival and not problem then
      theirs[round], problem = rival.seconds(w, clock, threads, their_repeats)
      if theirs[round] then problem = nil end
    end
  end
  return median(ours), not problem and #theirs == rounds and median(theirs) or nil, problem
end

-- The limits that a row is held against.
local function figures_of(w)
  local figures = {}
  if w.flops then figures[1] = w.peak or "f32" end
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

-- What is asked of a row, as a text, and whether it is met (nil: nothing is asked, or there is no rival).
local function judge(w, r)
  local least = w.least or (r.threads or 1) > 1 and w.least_all
  local asked, met = {}, nil
  if least then
    asked[1], met = (">= %.0f %% of the limit"):format(100 * least), r.share >= least
  end
  if w.most then
    asked[#asked + 1] = ("<= %.2f of PyTorch"):format(w.most)
    if r.ratio then met = met ~= false and 1 / r.ratio <= w.most end
  end
  return #asked > 0 and table.concat(asked, ", ") or nil, met
end

local function time_row(w, threads)
  local figures = figures_of(w)
  local r = { title = w.title, threads = on.by_threads and threads or nil, unit = "s" }
  rows[#rows + 1] = r
  local good, why = pcall(function()
    local before = #figures > 0 and on.limits(threads, figures) or nil
    r.ours, r.theirs, r.their_problem = compare(w, threads)
    if before then r.floor = floor_of(w, before, on.limits(threads, figures)) end
  end)
  if not good then
    r.problem, r.met = tostring(why), false
    return
  end
  r.ratio = r.theirs and r.theirs / r.ours
  r.share = r.floor and r.floor / r.ours
  r.their_share = r.floor and r.theirs and r.floor / r.theirs
  if w.items then r.rate = ("%.0f %s/s"):format(w.items[1] / r.ours, w.items[2]) end
  r.target, r.met = judge(w, r)
end

local function wanted(...)
  if not only or only == "" then return true end
  for _, text in ipairs { ... } do
    if text:find(only, 1, true) then return true end
  end
  return false
end

local function main()
  if on.missing then
    print(on.name .. ": skipped, " .. on.missing)
    return true
  end
  say("looking for PyTorch")
  rival = rivals.start(python, here .. "/torch_side.py", on.rival)
  on.here, on.machine, on.other = here, arg[2], rival
  local machine = {}
  for k, threads in ipairs(on.threads) do machine[k] = on.limits(threads) end
  for _, w in ipairs(on.rows) do
    if wanted(w.group, w.title) then
      for k, threads in ipairs(on.threads) do
        if k == 1 or w.threads ~= "one" then time_row(w, threads) end
      end
    end
  end
  if on.others then table.move(on.others(wanted), 1, 1000, #rows + 1, rows) end
  say("")
  local threads = on.threads[#on.threads]
  print(("%s; PyTorch: %s"):format(report.name(_VERSION, on.by_threads and threads),
    rival and rival.version or "not found by " .. python))
  if on.machine_text then print(on.machine_text()) end
  for _, m in ipairs(machine) do print(on.describe(m)) end
  print()
  local good = report.show(rows)
  print("limits: measured before and after each row, the better counts; those above: once, at the start")
  local path = os.getenv("BENCH_JSON")
  if path and path ~= "" then report.write_json(path, machine, rows) end
  return good
end

if not main() then os.exit(1) end
