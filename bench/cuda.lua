--- `make bench-cuda`: what this GPU can do, measured through the runtime and cuBLAS, and how work on it is timed.
--
-- The limits are what a copy of packed memory and products of large matrices reach, here or in PyTorch, whichever is
-- faster: the chip's own figures are for clocks that it does not hold.
local torch = require "moontorch"
local report = require "report"
local rows = require "rows"
local workloads = require "workloads"

local cuda = { name = "bench-cuda", rival = os.getenv("BENCH_RIVAL") or "cuda", threads = { 1 } }

if not torch.cuda.is_available() then
  cuda.missing = "moontorch/cuda.so finds no GPU here"
  return cuda
end

local tiny = report.tiny
torch.set_default_device "cuda"
cuda.rows = rows.cuda(tiny)

local FLOATS, SIDE, ROUNDS = tiny and 1000 or 1 << 28, tiny and 16 or 8192, tiny and 1 or 5
local product = { key = "matmul", args = { SIDE }, work = 2 * SIDE ^ 3 }
local function with(options) return setmetatable({ options = options }, { __index = product }) end
local LIMITS = {
  copy = { key = "copy", args = { FLOATS }, work = 8 * FLOATS },
  float32 = with {},
  TF32 = with { precision = "high" },
  bfloat16 = with { dtype = "bfloat16" },
}
LIMITS.add = LIMITS.copy

local first, last = torch.cuda.Event { enable_timing = true }, torch.cuda.Event { enable_timing = true }

--- Seconds of the device for one repeat; with `host` of the caller, who does not wait for the device.
function cuda.seconds(run, repeats, host)
  torch.cuda.synchronize()
  if host then
    local begin = torch.clock()
    run(repeats)
    local took = (torch.clock() - begin) / repeats
    torch.cuda.synchronize()
    return took
  end
  first:record()
  run(repeats)
  last:record()
  last:synchronize()
  return first:elapsed_time(last) / 1000 / repeats
end

--- More launches than these would wait for room in the device's queue.
cuda.most_launches = 256

--- The device's memory for the next row; the other side does so too.
function cuda.settle()
  collectgarbage()
  collectgarbage()
  torch.cuda.synchronize()
  torch.cuda.empty_cache()
end

--- Limits: copy (and add) in bytes, float32, TF32, bfloat16 in operations a second; of the figures named, or of all.
function cuda.limits(threads, figures)
  local m = {}
  for _, name in ipairs(figures or { "copy", "float32", "TF32", "bfloat16" }) do
    local w = LIMITS[name]
    report.say("measuring the GPU: %s", name)
    cuda.settle()
    workloads.configure(w.options or {})
    local run = workloads.repeated(workloads.make[w.key](table.unpack(w.args)))
    run(1)
    local ours, theirs = {}, {}
    for k = 1, ROUNDS do
      ours[k] = cuda.seconds(run, 3)
      theirs[k] = cuda.other and cuda.other.seconds(w, "device", threads, 3)
    end
    local best = report.median(ours)
    if #theirs == ROUNDS then best = math.min(best, report.median(theirs)) end
    m[name] = w.work / best
  end
  return m
end

function cuda.describe(m)
  return ("GB/s copy %.0f; TFLOP/s of products of %d: float32 %.1f, TF32 %.1f, bfloat16 %.1f"):format(m.copy / 1e9,
    SIDE, m.float32 / 1e12, m.TF32 / 1e12, m.bfloat16 / 1e12)
end

-- What a command prints first, or nil.
local function first_line(command)
  local pipe = io.popen(command .. " 2>/dev/null")
  local text = pipe and pipe:read("l")
  if pipe then pipe:close() end
  return text ~= "" and text or nil
end

--- The machine and its driver.
function cuda.machine_text()
  local p, v = torch.cuda.get_device_properties(), torch.backends.cudnn.version() or 0
  local driver = first_line("nvidia-smi --query-gpu=driver_version,power.limit,clocks.max.sm --format=csv,noheader")
  local gpu = ("GPU: %s, compute capability %d.%d, %d multiprocessors, %.1f GiB, one of %d"):format(p.name, p.major,
    p.minor, p.multi_processor_count, p.total_memory / 2 ^ 30, torch.cuda.device_count())
  local software = ("driver, power limit, highest clock: %s; cuDNN %s"):format(driver or "nvidia-smi does not say",
    v > 0 and v or "not found")
  local host = first_line("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1") or "unknown"
  return gpu .. "\n" .. software .. "\nhost: " .. host
end

return cuda
