--- DataLoader's workers: Lua states in threads. Orders and random numbers are PyTorch's (spec/golden/data.lua).
local torch = require "moontorch"
local warnings_of = require "spec.support.warnings"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local golden = dofile(here .. "/golden/data.lua").workers
local data, nn = torch.utils.data, torch.nn
local refuses = near.refuses

-- Threads of this process, where the system tells.
local function threads()
  local f = io.open("/proc/self/status")
  if not f then return nil end
  local n = f:read("a"):match("Threads:%s*(%d+)")
  f:close()
  return tonumber(n)
end

local Noise = data.Dataset:class("Noise")
function Noise:init(n) self.n = n end
function Noise:get(i) return { torch.tensor(i), torch.rand(2) } end
function Noise:len() return self.n end

local Count = data.IterableDataset:class("Count")
function Count:init(n) self.n = n end
function Count:iter()
  local info = data.get_worker_info()
  local i, step = info and info.id or 1, info and info.num_workers or 1
  i = i - step
  return function()
    i = i + step
    if i <= self.n then return i end
  end
end

local function ten() return { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } end

local function lists(loader)
  local list = {}
  for batch in loader do list[#list + 1] = torch.is_tensor(batch) and batch:tolist() or batch end
  return list
end

-- What reached a worker and came back.
local function through(value, f)
  local result
  local loader = data.DataLoader({ { value } }, { batch_size = 1, num_workers = 1,
    collate_fn = f or function(samples) return samples[1][1] end })
  for v in loader() do result = v end
  return result
end

describe("workers", function()
  it("load the same batches in the same order as the calling thread", function()
    for _, n in ipairs { 1, 2, 3 } do
      for _, prefetch in ipairs { 1, 4 } do
        torch.manual_seed(3)
        local here_loader = data.DataLoader(ten(), { batch_size = 3, shuffle = true })
        local wanted = { lists(here_loader), lists(here_loader) }
        torch.manual_seed(3)
        local l = data.DataLoader(ten(), { batch_size = 3, shuffle = true, num_workers = n,
          prefetch_factor = prefetch })
        assert.same(wanted, { lists(l), lists(l) })
        assert.equal(4, #l)
      end
    end
    assert.same(ten(), lists(data.DataLoader(ten(), { batch_size = torch.none, num_workers = 2 })))
    assert.same({ { 3, 1 }, { 2 } }, lists(data.DataLoader(ten(), { num_workers = 2,
      batch_sampler = { { 3, 1 }, { 2 } } })))
  end)

  it("draw PyTorch's numbers for the same seed, other ones in each worker and epoch", function()
    torch.manual_seed(11)
    local l = data.DataLoader(Noise(7), { batch_size = 2, num_workers = 2, shuffle = true })
    for epoch = 1, 2 do
      local i = 0
      for positions, numbers in l do
        i = i + 1
        assert.same(golden.noise[epoch][i][1], positions:tolist())
        near.check(golden.noise[epoch][i][2], numbers, 0)
      end
      assert.equal(4, i)
    end
  end)

  it("draw other numbers from math.random in each worker and epoch, the same for the same seed", function()
    local function draw()
      torch.manual_seed(5)
      local l = data.DataLoader({ 0, 0, 0 }, { num_workers = 3, collate_fn = function() return math.random(0) end })
      return { lists(l), lists(l) }
    end
    local first = draw()
    assert.same(first, draw())
    local seen = {}
    for _, epoch in ipairs(first) do
      for _, v in ipairs(epoch) do
        assert.is_nil(seen[v])
        seen[v] = true
      end
    end
  end)

  it("share out a stream by get_worker_info, in PyTorch's order", function()
    assert.same(golden.count, lists(data.DataLoader(Count(11), { batch_size = 2, num_workers = 3 })))
    assert.same(golden.count_dropped,
      lists(data.DataLoader(Count(11), { batch_size = 2, num_workers = 3, drop_last = true })))
    assert.same(golden.single, lists(data.DataLoader(Count(5), { batch_size = torch.none, num_workers = 2 })))
    assert.is_nil(data.get_worker_info())
  end)

  it("know who they are, and run worker_init_fn first", function()
    local offset = 100
    local l = data.DataLoader({ 1, 2, 3, 4 }, { num_workers = 2,
      worker_init_fn = function(id) data.get_worker_info().mark = offset + id end,
      collate_fn = function()
        local info = data.get_worker_info()
        return { info.id, info.num_workers, info.mark, #info.dataset, info.seed == torch.initial_seed() }
      end })
    assert.same({ { 1, 2, 101, 4, true }, { 2, 2, 102, 4, true }, { 1, 2, 101, 4, true }, { 2, 2, 102, 4, true } },
      lists(l))
  end)

  it("persist between epochs when asked to", function()
    local l = data.DataLoader({ 1, 2, 3, 4 }, { num_workers = 2, persistent_workers = true,
      worker_init_fn = function() local info = data.get_worker_info() info.calls = 0 end,
      collate_fn = function()
        local info = data.get_worker_info()
        info.calls = info.calls + 1
        return info.calls
      end })
    assert.same({ { 1, 1, 2, 2 }, { 3, 3, 4, 4 } }, { lists(l), lists(l) })
    for _ in l do break end -- luacheck: ignore 512
    assert.equal(4, #lists(l))
    local old = l()
    old()
    assert.equal(4, #lists(l))
    refuses(old, "another loop over its persistent workers")
    local stream = data.DataLoader(Count(4), { batch_size = 2, num_workers = 2, persistent_workers = true })
    assert.same({ { 1, 3 }, { 2, 4 } }, lists(stream))
    assert.same({ { 1, 3 }, { 2, 4 } }, lists(stream))
    stream:close()
    l:close()
  end)

  it("make their dataset by a function, or by the name of a module", function()
    local n = 4
    local l = data.DataLoader(function()
      local file = io.tmpfile() -- what no other thread could be sent
      return setmetatable({}, { __len = function() return n end,
        __index = function(_, i) return io.type(file) == "file" and i * 10 or 0 end })
    end, { batch_size = 2, num_workers = 2 })
    assert.same({ { 10, 20 }, { 30, 40 } }, lists(l))
    local folder, remove = near.folder()
    near.write(folder .. "/worker_test_data.lua", "local t = {} for i = 1, 3 do t[i] = -i end return t")
    local path = package.path
    package.path = folder .. "/?.lua;" .. path
    assert.same({ { -1, -2 }, { -3 } }, lists(data.DataLoader("worker_test_data", { batch_size = 2, num_workers = 2 })))
    package.path = path
    remove()
  end)

  it("end when a loop is left: by break, error, close, or the collector", function()
    if not threads() then return end -- the system does not tell
    lists(data.DataLoader(ten(), { num_workers = 1 }))
    collectgarbage()
    local before = threads()
    local l = data.DataLoader(ten(), { num_workers = 3 })
    for _ in l() do -- luacheck: ignore 512
      assert.equal(before + 3, threads())
      break
    end
    assert.equal(before, threads())
    assert.is_false((pcall(function() for _ in l:iter() do error("out") end end)))
    assert.equal(before, threads())
    for _ in l do break end -- luacheck: ignore 512
    assert.equal(before + 3, threads())
    for _ in l do break end -- luacheck: ignore 512
    assert.equal(before + 3, threads())
    l:close()
    assert.equal(before, threads())
    assert.equal(10, #lists(l))
    assert.equal(before, threads())
    do
      local closing <close> = data.DataLoader(ten(), { num_workers = 2 })
      for _ in closing do break end -- luacheck: ignore 512
    end
    assert.equal(before, threads())
    for _, _ in pairs(l) do break end -- luacheck: ignore 512
    l = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.equal(before, threads())
  end)

  it("ask for no more than prefetch_factor batches each before one is taken", function()
    local asked = 0
    local function sampler()
      return function()
        asked = asked + 1
        if asked <= 100 then return 1 end
      end
    end
    local it = data.DataLoader(ten(), { sampler = sampler, num_workers = 2, prefetch_factor = 3 })()
    it()
    it()
    assert.equal(2 * 3 + 2, asked)
  end)

  it("report an error in the loop, with its traceback, and end", function()
    local function broken(samples)
      if samples[1] == 5 then error("sample five is bad") end
      return samples[1]
    end
    local before
    local seen = {}
    local message = refuses(function()
      for v in data.DataLoader(ten(), { num_workers = 2, collate_fn = broken }) do
        before = before or threads()
        seen[#seen + 1] = v
      end
    end, "Caught an error in DataLoader worker 1", "worker_spec.lua", "sample five is bad", "stack traceback")
    assert.is_truthy(message:find("worker_spec.lua:%d+: DataLoader%(%): "))
    assert.same({ 1, 2, 3, 4 }, seen)
    if threads() then assert.equal(before - 2, threads()) end
    local function fails() error("no start") end
    refuses(function() lists(data.DataLoader(ten(), { num_workers = 1, worker_init_fn = fails })) end, "no start",
      "worker 1")
    refuses(function() lists(data.DataLoader({ 1 }, { num_workers = 1, collate_fn = function() error {} end })) end,
      "table")
    refuses(function() lists(data.DataLoader({ 1 }, { num_workers = 1, sampler = { 2 } })) end, "no sample 2")
    local function lost() return missing_global.x end -- luacheck: ignore
    refuses(function() lists(data.DataLoader({ 1 }, { num_workers = 1, collate_fn = lost })) end,
      "the globals of the program do not exist in a worker: make 'missing_global' local")
  end)

  it("time out", function()
    local function forever() while true do end end
    local started = torch.clock()
    refuses(function()
      for _ in data.DataLoader(ten(), { num_workers = 1, timeout = 0.2, collate_fn = forever }) do end
    end, "DataLoader timed out after 0.2 seconds", "worker 1")
    assert.is_true(torch.clock() - started < 60) -- the worker was interrupted
  end)

  it("warn in the loop's thread", function()
    local said = {}
    local globals = package.loaded._G -- a spec's own are apart
    local original = globals.warn
    globals.warn = function(s) said[#said + 1] = s end
    lists(data.DataLoader({ 1 }, { num_workers = 1, collate_fn = function()
      warn("@on")
      warn("from ", "afar")
      return 1
    end }))
    globals.warn = original
    assert.same({ "from afar" }, said)
  end)
end)

describe("what goes to a worker and back", function()
  it("numbers, strings, booleans, nested tables, shared and cyclic ones", function()
    local shared = { 1, 2.5 }
    local t = { n = 1 << 62, f = -0.5, s = "a\0b", yes = true, no = false, list = { shared, shared }, [3] = "x",
      [true] = 1 }
    t.self = t
    local back = through(t)
    assert.equal(back, back.self)
    assert.equal(back.list[1], back.list[2])
    assert.are_not.equal(shared, back.list[1])
    t.self, back.self = nil, nil
    assert.same(t, back)
    assert.equal("integer", math.type(back.n))
  end)

  it("tensors without copying, views and flags with them", function()
    local x = torch.arange(12):to(torch.float32):reshape(3, 4)
    local back = through { x, x:t(), x[2], torch.zeros(0, 3), torch.tensor(2.5), x:narrow(2, 2, 2) }
    assert.equal(x:data_ptr(), back[1]:data_ptr())
    assert.is_true(back[2]:equal(x:t()))
    assert.same({ 1, 4 }, { table.unpack(back[2].stride and { back[2]:stride(1), back[2]:stride(2) }) })
    assert.same({ 4, 5, 6, 7 }, back[3]:tolist())
    assert.same({ 0, 3 }, { table.unpack(back[4].shape) })
    assert.equal(2.5, back[5]:item())
    back[1][1][1] = 100
    assert.equal(100, x[1][1]:item())
    local p = through(nn.Parameter(torch.ones(2)))
    assert.is_true(torch.is_parameter(p) and p.requires_grad)
    assert.is_true(through(torch.ones(1, { requires_grad = true })).requires_grad)
    refuses(function() through(torch.ones(1, { requires_grad = true }) * 2) end,
      "Cowardly refusing to serialize non-leaf tensor which requires_grad", "detach()", "dataset[1][1]")
  end)

  it("tensors made in a worker outlive it", function()
    local kept = {}
    local function many(samples) return torch.full({ 1000 }, samples[1]) end
    for x in data.DataLoader(ten(), { num_workers = 2, collate_fn = many }) do
      kept[#kept + 1] = x
    end
    collectgarbage()
    for i, x in ipairs(kept) do assert.equal(1000 * i, x:sum():item()) end
  end)

  it("dtypes, devices, sizes, none, generators, ordered tables", function()
    local g = torch.Generator():manual_seed(7)
    local ordered = require "moontorch.nn.ordered"
    local back = through { torch.int16, torch.device("cpu"), torch.Size { 2, 3 }, torch.none, g,
      ordered.new { { "z", 1 }, { "a", 2 } } }
    assert.equal(torch.int16, back[1])
    assert.equal(torch.device("cpu"), back[2])
    assert.equal("torch.Size([2, 3])", tostring(back[3]))
    assert.equal(torch.none, back[4])
    assert.same(torch.rand(3, { generator = torch.Generator():manual_seed(7) }):tolist(),
      torch.rand(3, { generator = back[5] }):tolist())
    local names = {}
    for key in pairs(back[6]) do names[#names + 1] = key end
    assert.same({ "z", "a" }, names)
  end)

  it("functions with their variables, shared ones too, recursion, modules, C functions", function()
    local total = 0
    local function add(n) total = total + n end
    local function factorial(n) return n < 2 and 1 or n * factorial(n - 1) end
    local floor, stack, F = math.floor, torch.stack, nn.functional
    local result = through(1, function()
      add(2)
      add(3)
      return { total, factorial(5), floor(2.7), stack({ torch.ones(2), torch.ones(2) }, 1):sum():item(),
        F.relu(torch.tensor { -1.0, 2.0 }):tolist(), data.get_worker_info().id }
    end)
    assert.same({ 5, 120, 2, 4, { 0, 2 }, 1 }, result)
    assert.equal(0, total)
  end)

  it("objects of a class, with parents, metatables and models", function()
    local Base = data.Dataset:class("Base")
    function Base:init(n) self.n = n end
    function Base:len() return self.n end
    local Child = Base:class("Child")
    function Child:get(i) return i * self.factor end
    function Child:init(n, factor) Base.init(self, n) self.factor = factor end
    local child = Child(4, 3)
    assert.same({ { 3, 6 }, { 9, 12 } }, lists(data.DataLoader(child, { batch_size = 2, num_workers = 2 })))
    local subset = data.Subset(child, { 4, 1 })
    assert.same({ { 12, 3 } }, lists(data.DataLoader(subset, { batch_size = 2, num_workers = 1 })))
    local made = through(1, function() return Child(2, 5)[2] end)
    assert.equal(10, made)
    local counter = setmetatable({ 5 }, { __index = function(t, k) return k .. t[1] end })
    assert.equal("a5", through(counter, function(s) return s[1][1].a end))
    local model = nn.Linear(2, 2)
    local x = torch.ones(1, 2)
    local y = through(1, function() return model(x):detach() end)
    assert.is_true(y:equal(model(x)))
  end)

  it("nothing else: the message names the field and the way out", function()
    local file = io.stdout
    refuses(function() through { a = { file } } end, "dataset[1][1].a[1] is a", "dataset = \"my.module\"")
    refuses(function() through(1, function() return file end) end, "collate_fn: its variable 'file' is a")
    refuses(function() through(coroutine.create(print)) end, "dataset[1][1] is a thread")
    refuses(function() through(1, function() return coroutine.create(print) end) end, "Caught an error in DataLoader "
      .. "worker 1", "is a thread")
    local deep = {}
    for _ = 1, 1000 do deep = { deep } end
    refuses(function() through(deep) end, "nested too deeply")
    local gone = torch.ones(2)
    gone:free()
    refuses(function() through(gone) end, "a freed Tensor")
  end)
end)

describe("without threads", function()
  it("the calling thread loads, with a warning", function()
    local original_start, started, got = torch._worker_start, 0, nil
    torch._worker_start = function(...)
      started = started + 1
      if started == 2 then return nil end
      return original_start(...)
    end
    local said = warnings_of(function() got = lists(data.DataLoader(ten(), { batch_size = 5, num_workers = 3 })) end)
    torch._worker_start = original_start
    assert.same({ { 1, 2, 3, 4, 5 }, { 6, 7, 8, 9, 10 } }, got)
    assert.equal(1, #said)
    assert.is_truthy(said[1]:find("worker 2 of 3 cannot be started", 1, true))
  end)
end)
