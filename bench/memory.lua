--- Memory of training: lua bench/memory.lua [NAME...] (`make bench-memory` makes it).
--
-- Trains each model in a process of its own, for STEPS steps (10,000; a twentieth for the large ones), on new batches
-- of changing content and, where that is the model's way, changing length. "held" is what tensors and Lua values take
-- after a collection at a tenth of the steps and at the end: it may not grow by more than 64 KiB. "resident" is what
-- the process keeps then, free blocks included: batches of changing length may move it by a tenth.
-- "peak" is the most it ever kept beyond what it kept before the model was made; PyTorch's, where $PYTHON (python3) has
-- it, is that of torch_memory.py, which trains the same models for a fiftieth of the steps. Sizes in MB of 2^20 bytes,
-- read from /proc, so this runs on Linux.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local torch = require "moontorch"
local models = require "models"
local rival = require "rival"

local STEPS = tonumber(os.getenv("STEPS") or 10000)
local THREADS = 2

-- What this process keeps resident now and at most, in MB.
local function resident()
  local file = assert(io.open("/proc/self/status"), "there is no /proc here")
  local text = file:read("a")
  file:close()
  return tonumber(text:match("VmRSS:%s*(%d+)")) / 1024, tonumber(text:match("VmHWM:%s*(%d+)")) / 1024
end

-- What tensors and Lua values take once what is dead has been collected, in MB.
local function now_held()
  collectgarbage()
  collectgarbage()
  return torch.memory().in_use / 2 ^ 20 + collectgarbage("count") / 1024
end

-- Runs the steps of one model and prints the four figures.
local function train(name, steps)
  torch.set_num_threads(THREADS)
  torch.manual_seed(1)
  local before, after, held = (resident())
  local step = models.training[name]()
  for k = 1, steps do
    step()
    if k == math.max(1, steps // 10) then after, held = resident(), now_held() end
  end
  local last, peak = resident()
  print(("%.3f %.3f %.3f %.3f %.3f"):format(held, now_held(), after, last, peak - before))
end

if arg[1] == "--train" then return train(arg[2], tonumber(arg[3])) end

local lua = "lua"
for i = -1, -100, -1 do
  if not arg[i] then break end
  lua = arg[i]
end

local function figures(...)
  local words = {}
  for i, word in ipairs { ... } do words[i] = rival.quoted(tostring(word)) end
  local found = {}
  for number in rival.output(table.concat(words, " ") .. " 2>/dev/null"):gmatch("%S+") do
    found[#found + 1] = tonumber(number)
  end
  return found
end

local wanted = #arg > 0 and arg or { "mnist_cnn", "names", "autoencoder", "cartpole", "shakespeare", "resnet18", "gpt" }
local python = os.getenv("PYTHON") or "python3"
print(("%-12s %7s  %15s  %17s  %7s  %9s  %s"):format("model", "steps", "held", "resident", "peak", "PyTorch's", "met"))
local missed = 0
for _, name in ipairs(wanted) do
  assert(models.training[name], "no model " .. name)
  local steps = math.max(1, models.large[name] and STEPS // 20 or STEPS)
  local ours = figures(lua, arg[0], "--train", name, steps)
  assert(#ours == 5, name .. " did not run")
  local theirs = figures(python, here .. "/torch_memory.py", name, math.max(1, steps // 50))[1]
  local flat = ours[2] - ours[1] <= 1 / 16 and ours[4] <= ours[3] * 1.1
  local met = flat and (not theirs or ours[5] <= theirs)
  if not met then missed = missed + 1 end
  print(("%-12s %7d  %6.2f > %6.2f  %7.1f > %7.1f  %7.1f  %9s  %s"):format(name, steps, ours[1], ours[2], ours[3],
    ours[4], ours[5], theirs and ("%.1f"):format(theirs) or "", met and "yes" or "NO"))
  io.stdout:flush()
end
if missed > 0 then os.exit(1, true) end
