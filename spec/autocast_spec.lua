--- Autocast against PyTorch's: the dtype of every operator's results on the CPU and on a GPU, a training run, the casts
-- that are kept, and what regions do.
local torch = require "moontorch"
local samples = require "spec.support.samples"
local operators = require "spec.support.operators"
local exceptions = require "spec.support.exceptions"
local nn, F = torch.nn, torch.nn.functional

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local golden = dofile(here .. "/golden/autocast.lua")

local LOWER = { cpu = torch.bfloat16, cuda = torch.float16 }
local LETTERS = {
  [torch.float64] = "d", [torch.float32] = "s", [torch.float16] = "h", [torch.bfloat16] = "b", [torch.int64] = "q",
  [torch.int32] = "i", [torch.int16] = "t", [torch.int8] = "c", [torch.uint8] = "u", [torch.bool] = "o",
}

-- Where the dtypes differ: kind of device, pattern of the call, reason.
local EXCEPTIONS = {
  { "cpu", "^cpu f%(0,0%) .*not implemented for 'BFloat16'", "det: dtypes before sizes; PyTorch lets in the empty" },
  { "cpu", "^cpu f%(0%) 2 .*not implemented for 'BFloat16'", "histogram: the same" },
  -- Fake tensors are not refused where real ones are.
  { "cuda", "heaviside is not yet implemented for tensors with different dtypes", "refused on a GPU too" },
  { "cuda", "lu_cpu. not implemented for 'Half'", "det, solve: refused on a GPU too" },
  { "cuda", "linalg.svd: Low precision dtypes not supported", "refused on a GPU too" },
  { "cuda", "linalg_cross%(%): expected scalar type", "refused on a GPU too" },
  { "cuda", "mixed dtype %(CPU%): expect parameter to have scalar type of Float", "a GPU's norm takes it" },
  { "cuda", "^cuda f%(2,3%) {2,3} %([ln]%): s, expected h", "sum_to_size: nothing is summed" },
  { "cuda", "^cuda f%(%) f%(3%) %(m%): s, expected h", "inner with a number is a product in PyTorch" },
  { "cuda", "^cuda %[f%(2%),f%(%)%] %(n%): h, expected s", "block_diag of a number: as on the cpu" },
}

