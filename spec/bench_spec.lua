--- The benchmarks' runner: every row of the GPU's runs, at sizes that need no time; what is made of limits and a rival.
local torch = require "moontorch"

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

local files = {}
local function temporary(text)
  local name = os.tmpname()
  files[#files + 1] = name
  if text then
    local f = assert(io.open(name, "w"))
    f:write(text)
    f:close()
    os.execute("chmod +x " .. quote(name))
  end
  return name
end

-- What `lua bench/run.lua ...` prints, its exit status, and the rows and the machine that it writes.
local function bench(settings, ...)
  local json = temporary()
  local words = { "env", "BENCH_TINY=1", "PYTHON=false", "BENCH_RIVAL=cpu", "BENCH_JSON=" .. quote(json) }
  for name, value in pairs(settings) do words[#words + 1] = quote(name .. "=" .. value) end
  words[#words + 1] = quote(arg[-1]) .. " bench/run.lua"
  for _, word in ipairs { ... } do words[#words + 1] = quote(word) end
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
  local text = pipe:read("a")
  local _, _, status = pipe:close()
  local f = assert(io.open(json))
  local rows = {}
  for line in f:read("a"):gmatch("{([^{}\n]+)}") do
    local r = {}
    for key, value in line:gmatch('"([%w_]+)": ([^",]+)') do r[key] = tonumber(value) or value end
    for key, value in line:gmatch('"([%w_]+)": "([^"]*)"') do r[key] = value end
    rows[#rows + 1] = r
  end
  f:close()
  return text, status, rows
end

-- In the place of Python with PyTorch: each repeat takes it half a second, but for softmax, of which it knows nothing.
local RIVAL = [=[#!/bin/sh
if [ "$1" = -c ]; then echo 1; exit; fi
echo "a rival on $3"
while read threads repeats clock options key rest; do
  if [ $key = softmax ]; then echo "RuntimeError('no such thing')"; else echo 0.5; fi
done <"$2"
]=]

describe("the benchmark", function()
  after_each(function()
    for _, name in ipairs(files) do os.remove(name) end
    files = {}
  end)

  it("holds a row against the better of the limits before and after it", function()
    for _, figures in ipairs { "1 27000 8000", "1 8000 27000" } do -- at the start, before, after
      local count = temporary("0")
      local machine = temporary(([=[#!/bin/sh
n=$(($(cat %s) + 1)); echo $n >%s
if [ $# = 1 ]; then
  for f in read fill copy add; do echo $f 5; done
  echo "fma base f64 5"
else
  [ "$1 $3 $4" = "1 5 f32" ] || exit 1
fi
set -- %s; shift $((n - 1)); echo "fma base f32 $1"
]=]):format(count, count, figures))
      local text, status, rows = bench({ ONLY = "matmul 64", MOONTORCH_NUM_THREADS = 1 }, "cpu", machine)
      assert.equal(0, status, text)
      assert.equal(2, #rows) -- the first is the machine
      assert.equal("matmul 64", rows[2].title)
      assert.is_true(math.abs(rows[2].floor - 2 * 64 ^ 3 / 27000) < 1e-6, tostring(rows[2].floor))
      assert.is_true(math.abs(rows[2].share * rows[2].ours - rows[2].floor) < 1e-6)
    end
  end)

  it("of a GPU says so where there is none", function()
    local text, status = bench({ CUDA_VISIBLE_DEVICES = "", STANDIN_DEVICES = 0 }, "cuda")
    assert.is_truthy(text:find("bench-cuda: skipped, moontorch/cuda.so finds no GPU here", 1, true), text)
    assert.equal(0, status)
  end)

  if not torch.cuda.is_available() then return end

  it("of a GPU runs every row", function()
    local text, status, rows = bench({}, "cuda")
    assert.equal(0, status, text)
    assert.is_truthy(text:find(torch.cuda.get_device_name(), 1, true))
    local groups = {}
    for k = 2, #rows do -- the first is the machine
      local r = rows[k]
      assert.is_true(r.ours > 0, r.title)
      groups[r.title:match("^%S+")] = true
      if not r.title:find("launching", 1, true) then assert.is_true(r.floor > 0 and r.share > 0, r.title) end
    end
    for _, word in ipairs { "copy", "add", "gelu", "softmax", "layer_norm", "transposed", "matmul", "conv", "LSTM",
      "attention", "MNIST", "ResNet-18", "GPT-2", "launching" } do
      assert.is_true(groups[word], word)
    end
    assert.is_truthy(text:find("%d+ tokens/s"))
  end)

  it("of a GPU is beside a rival, whose failures are told", function()
    local text, status, rows = bench({ ONLY = "norm", PYTHON = temporary(RIVAL) }, "cuda")
    assert.equal(0, status, text)
    assert.is_truthy(text:find("PyTorch: a rival on cpu", 1, true), text)
    assert.is_truthy(text:find("PyTorch failed: softmax of 5x20, forward: RuntimeError('no such thing')", 1, true),
      text)
    for k = 2, #rows do
      local r = rows[k]
      if r.title:find("softmax", 1, true) then
        assert.is_nil(r.ratio)
      else
        assert.equal(0.5, r.theirs)
        assert.is_true(math.abs(r.ratio * r.ours - 0.5) < 1e-6)
        assert.equal("false", r.met) -- a limit that a copy of 1000 numbers reached
      end
    end
  end)
end)
