--- Workers of a DataLoader that fail: what the loop is told, that it is told at once, and that all threads end.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local data = torch.utils.data
local refuses = near.refuses

-- Threads of this process, where the system tells.
local function threads()
  local f = io.open("/proc/self/status")
  if not f then return nil end
  local n = f:read("a"):match("Threads:%s*(%d+)")
  f:close()
  return tonumber(n)
end

local Made = data.Dataset:class("Made")
function Made:init(make, n) self.make, self.n = make, n or 6 end
function Made:get(i) return self.make(i) end
function Made:len() return self.n end

local Stream = data.IterableDataset:class("Stream")
function Stream:init(make) self.make = make end
function Stream:iter() return self.make() end

local function run(dataset, options)
  local seen = {}
  for batch in data.DataLoader(dataset, options) do
    seen[#seen + 1] = torch.is_tensor(batch) and batch:tolist() or batch
  end
  return seen
end

-- The loop must fail with all the texts, in workers, and leave no thread behind.
local function fails(make, options, ...)
  local before = threads()
  options.num_workers = options.num_workers or 2
  local dataset = type(make) == "function" and Made(make) or make
  local message = refuses(function() run(dataset, options) end, ...)
  assert.is_truthy(message:find("^[^\n]*worker_failures_spec.lua:%d+: DataLoader%(%): "), message)
  assert.equal(before, threads())
  return message
end

describe("an error in a worker", function()
  setup(function() run({ 1 }, { num_workers = 1 }) collectgarbage() end)

  it("comes with its traceback, the worker and the sample", function()
    fails(function(i)
      if i == 4 then error("bad file") end
      return i
    end, { batch_size = 2 }, "Caught an error in DataLoader worker 2 at sample 4.", "worker_failures_spec.lua:",
      "bad file", "stack traceback", "in function")
    fails(function(i)
      if i == 3 then return torch.ones(2):view(3) end
      return i
    end, { batch_size = torch.none }, "worker 1 at sample 3.", "shape '[3]' is invalid for input of size 2")
    fails(Stream(function()
      local n = 0
      return function()
        n = n + 1
        if n == 3 then error("the stream broke") end
        return n
      end
    end), { num_workers = 1 }, "worker 1 at sample 3.", "the stream broke")
    fails(Stream(function() error("no stream") end), {}, "worker 1.", "no stream")
  end)

  it("may be any value", function()
    fails(function() error { code = 5 } end, {}, "worker 1 at sample 1.\n(error object is a table value)")
    fails(function() error() end, {}, "(error object is a nil value)")
    fails(function() error(setmetatable({}, { __tostring = function() return "in words" end })) end, {}, "\nin words\n")
    fails(function() error(setmetatable({}, { __tostring = function() error("never") end })) end, {},
      "(error object is a table value)")
    fails(function() error("without a place", 0) end, {}, ".\nwithout a place\nstack traceback")
    fails(function() error(42) end, {}, "\n42\n")
  end)

  it("leaves what came before it in the loop, and a later loop works", function()
    local seen, limit = {}, 5
    local loader = data.DataLoader(Made(function(i)
      if i == limit then error("five") end
      return i
    end), { num_workers = 2, persistent_workers = true })
    for _ = 1, 2 do
      refuses(function() for v in loader do seen[#seen + 1] = v:item() end end, "five")
    end
    assert.same({ 1, 2, 3, 4, 1, 2, 3, 4 }, seen)
    loader:close()
  end)

  it("in collate_fn, worker_init_fn, a sampler or the maker of the dataset is told as such", function()
    local list = { 1, 2, 3 }
    fails(list, { batch_size = 2, collate_fn = function() error("cannot collate") end },
      "worker 1 collating samples 1, 2.", "cannot collate")
    fails(list, { worker_init_fn = function(id) error("init " .. id) end }, "worker 1.", "init 1")
    local before = threads()
    refuses(function()
      run(list, { num_workers = 2, sampler = function()
        local n = 0
        return function()
          n = n + 1
          if n == 3 then error("the sampler broke") end
          return n
        end
      end })
    end, "worker_failures_spec.lua:", "the sampler broke")
    assert.equal(before, threads())
    local made = 0
    local function maker()
      made = made + 1
      if data.get_worker_info() == nil and made == 1 then error("only in a worker") end
      return {}
    end
    refuses(function() run(maker, { num_workers = 1 }) end, "only in a worker")
  end)

  it("may be want of memory, or of stack", function()
    fails(function() return torch.zeros(1 << 45) end, {}, "worker 1 at sample 1.", "out of memory")
    fails(function() return ("x"):rep(1 << 40) end, {}, "worker 1 at sample 1.")
    fails(function()
      local function deep() return 1 + deep() end
      return deep()
    end, { num_workers = 1 }, "stack overflow")
  end)
end)

describe("a worker's samples", function()
  it("that do not fit together are named by their numbers in the dataset and the field", function()
    local options = { batch_size = 2, sampler = { 5, 2, 4, 3 } }
    fails(function(i) return { x = torch.ones(i // 3 + 1) } end, options, "collating samples 5, 2.",
      "stack expects each tensor to be equal size, but got [2] at entry 1 and [1] at entry 2 (samples 5 and 2) in "
      .. "field x", "collate_fn")
    fails(function(i) return i == 2 and { 1, 2 } or { 1 } end, options,
      "each element in list of batch should be of equal size, but sample 5 has 1 and sample 2 has 2")
    fails(function(i) return i == 4 and "four" or i end, options, "expected string as sample 3, as sample 4 is one, "
      .. "but got integer")
    fails(Stream(function()
      local n = 0
      return function()
        n = n + 1
        return torch.ones(n < 3 and 1 or n)
      end
    end), { batch_size = 2, num_workers = 1 }, "got [3] at entry 1 and [4] at entry 2 (samples 3 and 4)")
  end)

  it("that cannot be sent, or are none, are errors of their batch", function()
    fails(function() return io.stdout end, { batch_size = torch.none }, "worker 1 at sample 1.", "is a FILE*",
      "cannot be sent")
    fails(function() return coroutine.create(print) end, { batch_size = torch.none }, "is a thread")
    fails(function() return print end, {}, "batch must contain tensors", "found function")
    fails(function() return torch.ones(1, { requires_grad = true }) * 2 end, { batch_size = torch.none },
      "Cowardly refusing to serialize non-leaf tensor which requires_grad")
    fails(function(i) if i < 3 then return i end end, {}, "worker 1 at sample 3.", "no sample 3 (its length is 6)")
    assert.same({ 7, 7 }, run(Made(function() return function() return 7 end end, 2),
      { batch_size = torch.none, num_workers = 1, collate_fn = function(f) return f() end }))
  end)

  it("may be fewer or more than the dataset says", function()
    fails(Made(function(i) return ({ 1, 2 })[i] end, 4), {}, "no sample 3 (its length is 4)")
    fails({ 1, 2, 3 }, { sampler = { 1, 9 } }, "worker 2 at sample 9.", "no sample 9 (its length is 3)")
  end)
end)

describe("a worker that", function()
  it("calls os.exit ends, and the process goes on", function()
    for code, shown in pairs { [3] = "3", [true] = "0", [false] = "1" } do
      fails(function(i)
        if i == 3 then os.exit(code) end
        return i
      end, {}, "DataLoader worker 1 exited unexpectedly: exit code " .. shown .. ": it called os.exit",
        "worker_failures_spec.lua:")
    end
    fails(function() pcall(os.exit) return 1 end, {}, "worker 1 exited unexpectedly: exit code 0")
    fails({ 1 }, { worker_init_fn = function() os.exit(true, true) end }, "exited unexpectedly: exit code 0")
  end)

  it("hangs in its script is interrupted when the time is over", function()
    for _, hang in ipairs {
      function() while true do end end,
      function() while true do pcall(function() while true do end end) end end,
      function() while true do pcall(error) end end,
    } do
      local started = torch.clock()
      fails(hang, { num_workers = 1, timeout = 0.1 }, "DataLoader timed out after 0.1 seconds", "worker 1")
      assert.is_true(torch.clock() - started < 4)
    end
  end)

  it("waits in C is left behind: the loop goes on", function()
    local started = torch.clock()
    refuses(function()
      run(Made(function() os.execute("sleep 12") end), { num_workers = 1, timeout = 0.1 })
    end, "DataLoader timed out after 0.1 seconds")
    assert.is_true(torch.clock() - started < 11)
    assert.same({ { 1 }, { 2 } }, run({ 1, 2 }, { num_workers = 1 }))
  end)

  it("is in time is not timed out, however long the whole loop takes", function()
    assert.equal(6, #run(Made(function(i) return i end), { num_workers = 2, timeout = 5 }))
  end)

  it("has a loader of its own gives what it gives", function()
    assert.same({ { 6 }, { 12 } }, run(Made(function(i)
      local sum = 0
      for batch in data.DataLoader({ i, 2 * i, 3 * i }, { num_workers = 1 }) do sum = sum + batch:item() end
      return sum
    end, 2), { num_workers = 2 }))
  end)
end)