local function word(...)
  local parts = {}
  for _, v in ipairs(table.pack(...)) do
    if torch.is_tensor(v) then parts[#parts + 1] = LETTERS[v.dtype]
    elseif type(v) == "table" then parts[#parts + 1] = word(table.unpack(v))
    else parts[#parts + 1] = "." end
  end
  return table.concat(parts)
end

-- Float tensors as make_autocast.py casts them: all in float32 (s), all lower (l), the first so (n), the others so (m).
local function caster(kind, how)
  local seen = 0
  return function(t)
    if kind == "cuda" then t = t:cuda() end
    if t.dtype ~= torch.float32 then return t end
    seen = seen + 1
    local keep = how == "s" or how == "m" and seen == 1 or how == "n" and seen > 1
    return keep and t or t:to(LOWER[kind])
  end
end


-- Compares one call's four dtypes with the golden word; adds what differs to `wrong`.
local function compare(kind, label, expected, call, wrong)
  local at = 0
  for want in expected:gmatch "[^,]+" do
    at = at + 1
    local how = ("slmn"):sub(at, at)
    if want ~= "?" and want ~= "!" then
      local ok, got = pcall(function()
        return torch.autocast(kind, function() return word(call(how)) end)
      end)
      if not ok or got ~= want then
        local text = ("%s %s (%s): %s, expected %s"):format(kind, label, how, got, want)
        if not exceptions.excused(EXCEPTIONS, kind, text) then wrong[#wrong + 1] = text end
      end
    end
  end
end

-- PyTorch's word for that kind of device.
local function part_for(kind, both) return both:match(kind == "cpu" and "^(%S+)" or "(%S+)$") end

local function environment(kind, how)
  local lower = LOWER[kind]
  local first = (how == "s" or how == "m") and torch.float32 or lower
  local others = (how == "s" or how == "n") and torch.float32 or lower
  local function made(dtype, ...) return torch.rand(...):to(kind):to(dtype) end
  local e = { torch = torch, F = F }
  e.f, e.g, e.w, e.B = made(first, 3, 4), made(others, 3, 4), made(others, 5, 4), made(others, 2, 4, 4)
  e.S = (torch.rand(3, 3) + 2 * torch.eye(3)):to(kind):to(first)
  e.F3, e.W3 = made(first, 2, 4, 5), made(others, 3, 4, 2)
  e.F4, e.W4 = made(first, 2, 4, 4, 4), made(others, 4, 4, 3, 3)
  e.F5, e.F3t = made(first, 1, 2, 4, 4, 4), made(first, 5, 2, 4)
  e.p = (torch.rand(3, 4) * 0.5 + 0.25):to(kind):to(others)
  e.t = torch.tensor({ 1.0, -1.0, 1.0 }):to(kind):to(others)
  e.pooled, e.at = F.max_pool2d(e.F4, 2, { return_indices = true })
  e.c = torch.tensor({ 1, 2, 1 }):to(kind)
  e.nn = setmetatable({}, { __index = function(_, name)
    return function(...) return nn[name](...):to(kind) end
  end })
  if kind == "cuda" then
    e.torch = setmetatable({ ones = function(...) return torch.ones(...):cuda() end }, { __index = torch })
  end
  return e
end

local by_schema = {}
for _, op in ipairs(operators.all()) do by_schema[op.schema] = op end

local function check_samples(kind, entry)
  local op, wrong = by_schema[entry[1]], {}
  assert(op, "no operator has this schema any more: make golden-table, then make_autocast.py")
  local form = operators.forms(op)[1]
  for k = 2, #entry do
    local sample = samples.parse(entry[k][1])[1]
    compare(kind, entry[k][1], part_for(kind, entry[k][2]), function(how)
      local args = samples.build(sample, op.name, torch.float32, false)
      local cast, made = caster(kind, how), {}
      for _, t in ipairs(samples.tensors(args)) do made[t] = cast(t) end
      return form.call(samples.map(args, function(t) return made[t] end))
    end, wrong)
  end
  if #wrong > 0 then error(table.concat(wrong, "\n"), 0) end
end

for _, kind in ipairs { "cpu", "cuda" } do
  if kind == "cpu" or torch.cuda.is_available() then
    describe("the dtypes of autocast on " .. kind, function()
      for k, entry in ipairs(golden) do
        if k then it(entry[1], function() check_samples(kind, entry) end) end
      end

      it("are PyTorch's for functions and modules that are composed", function()
        local wrong = {}
        for _, call in ipairs(golden.calls) do
          compare(kind, call[1], part_for(kind, call[2]), function(how)
            return load("return " .. call[1], call[1], "t", environment(kind, how))()
          end, wrong)
        end
        if #wrong > 0 then error(table.concat(wrong, "\n"), 0) end
      end)
    end)
  end
end

it("needs every exception made here", function()
  local here_needed = {}
  for _, e in ipairs(EXCEPTIONS) do
    if e[1] == "cpu" or torch.cuda.is_available() then here_needed[#here_needed + 1] = e end
  end
  exceptions.check_needed(here_needed)
end)

describe("a training run under autocast", function()
  local Net = nn.class("Net")
  function Net:init()
    self.conv = nn.Conv1d(3, 8, 3, { padding = 1 })
    self.norm = nn.LayerNorm(8)
    self.lstm = nn.LSTM(8, 8, { batch_first = true })
    self.out = nn.Linear(8, 4)
  end
  function Net:forward(x)
    local h = F.relu(self.conv(x)):transpose(2, 3)
    h = self.lstm(self.norm(h))
    return self.out(h:mean(2))
  end

  it("goes as PyTorch's, up to the rounding of bfloat16", function()
    torch.manual_seed(7)
    local net = Net()
    local x, y = torch.randn(16, 3, 10), torch.randint(4, { 16 }) + 1
    local optimizer = torch.optim.AdamW(net:parameters(), { lr = 0.02 })
    for step, expected in ipairs(golden.losses) do
      local loss = torch.autocast("cpu", function() return F.cross_entropy(net(x), y) end)
      optimizer:zero_grad()
      loss:backward()
      for name, p in net:named_parameters() do
        assert.equal(torch.float32, p.dtype)
        assert.equal(torch.float32, p.grad.dtype, name)
      end
      optimizer:step()
      local got = loss:item()
      assert.is_true(math.abs(got - expected) <= 0.01 + 0.03 * expected,
        ("step %d: %.6f, PyTorch %.6f"):format(step, got, expected))
    end
  end)
end)

describe("autocast", function()
  local x, w = torch.randn(3, 4), torch.randn(5, 4)

  it("is a block that gives results, and puts back what was", function()
    assert.is_false(torch.is_autocast_enabled "cpu")
    local a, b = torch.autocast("cpu", function() return F.linear(x, w), torch.is_autocast_enabled "cpu" end)
    assert.equal(torch.bfloat16, a.dtype)
    assert.is_true(b)
    do
      local _ <close> = torch.autocast("cpu", { dtype = torch.float16 })
      assert.equal(torch.float16, x:mm(w:t()).dtype)
      assert.equal(torch.float16, torch.get_autocast_dtype "cpu")
      torch.autocast("cpu", { enabled = false }, function()
        assert.equal(torch.float32, x:mm(w:t()).dtype)
        torch.amp.autocast("cpu", torch.bfloat16, function() assert.equal(torch.bfloat16, x:mm(w:t()).dtype) end)
        assert.equal(torch.float32, x:mm(w:t()).dtype)
      end)
      assert.equal(torch.float16, x:mm(w:t()).dtype)
    end
    assert.is_false(torch.is_autocast_enabled "cpu")
    assert.equal(torch.bfloat16, torch.get_autocast_dtype "cpu")
    assert.is_false(pcall(torch.autocast, "cpu", function() error "x" end))
    assert.is_false(torch.is_autocast_enabled "cpu")
    assert.equal(torch.float32, x:mm(w:t()).dtype)
  end)

  it("goes on in a coroutine that yields inside of it", function()
    local co = coroutine.wrap(function()
      return torch.autocast("cpu", function()
        coroutine.yield(x:mm(w:t()).dtype)
        return x:mm(w:t()).dtype
      end)
    end)
    assert.equal(torch.bfloat16, co())
    assert.equal(torch.bfloat16, co())
    assert.is_false(torch.is_autocast_enabled "cpu")
  end)

  it("leaves float64, integers and writes in place alone", function()
    torch.autocast("cpu", function()
      assert.equal(torch.float64, x:double():mm(w:double():t()).dtype)
      assert.equal(torch.int64, torch.ones(2, 2):long():mm(torch.ones(2, 2):long()).dtype)
      local y = torch.zeros(3, 5)
      assert.equal(torch.float32, y:addmm_(x, w:t()).dtype)
      assert.equal(torch.float32, (x + x).dtype)
    end)
  end)

  it("says where it cannot be", function()
    local warnings = require "spec.support.warnings"
    local function refused(pattern, ...)
      local ok, why = pcall(torch.autocast, ...)
      assert.is_false(ok)
      assert.is_truthy(tostring(why):find(pattern, 1, true), why)
    end
    refused("Expected `device_type` of type `str`", 3)
    refused("User specified an unsupported autocast device_type 'xpu'", "xpu")
    refused("unexpected keyword argument 'type'", "cpu", { type = torch.float16 })
    local said = warnings(function()
      torch.autocast("cpu", { dtype = torch.float32 }, function() assert.is_false(torch.is_autocast_enabled "cpu") end)
    end)
    assert.is_truthy(table.concat(said, "\n"):find("In CPU autocast, but the target dtype is not supported", 1, true))
    if not torch.cuda.is_available() then
      said = warnings(function()
        torch.autocast("cuda", function() assert.is_false(torch.is_autocast_enabled "cuda") end)
      end)
      assert.is_truthy(table.concat(said, "\n"):find("CUDA is not available. Disabling autocast", 1, true))
    end
    local ok, why = pcall(torch.autocast, "cpu", function() return torch.cat { x, x:half() } end)
    assert.is_false(ok)
    assert.is_truthy(why:find("Unexpected floating ScalarType in at::autocast::prioritize", 1, true), why)
  end)

  it("is off in the workers of a DataLoader", function()
    torch.autocast("cpu", function()
      local loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x), {
        num_workers = 1, batch_size = 3,
        collate_fn = function(list)
          local t = require "moontorch"
          local rows = {}
          for i, s in ipairs(list) do rows[i] = s[1] end
          local all = t.stack(rows)
          return { all:mm(all:t()), t.is_autocast_enabled "cpu" }
        end,
      })
      for batch in loader() do
        assert.equal(torch.float32, batch[1].dtype)
        assert.is_false(batch[2])
      end
    end)
  end)

  it("has the switches of PyTorch", function()
    torch.set_autocast_enabled("cpu", true)
    torch.set_autocast_dtype("cpu", torch.float16)
    assert.equal(torch.float16, x:mm(w:t()).dtype)
    assert.equal(torch.float16, torch.get_autocast_cpu_dtype())
    torch.set_autocast_cpu_enabled(false)
    torch.set_autocast_cpu_dtype(torch.bfloat16)
    assert.equal(torch.float32, x:mm(w:t()).dtype)
    assert.is_true(torch.is_autocast_cache_enabled())
    torch.set_autocast_cache_enabled(false)
    assert.is_false(torch.is_autocast_cache_enabled())
    torch.set_autocast_cache_enabled(true)
    assert.is_true(torch.amp.is_autocast_available "cpu")
    assert.is_false(torch.amp.is_autocast_available "xpu")
    assert.equal(1, torch.autocast_increment_nesting())
    assert.equal(0, torch.autocast_decrement_nesting())
    assert.equal(torch.float16, torch.get_autocast_gpu_dtype())
  end)
end)

describe("casts of weights under autocast", function()
  -- The node behind the cast that `weight` went through in F.linear(x, weight).
  local function cast_of(result) return result.grad_fn.next_functions[2][1] end

  it("are made once in a region, and not kept beyond it", function()
    local x, w = torch.randn(3, 4), nn.Parameter(torch.randn(5, 4))
    local first
    torch.autocast("cpu", function()
      first = cast_of(F.linear(x, w))
      assert.equal(first, cast_of(F.linear(x, w)))
      torch.autocast("cpu", { enabled = false }, function() end)
      assert.equal(first, cast_of(F.linear(x, w)))
      torch.clear_autocast_cache()
      assert.are_not.equal(first, cast_of(F.linear(x, w)))
    end)
    torch.autocast("cpu", function() assert.are_not.equal(first, cast_of(F.linear(x, w))) end)
    torch.autocast("cpu", { cache_enabled = false }, function()
      assert.are_not.equal(cast_of(F.linear(x, w)), cast_of(F.linear(x, w)))
    end)
  end)

  it("add up their gradients, in several passes too", function()
    local x, w = torch.ones(1, 4), nn.Parameter(torch.ones(2, 4))
    torch.autocast("cpu", function()
      (F.linear(x, w):sum() + F.linear(x, w):sum()):backward()
      assert.same({ { 2, 2, 2, 2 }, { 2, 2, 2, 2 } }, w.grad:tolist())
      F.linear(x, w):sum():backward()
      assert.same({ { 3, 3, 3, 3 }, { 3, 3, 3, 3 } }, w.grad:tolist())
    end)
    assert.equal(torch.float32, w.grad.dtype)
  end)

  it("are never older than the weight", function()
    local x, w = torch.ones(1, 4), nn.Parameter(torch.ones(2, 4))
    torch.autocast("cpu", function()
      assert.same({ { 4, 4 } }, F.linear(x, w):float():tolist())
      torch.no_grad(function() w:mul_(2) end)
      assert.same({ { 8, 8 } }, F.linear(x, w):float():tolist())
      w.data = torch.ones(2, 4) * 3
      assert.same({ { 12, 12 } }, F.linear(x, w):float():tolist())
      local optimizer = torch.optim.SGD({ w }, { lr = 1 })
      F.linear(x, w):sum():backward()
      optimizer:step()
      assert.same({ { 8, 8 } }, F.linear(x, w):float():tolist())
    end)
  end)

  it("made under no_grad do not lose a later gradient", function()
    local x, w = torch.ones(1, 4), nn.Parameter(torch.ones(2, 4))
    torch.autocast("cpu", function()
      torch.no_grad(function() assert.is_false(F.linear(x, w).requires_grad) end)
      torch.inference_mode(function() assert.is_false(F.linear(x, w).requires_grad) end)
      F.linear(x, w):sum():backward()
    end)
    assert.same({ { 1, 1, 1, 1 }, { 1, 1, 1, 1 } }, w.grad:tolist())
  end)
end)

describe("functions with a gradient of their own under autocast", function()
  local seen
  local function make(options)
    return torch.autograd.Function {
      forward = torch.amp.custom_fwd(function(ctx, a, b)
        seen = { a.dtype, torch.is_autocast_enabled "cpu" }
        ctx:save_for_backward(a, b)
        return a:mm(b)
      end, options),
      backward = torch.amp.custom_bwd(function(ctx, g)
        local a, b = ctx:saved_tensors()
        seen[3] = torch.is_autocast_enabled "cpu"
        return g:mm(b:t()), a:t():mm(g)
      end, { device_type = "cpu" }),
    }
  end

  it("run as they were called, backward too", function()
    local a, b = torch.ones(2, 2):requires_grad_(), torch.ones(2, 2):requires_grad_()
    local f = make { device_type = "cpu" }
    local y = torch.autocast("cpu", function() return f.apply(a, b) end)
    assert.equal(torch.bfloat16, y.dtype)
    y:sum():backward()
    assert.same({ torch.float32, true, true }, seen)
    assert.equal(torch.float32, a.grad.dtype)
    assert.same({ { 2, 2 }, { 2, 2 } }, a.grad:tolist())
    f.apply(a, b):sum():backward()
    assert.same({ torch.float32, false, false }, seen)
  end)

  it("get their inputs in one dtype with cast_inputs, and autocast is off in them", function()
    local a, b = torch.ones(2, 2):bfloat16():requires_grad_(), torch.ones(2, 2):requires_grad_()
    local f = make { device_type = "cpu", cast_inputs = torch.float32 }
    local y = torch.autocast("cpu", function() return f.apply(a, b) end)
    assert.equal(torch.float32, y.dtype)
    y:sum():backward()
    assert.same({ torch.float32, false, false }, seen)
    assert.equal(torch.bfloat16, a.grad.dtype)
  end)
end)
