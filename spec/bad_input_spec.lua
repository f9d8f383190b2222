--- Bad input: every wrong call is an error that pcall catches, that begins with the caller's position, names the
-- function and says what to do, and that leaves everything as it was. The calls are rows of spec/support/bad_calls.

local torch = require "moontorch"
local near = require "spec.support.near"
local nn, F = torch.nn, torch.nn.functional

local calls = {}
for _, theme in ipairs { "tensors", "operators", "training", "modules" } do
  for _, topic in ipairs(require("spec.support.bad_calls." .. theme)) do calls[#calls + 1] = topic end
end

local function freed_tensor()
  local t = torch.ones(2, 3)
  t:free()
  return t
end

-- Global state that no failed call may move.
local function state()
  return ("%s %s %s %s %d"):format(torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
    tostring(torch.get_default_dtype()), torch.get_num_threads(), torch.memory().cap)
end

local function used()
  collectgarbage()
  collectgarbage()
  return torch.memory().in_use
end

local function check_row(row)
  local x = torch.arange(6):view(2, 3):float()
  local env = setmetatable({ torch = torch, nn = nn, F = F, x = x, freed = freed_tensor() }, { __index = _G })
  local before = state()
  local ok, message = pcall(assert(load(row[1], "=row", "t", env)))
  if ok then return "no error" end
  message = tostring(message)
  if not message:find("^row:%d+: ") then return "no position: " .. message end
  for k = 2, #row do
    if not message:find(row[k], 1, true) then return ("%q is not in: %s"):format(row[k], message) end
  end
  if state() ~= before then return "the library's state has changed" end
  if x._version ~= 0 or tostring(x.shape) ~= "torch.Size([2, 3])" or x:sum():item() ~= 15 then
    return "x has changed"
  end
end

describe("wrong calls are refused:", function()
  for _, topic in ipairs(calls) do
    it(topic[1], function()
      local wrong = {}
      for k = 2, #topic do
        local why = check_row(topic[k])
        if why then wrong[#wrong + 1] = topic[k][1] .. "\n    " .. why end
      end
      if #wrong > 0 then error(("%d of %d\n%s"):format(#wrong, #topic - 1, table.concat(wrong, "\n")), 0) end
    end)
  end
end)

describe("errors that are values", function()
  it("come out of callbacks as they were thrown", function()
    local thrown = {}
    local function throw() error(thrown) end
    local function same(f, ...)
      local ok, e = pcall(f, ...)
      assert.is_false(ok)
      assert.is_true(rawequal(e, thrown))
    end
    local x = torch.ones(2, { requires_grad = true })
    local y = x * 2
    y:register_hook(throw)
    same(function() y:sum():backward() end)
    local Thrower = torch.autograd.Function { forward = function(_, a) return a * 2 end, backward = throw }
    same(function() Thrower.apply(x):sum():backward() end)
    same(torch.no_grad, throw)
    assert.is_true(torch.is_grad_enabled())
    same(function()
      local batches = torch.utils.data.DataLoader({ 1, 2 }, { collate_fn = throw })()
      return batches, batches and batches()
    end)
    same(nn.Linear(2, 2).apply, nn.Linear(2, 2), throw)
    assert.is_nil(x.grad)
  end)

  it("a hook cannot yield across backward", function()
    local x = torch.ones(2, { requires_grad = true })
    local y = x * 2
    y:register_hook(function() coroutine.yield(1) end)
    local thread = coroutine.create(function() y:sum():backward() end)
    local ok, message = coroutine.resume(thread)
    assert.is_false(ok)
    assert.is_truthy(message:find("yield across a C-call boundary", 1, true))
    assert.is_nil(x.grad)
  end)

  it("an error in one hook leaves no gradient half done and the next pass right", function()
    local x = torch.ones(2, { requires_grad = true })
    local bad = true
    local y = x * 2
    y:register_hook(function() if bad then error("once") end end)
    near.refuses(function() y:sum():backward { retain_graph = true } end, "once")
    bad = false
    y:sum():backward()
    assert.same({ 2, 2 }, x.grad:tolist())
  end)
end)

describe("freed tensors", function()
  it("may be freed twice, and are freed by <close>", function()
    local t = torch.ones(3)
    t:free()
    t:free()
    local kept
    do
      local c <close> = torch.ones(3)
      kept = c
    end
    near.refuses(function() return kept:sum() + 1 end, "was freed")
  end)

  it("leave graphs that use their memory whole", function()
    local x = torch.tensor({ 1.0, 2.0 }, { requires_grad = true })
    local y = x * 2
    local z = (y * y):sum()
    y:free()
    z:backward()
    assert.same({ 8, 16 }, x.grad:tolist())
    near.refuses(function() y:backward() end, "freed")
  end)

  it("may be freed by hooks of the pass that uses them", function()
    local x = torch.ones(2, { requires_grad = true })
    local y = x * 2
    local s = y:sum()
    y:register_hook(function(g)
      y:free()
      g:free()
    end)
    s:register_hook(function() s:free() end)
    s:backward()
    assert.same({ 2, 2 }, x.grad:tolist())
  end)

  it("may be freed by finalizers in the middle of calls that use them", function()
    for _ = 1, 300 do
      local v = torch.ones(50)
      setmetatable({}, { __gc = function() v:free() end })
      pcall(function()
        for _ = 1, 20 do v = v + v:sum() end
      end)
    end
    assert.equal(6, torch.ones(6):sum():item())
  end)

  it("a table that a finalizer changes while torch.tensor reads it does no harm", function()
    for _ = 1, 100 do
      local t = {}
      for k = 1, 50 do t[k] = { 1, 2, 3 } end
      setmetatable({}, { __gc = function() for k = 1, 50 do t[k] = k end end })
      for _ = 1, 20 do pcall(torch.tensor, t) end
    end
  end)
end)

describe("tables", function()
  it("that hold themselves or nest without end are refused, not followed", function()
    local own = {}
    own[1] = own
    local deep = {}
    for _ = 1, 100000 do deep = { deep } end
    for _, t in ipairs { own, deep } do
      near.refuses(function() torch.tensor(t) end, "nested more than 16 deep")
    end
    for _, f in ipairs { torch.zeros, torch.cat, torch.stack, torch.Size, torch.FloatTensor, torch.full } do
      for _, t in ipairs { own, deep } do
        assert.is_false(pcall(f, t))
        assert.is_false(pcall(f, { t }, t))
      end
    end
    local x = torch.ones(2, 2)
    assert.is_false(pcall(function() return x[own] + 0 end))
    assert.is_false(pcall(function() x[own] = 1 end))
  end)

  it("with metamethods are read raw: nothing of theirs runs", function()
    local ran = false
    local function run() ran = true error("ran") end
    local meta = { __index = run, __len = run, __newindex = run, __pairs = run, __call = run }
    assert.same({ 1, 2 }, torch.tensor(setmetatable({ 1, 2 }, meta)):tolist())
    assert.equal(torch.Size { 2, 3 }, torch.zeros(setmetatable({ 2, 3 }, meta)).shape)
    near.refuses(function() torch.zeros(2, setmetatable({ dtype = torch.float64 }, meta)) end,
      "takes 1 positional argument")
    assert.is_false(ran)
  end)

  it("of ten thousand entries are fine where the library has no limit", function()
    local list = {}
    for k = 1, 10000 do list[k] = torch.ones(1, 3) end
    assert.equal(torch.Size { 10000, 3 }, torch.cat(list, 1).shape)
    assert.equal(torch.Size { 10000, 1, 3 }, torch.stack(list, 1).shape)
    assert.equal(torch.Size { 10000, 3 }, torch.cat(list, { dim = 1 }).shape)
  end)
end)

describe("recursion", function()
  it("of backward in hooks ends in an error of Lua's, not of the C stack", function()
    local depth = 0
    local function again()
      depth = depth + 1
      local x = torch.ones(1, { requires_grad = true })
      local y = x * 2
      y:register_hook(function() torch.enable_grad(again) end)
      y:sum():backward()
    end
    near.refuses(again, "stack overflow")
    assert.is_true(depth > 10)
    assert.is_true(torch.is_grad_enabled())
  end)

  it("of blocks puts the modes back", function()
    local function deeper() return torch.no_grad(deeper) end
    near.refuses(deeper, "stack overflow")
    assert.is_true(torch.is_grad_enabled())
  end)

  it("of modules that hold each other ends", function()
    local a, b = nn.Sequential(nn.Linear(2, 2)), nn.Sequential()
    a.other, b.other = b, a
    assert.equal(2, #a:parameters())
    a:double()
    assert.equal(torch.float64, a:parameters()[1].dtype)
  end)
end)

describe("out of memory", function()
  -- Larger than any address space that there is.
  local huge = 1 << 45

  it("is an error after which everything works, and takes nothing", function()
    local x = torch.arange(6):view(2, 3):float()
    local before = used()
    for _, f in ipairs {
      function() return torch.zeros(huge) end, function() return torch.empty { 4, huge } end,
      function() return torch.ones(huge, { dtype = torch.int64 }) end, function() return torch.arange(huge) end,
      function() return torch.rand(huge) end, function() return torch.randperm(huge) end,
      function() return torch.eye(1 << 23) end, function() return x:expand(huge, 2, 3):contiguous() end,
      function() return x:expand(huge, 2, 3) + 1 end, function() return x["repeat"](x, huge, 1, 1) end,
      function() return torch.FloatTensor(huge) end, function() return nn.Linear(1 << 23, 1 << 23) end,
      function() return torch.Tensor(huge) end, function() return torch.full({ huge }, 1) end,
    } do
      near.refuses(function()
        local r = f()
        return r
      end, "bad_input_spec.lua:", "out of memory: you tried to allocate")
    end
    assert.equal(before, used())
    assert.equal(15, x:sum():item())
  end)

  it("comes from the cap too, which a model in training survives", function()
    torch.manual_seed(1)
    local model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    local optimizer = torch.optim.Adam(model:parameters(), { lr = 0.0001 })
    local function step(rows)
      optimizer:zero_grad()
      local loss = (model(torch.ones(rows, 64)) ^ 2):mean()
      loss:backward()
      optimizer:step()
      return loss:item()
    end
    step(4)
    torch.trim_memory()
    torch.set_memory_cap(used() + (1 << 20))
    local refused = 0
    for rows = 1000, 50000, 7000 do
      local ok, message = pcall(step, rows)
      if not ok then
        refused = refused + 1
        assert.is_truthy(message:find("out of memory", 1, true), message)
      end
    end
    local small = step(4)
    torch.set_memory_cap(0)
    assert.is_true(refused > 0)
    assert.is_true(small >= 0 and small < 1)
    assert.is_true(step(50000) < 1)
  end)

  it("of Lua's own allocator while results are boxed leaves the core whole", function()
    local x = torch.ones(3, { requires_grad = true })
    local text = ("x"):rep(1 << 20)
    assert.is_false(pcall(text.rep, text, 1 << 42))
    local y = (x * 2):sum()
    y:backward()
    assert.same({ 2, 2, 2 }, x.grad:tolist())
  end)
end)

describe("files that are cut short or lie", function()
  local safetensors, idx = torch.utils.safetensors, torch.utils.idx

  it("safetensors: at every length and with every byte turned", function()
    local path = os.tmpname()
    safetensors.save_file({ a = torch.arange(4), b = torch.ones(2, 2) }, path)
    local bytes = near.read(path)
    os.remove(path)
    for n = 0, #bytes - 1 do
      near.refuses(function()
        local r = safetensors.load(bytes:sub(1, n))
        return r
      end, "bad_input_spec.lua:", "load_file()")
    end
    for n = 1, #bytes do
      for _, flip in ipairs { 1, 0x80, 0xff } do
        local other = bytes:sub(1, n - 1) .. string.char(bytes:byte(n) ~ flip) .. bytes:sub(n + 1)
        local ok, r = pcall(safetensors.load, other)
        if ok then for _, t in pairs(r) do t:sum() end end
      end
    end
  end)

  it("IDX: at every length and with every byte turned", function()
    local bytes = "\0\0\8\2\0\0\0\2\0\0\0\3" .. "\1\2\3\4\5\6"
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, idx.parse(bytes):tolist())
    for n = 0, #bytes - 1 do
      near.refuses(function()
        local r = idx.parse(bytes:sub(1, n))
        return r
      end, "bad_input_spec.lua:")
    end
    for n = 1, 12 do
      for _, flip in ipairs { 1, 0x80, 0xff } do
        pcall(idx.parse, bytes:sub(1, n - 1) .. string.char(bytes:byte(n) ~ flip) .. bytes:sub(n + 1))
      end
    end
  end)
end)

describe("numbers at the ends of int64", function()
  local least = math.mininteger

  it("overflow nothing on their way through an operator", function()
    assert.are.equal("tensor([nan, nan])", tostring(torch.tensor { 1.5, -2.5 }:round { decimals = least }))
    assert.are.equal("torch.Size([0])", tostring(torch.zeros(3, 3):diagonal(least).shape))
    assert.are.equal("torch.Size([0])", tostring(torch.zeros(3, 3):diagonal(math.maxinteger).shape))
  end)

  it("wrap around in the means of pooling, and are refused as groups", function()
    local function mean(last, divisor)
      local x = torch.tensor { { { { least, last }, { 0, 0 } } } }
      return F.avg_pool2d(x, 2, { divisor_override = divisor }):item()
    end
    assert.are.equal(-math.maxinteger, mean(-1, -1))
    assert.are.equal(least, mean(0, -1))
    local x, weight = torch.ones(1, 1, 3), torch.ones(3, 3, 1)
    local ok, why = pcall(torch.conv_transpose1d, x, weight, { groups = math.maxinteger })
    assert.is_false(ok)
    assert.matches("Given groups=9223372036854775807, expected weight to be at least", why)
  end)

  it("are no offset of a diagonal", function()
    for _, offset in ipairs { math.maxinteger - 1, -math.maxinteger + 1, math.mininteger, 1 << 40 } do
      local ok, why = pcall(torch.diag, torch.ones(1), offset)
      assert.is_false(ok)
      assert.matches("diag%(%): %a", why)
    end
  end)

  it("are refused as sizes even beside a zero, which makes their product 0", function()
    for _, size in ipairs { { 0, 4, 1 << 62 }, { 1 << 62, 4, 0 }, { 1 << 62, 0, 4 } } do
      for _, name in ipairs { "reshape", "view" } do
        local ok, why = pcall(torch.zeros(0)[name], torch.zeros(0), size)
        assert.is_false(ok)
        assert.matches("size overflow", why)
      end
    end
  end)
end)

describe("nothing of a refused call", function()
  it("stays in memory", function()
    local function all()
      for _, topic in ipairs(calls) do
        for k = 2, #topic do check_row(topic[k]) end
      end
    end
    all()
    local before = used()
    all()
    assert.is_true(used() <= before + 4096, ("%d bytes more"):format(used() - before))
  end)
end)
