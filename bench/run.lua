--- The benchmark: lua bench/run.lua STREAM, where STREAM is the compiled bench/stream.c (`make bench` makes it).
--
-- One table, all in one run: each workload, how we do, how PyTorch does, the ratio, the target, whether it is met.
-- Ours and PyTorch's rounds alternate and medians are shown, so that a busy machine is busy for both. PyTorch is what
-- $PYTHON (python3) imports; without it those columns stay empty. $BENCH_JSON names a file for the figures.
local torch = require "moontorch"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local stream = arg[1]
local python = os.getenv("PYTHON") or "python3"
local all_threads = torch.get_num_threads()
local ROUNDS = 15

local function quoted(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

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

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  pipe:close()
  return text
end

-- Progress, on a terminal only --------------------------------------------------------------------------------------

local talks = torch.isatty(2)
local function say(text)
  if talks then io.stderr:write("\r\27[K", text) end
end

-- The rival: a process that answers through a pipe ------------------------------------------------------------------

local rival

local function start_rival()
  if lines_of(quoted(python) .. " -c 'import torch; print(1)' 2>/dev/null") ~= "1\n" then return end
  local name = os.tmpname()
  os.remove(name)
  if not os.execute("mkfifo " .. quoted(name)) then return end
  rival = { name = name }
  local script = quoted(here .. "/torch_side.py")
  rival.answers = io.popen(("exec %s %s %s 2>/dev/null"):format(quoted(python), script, quoted(name)))
  rival.version = rival.answers:read("l")
  rival.orders = rival.version and io.open(name, "w")
  os.remove(name)
  if not rival.orders then rival = nil end
end

local function rival_seconds(workload, threads, repeats)
  rival.orders:write(workload, " ", threads, " ", repeats, "\n")
  rival.orders:flush()
  return tonumber(rival.answers:read("l"))
end

-- Our side ----------------------------------------------------------------------------------------------------------

local function trainer(sizes, batch)
  local nn = torch.nn
  local layers = {}
  for k = 1, #sizes - 1 do
    layers[#layers + 1] = nn.Linear(sizes[k], sizes[k + 1])
    if k < #sizes - 1 then layers[#layers + 1] = nn.ReLU() end
  end
  local model, criterion = nn.Sequential(table.unpack(layers)), nn.CrossEntropyLoss()
  local optimizer = torch.optim.Adam(model:parameters())
  local x, y = torch.randn(batch, sizes[1]), torch.randint(1, sizes[#sizes] + 1, { batch })
  return function(repeats)
    for _ = 1, repeats do
      optimizer:zero_grad()
      criterion(model(x), y):backward()
      optimizer:step()
    end
  end
end

local workloads = {}

function workloads.add4()
  local a, b = torch.ones(4), torch.ones(4)
  return function(repeats)
    for _ = 1, repeats do
      local c = a + b -- luacheck: ignore
    end
  end
end

function workloads.recorded()
  local x, b = torch.ones(4, { requires_grad = true }), torch.ones(4)
  return function(repeats)
    for _ = 1, repeats do (x + b):sum():backward() end
  end
end

function workloads.mlp() return trainer({ 32, 64, 64, 8 }, 16) end
function workloads.mnist() return trainer({ 784, 256, 128, 10 }, 64) end

local function attention(...)
  local shape, inputs = { ... }, {}
  for k = 1, 3 do inputs[k] = torch.randn(shape):requires_grad_() end
  local gradient = torch.randn(shape)
  return function(repeats)
    for _ = 1, repeats do
      local y = torch.nn.functional.scaled_dot_product_attention(inputs[1], inputs[2], inputs[3], { is_causal = true })
      torch.autograd.grad(y, inputs, gradient)
    end
  end
end
function workloads.attention_short() return attention(32, 4, 64, 32) end
function workloads.attention_long() return attention(4, 8, 256, 64) end

function workloads.add16m()
  local a, b = torch.ones(1 << 24), torch.ones(1 << 24)
  return function(repeats)
    for _ = 1, repeats do
      local c <close> = a + b -- luacheck: ignore
    end
  end
end

local function seconds(run, repeats)
  local begin = torch.clock()
  run(repeats)
  return (torch.clock() - begin) / repeats
end

-- Medians of both sides; the rival's is nil without one. Repeats are such that a round of ours takes 10 to 20 ms.
local function compare(name, threads)
  torch.set_num_threads(threads)
  local run = workloads[name]()
  run(1)
  local repeats = 1
  while seconds(run, repeats) * repeats < 0.01 do repeats = repeats * 2 end
  local ours, theirs = {}, {}
  for round = 1, ROUNDS do
    say(("%s, %d thread%s: round %d of %d"):format(name, threads, threads == 1 and "" or "s", round, ROUNDS))
    ours[round] = seconds(run, repeats)
    if rival then theirs[round] = rival_seconds(name, threads, math.max(1, repeats // 4)) end
  end
  return median(ours), rival and median(theirs)
end

-- The table ---------------------------------------------------------------------------------------------------------

local rows = {}

-- ours and pytorch are numbers in `unit`. What the target asks: a ratio of at most `most` or at least `least`, or ours
-- below `limit`.
local function row(r)
  if r.ratio then
    r.met = (not r.most or r.ratio <= r.most) and (not r.least or r.ratio >= r.least)
  elseif r.limit then
    r.met = r.ours < r.limit
  end
  rows[#rows + 1] = r
end

local function time_text(s)
  if s < 1e-6 then return ("%.0f ns"):format(s * 1e9) end
  if s < 1e-3 then return ("%.1f us"):format(s * 1e6) end
  return ("%.2f ms"):format(s * 1e3)
end
local units = {
  s = time_text,
  ["B/s"] = function(v) return ("%.1f GB/s"):format(v / 1e9) end,
  B = function(v) return ("%.2f MB"):format(v / 2 ^ 20) end,
}

local function against_pytorch(title, name, threads, most)
  local ours, theirs = compare(name, threads)
  row { workload = title, threads = threads, unit = "s", ours = ours, pytorch = theirs,
    ratio = theirs and ours / theirs, most = most, target = ("<= %.2f of PyTorch"):format(most) }
end

-- Our bandwidth against what a loop in C reaches, in alternating rounds.
local function bandwidth(threads)
  local bytes = 3 * 4 * (1 << 24)
  local ours, theirs, machine = {}, {}, {}
  torch.set_num_threads(threads)
  local run = workloads.add16m()
  run(3)
  for round = 1, 7 do
    say(("add16m, %d thread%s: round %d of 7"):format(threads, threads == 1 and "" or "s", round))
    if stream then machine[round] = tonumber(lines_of(("%s %d %d"):format(quoted(stream), threads, 1 << 24))) end
    local passes = {}
    run(1) -- as stream does before it measures
    for k = 1, 15 do passes[k] = bytes / seconds(run, 1) end
    ours[round] = median(passes)
    if rival then theirs[round] = bytes / rival_seconds("add16m", threads, 5) end
  end
  local c = stream and median(machine)
  row { workload = "add of 16M floats", threads = threads, unit = "B/s", ours = median(ours),
    pytorch = rival and median(theirs), ratio = c and median(ours) / c, least = 0.85,
    target = c and (">= 0.85 of %.1f GB/s"):format(c / 1e9) or ">= 0.85 of the machine" }
end

local function collector(mode, tables, limit)
  local peaks, left, closed = {}, {}, {}
  for round = 1, 3 do
    say(("collector, %s, %d live tables: round %d of 3"):format(mode, tables, round))
    local answer = lines_of(("%s %s %s %d"):format(quoted(lua), quoted(here .. "/collector.lua"), mode, tables))
    local a, b, c = answer:match("(%S+)%s+(%S+)%s+(%S+)")
    peaks[round], left[round], closed[round] = tonumber(a), tonumber(b), tonumber(c)
  end
  local what = ("8,000 x 1 MB, %s, %s"):format(mode, tables == 0 and "empty heap" or "1M live tables")
  row { workload = what .. ": peak", threads = 1, unit = "B", ours = median(peaks), limit = limit * 2 ^ 20,
    target = ("< %d MB"):format(limit) }
  local with, without = median(closed), median(left)
  row { workload = what .. ": time", threads = 1, unit = "s", ours = without, ratio = without / with,
    most = tables == 0 and 2 or nil,
    target = (tables == 0 and "<= 2 of %s with <close>" or "beside %s with <close>"):format(time_text(with)) }
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
  for round = 1, ROUNDS do
    say(("require: round %d of %d"):format(round, ROUNDS))
    local a, b = lines_of(("%s -e %s"):format(quoted(lua), quoted(script))):match("(%S+)%s+(%S+)")
    took[round], grown[round] = tonumber(a), tonumber(b)
  end
  local title = 'require "moontorch": '
  row { workload = title .. "time", unit = "s", ours = median(took), limit = 0.010, target = "< 10 ms" }
  if median(grown) == 0 then return end
  row { workload = title .. "memory", unit = "B", ours = median(grown), limit = 10 * 2 ^ 20, target = "< 10 MB" }
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
  if stripped then
    row { workload = "shared object, stripped", unit = "B", ours = bytes, limit = 2.5 * 2 ^ 20, target = "< 2.5 MB" }
  end
end

local function show()
  local columns = { { "workload", 48 }, { "threads", 7 }, { "ours", 9 }, { "PyTorch", 9 }, { "ratio", 5 },
    { "target", 29 }, { "met", 3 } }
  local function print_line(cells)
    local out = {}
    for k, c in ipairs(columns) do out[k] = ((k == 1 or k == 6) and "%-" or "%") .. c[2] .. "s" end
    print((table.concat(out, "  "):format(table.unpack(cells)):gsub("%s+$", "")))
  end
  local heads, rules = {}, {}
  for k, c in ipairs(columns) do heads[k], rules[k] = c[1], ("-"):rep(c[2]) end
  print_line(heads)
  print_line(rules)
  for _, r in ipairs(rows) do
    local text = units[r.unit]
    print_line { r.workload, r.threads or "", text(r.ours), r.pytorch and text(r.pytorch) or "",
      r.ratio and ("%.2f"):format(r.ratio) or "", r.target or "", r.met == nil and "" or r.met and "yes" or "NO" }
  end
end

local function write_json(path)
  local function value(v)
    if type(v) == "string" then return '"' .. v:gsub('[\\"]', "\\%0") .. '"' end
    return type(v) == "number" and ("%.9g"):format(v) or tostring(v)
  end
  local out = {}
  for i, r in ipairs(rows) do
    local fields = {}
    for _, key in ipairs { "workload", "threads", "unit", "ours", "pytorch", "ratio", "target", "met" } do
      if r[key] ~= nil then fields[#fields + 1] = ('"%s": %s'):format(key, value(r[key])) end
    end
    out[i] = "  {" .. table.concat(fields, ", ") .. "}"
  end
  local f = assert(io.open(path, "w"))
  f:write("[\n", table.concat(out, ",\n"), "\n]\n")
  assert(f:close())
end

say("looking for PyTorch")
start_rival()
against_pytorch("add of 4 elements", "add4", 1, 0.3)
against_pytorch("add, sum and backward of 4 elements", "recorded", 1, 0.25)
against_pytorch("training step 32-64-64-8, batch 16, Adam", "mlp", 1, 0.25)
against_pytorch("training step 784-256-128-10, batch 64, Adam", "mnist", 1, 1)
if all_threads > 1 then against_pytorch("training step 784-256-128-10, batch 64, Adam", "mnist", all_threads, 1) end
for _, threads in ipairs(all_threads > 1 and { 1, all_threads } or { 1 }) do
  against_pytorch("causal attention 32x4x64x32 and gradients", "attention_short", threads, 1)
  against_pytorch("causal attention 4x8x256x64 and gradients", "attention_long", threads, 1)
end
bandwidth(1)
if all_threads > 1 then bandwidth(all_threads) end
for _, tables in ipairs { 0, 1000000 } do
  for _, mode in ipairs { "incremental", "generational" } do collector(mode, tables, tables == 0 and 64 or 192) end
end
loading()
size_of_object()
say("")

print(("%s, %d thread%s; PyTorch: %s"):format(_VERSION, all_threads, all_threads == 1 and "" or "s",
  rival and rival.version or "not found by " .. python))
show()
local path = os.getenv("BENCH_JSON")
if path and path ~= "" then write_json(path) end
