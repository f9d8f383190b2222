--- Random calls of random operators: shapes, dtypes, layouts, positions, keywords and special values at random. Nothing
-- may crash, and each error must be text with a position and the operator's name. FUZZ_CALLS and FUZZ_SEED set how many
-- calls and which; a failure prints its seed and the calls before it are made again by the same seed.
local torch = require "moontorch"
local samples = require "spec.support.samples"
local operators = require "spec.support.operators"

local calls = math.tointeger(os.getenv("FUZZ_CALLS") or 6000)
local seed = os.getenv("FUZZ_SEED") or "1"

local dtypes = {
  torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool, torch.float16, torch.bfloat16,
  torch.int16, torch.int8,
}
local sizes = { 0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 16, 17 }
local odd_sizes = { -1, -2, 9, 31, 1 << 20, 1 << 40, 1 << 62, math.maxinteger, math.mininteger, 1.5, 0 / 0 }
local odd_numbers = {
  0, -0.0, 1, -1, 2, 0.5, 1e-30, 1e30, 1e300, 1 / 0, -1 / 0, 0 / 0, math.maxinteger, math.mininteger, 255, -128,
}
local words = { "mean", "sum", "none", "floor", "trunc", "fro", "nuc", "ij", "xy", "", "max", ("x"):rep(600) }
local odd_values = { {}, { 1, "a" }, { a = 1 }, "text", true, print, torch.none, torch, { { 1 } }, io.stdout }

local function generator(text)
  local s = samples.stream(text)
  local g = { stream = s }
  function g.chance(p) return s.uniform() < p end
  function g.pick(list) return list[s.below(#list) + 1] end

  function g.number() return g.chance(0.7) and s.below(7) - 2 or g.pick(odd_numbers) end
  function g.size() return g.chance(0.93) and g.pick(sizes) or g.pick(odd_sizes) end
  function g.dim() return g.chance(0.85) and s.below(5) - 1 or g.pick(odd_numbers) end

  function g.list(fn, most)
    local list = {}
    for k = 1, s.below(most + 1) do list[k] = fn() end
    return list
  end

  function g.shape()
    local shape, total = {}, 1
    for k = 1, g.pick { 0, 1, 1, 2, 2, 2, 3, 3, 4, 8 } do
      shape[k] = total > 500 and 1 or g.pick(sizes)
      total = total * math.max(shape[k], 1)
    end
    return shape
  end

  local function filled(shape, dtype)
    local count = 1
    for _, n in ipairs(shape) do count = count * n end
    if count == 0 then return torch.zeros(shape, { dtype = dtype }) end
    local values, special = {}, g.chance(0.15)
    for k = 1, count do
      local v = special and g.pick(odd_numbers) or s.normal() * 2
      if dtype == torch.bool then v = v > 0
      elseif not dtype.is_floating_point then v = (v == v and math.abs(v) < 1e15) and math.floor(v) or 0 end
      values[k] = dtype.is_floating_point and v + 0.0 or v
    end
    local as = dtype == torch.bool and torch.bool or dtype.is_floating_point and torch.float64 or torch.int64
    return torch.tensor(values, { dtype = as }):reshape(shape):to(dtype)
  end

  local last
  -- Often of the shape or dtype of the tensor before it, so that calls get past the checks.
  function g.tensor(kind)
    local dtype = kind == "Index" and g.chance(0.9) and torch.int64 or g.chance(0.5) and torch.float32 or g.pick(dtypes)
    if kind == "mask" and g.chance(0.8) then dtype = torch.bool end
    local shape = last and g.chance(0.6) and last.shape or g.shape()
    if last and g.chance(0.15) and kind ~= "Index" then return last end
    local t
    if kind == "Index" and dtype == torch.int64 then
      local list, most = { table.unpack(shape) }, g.pick { 1, 2, 3, 5 }
      t = filled(list, torch.uint8):remainder(most):long() + 1
      if g.chance(0.1) then t = t * g.pick { 0, -1, 100, -100, 1 << 40 } end
    else
      t = filled({ table.unpack(shape) }, dtype)
    end
    local layout = s.below(8)
    if layout == 1 then t = samples.swapped(t)
    elseif layout == 2 then t = samples.sliced(t)
    elseif layout == 3 then t = samples.expanded(t) end
    if t.dtype.is_floating_point and g.chance(0.3) then t = t:detach():requires_grad_() end
    last = t
    return t
  end

  function g.value(param)
    if g.chance(0.03) then return g.pick(odd_values) end
    local kind = param.type
    if kind == "Tensor" then return g.tensor((param.name:find "mask" or param.name == "condition") and "mask") end
    if kind == "Index" then return g.tensor("Index") end
    if kind == "Operand" then return g.chance(0.6) and g.tensor() or g.number() end
    if kind == "Tensor[]" then return g.list(g.tensor, 3) end
    if kind == "Number" or kind == "float" then return g.number() end
    if kind == "int" then return g.chance(0.8) and s.below(6) or g.number() end
    if kind == "bool" then return g.chance(0.5) end
    if kind == "str" then return g.pick(words) end
    if kind == "dtype" then return g.chance(0.9) and g.pick(dtypes) or g.pick { "float64", "half", 7 } end
    if kind == "device" then return g.pick { "cpu", "cpu", "cuda", "cuda:7", "nowhere" } end
    if kind == "Dim" or kind == "Position" then return g.dim() end
    if kind == "Dims" then return g.chance(0.5) and g.dim() or g.list(g.dim, 3) end
    if kind == "Size" or kind == "ints" then return g.list(g.size, 4) end
    if kind == "Numbers" then return g.list(g.number, 3) end
    if kind == "Generator" then return g.chance(0.5) and torch.Generator() or nil end
    error("a parameter type that the fuzzer does not know: " .. kind)
  end

  function g.arguments(op)
    last = nil
    local args = { n = 0, keywords = {} }
    local keyword = g.chance(0.15)
    for k, param in ipairs(op.parsed.params) do
      local leave_out = param.has_default and g.chance(0.6)
      keyword = keyword or param.keyword_only or leave_out
      if not leave_out then
        local v = g.value(param)
        if keyword then
          args.keywords[param.name] = v
        else
          args[k] = v
          args.n = k
        end
      end
    end
    if g.chance(0.02) then args.keywords.bogus = 1 end
    return args
  end
  return g
end

-- Called like this, the error is no operator's: a method of something that is no tensor.
local function callable(form, args)
  return form.word == "function" or torch.is_tensor(args[1])
end

local function spelled(op, form, args)
  local parts = {}
  local function show(v)
    if torch.is_tensor(v) then return ("%s%s"):format(tostring(v.dtype), tostring(v.shape)) end
    if type(v) == "string" then return ("%q"):format(v) end
    if type(v) ~= "table" then return tostring(v) end
    local list = {}
    for k, e in pairs(v) do list[#list + 1] = (type(k) == "string" and k .. "=" or "") .. show(e) end
    return "{" .. table.concat(list, ", ") .. "}"
  end
  for k = 1, args.n do parts[k] = show(args[k]) end
  parts[#parts + 1] = next(args.keywords) and show(args.keywords) or nil
  return ("%s as %s(%s)"):format(op.label, form.word, table.concat(parts, ", "))
end

-- A result that wants gradients is sent backward: that must not crash either.
local function backward(out)
  for k = 1, out.n do
    local t = out[k]
    if torch.is_tensor(t) and t.requires_grad and t.dtype.is_floating_point and t:numel() < 4096 then
      t:sum():backward()
    end
  end
end

describe("random calls", function()
  local list = {}
  for _, op in ipairs(operators.all()) do
    if not op.hidden then list[#list + 1] = op end
  end

  local cap = torch.memory().cap
  setup(function() torch.set_memory_cap(torch.memory().in_use + (256 << 20)) end)
  teardown(function() torch.set_memory_cap(cap) end)

  it(("of operators never crash (FUZZ_SEED=%s, FUZZ_CALLS=%d)"):format(seed, calls), function()
    local trace = os.getenv("FUZZ_TRACE") and io.open(os.getenv("FUZZ_TRACE"), "w")
    local made, worked, faults = 0, 0, {}
    local g = generator(seed)
    while made < calls do
      local op = g.pick(list)
      local forms = operators.forms(op)
      local form = forms[g.stream.below(#forms) + 1]
      local args = g.arguments(op)
      if callable(form, args) then
        made = made + 1
        if trace then
          trace:seek("set")
          trace:write(made, ": ", spelled(op, form, args), "\n")
          trace:flush()
        end
        local out, why = operators.try(form, args)
        if out then
          worked = worked + 1
          local good, reason = pcall(backward, out)
          if not good and type(reason) ~= "string" then faults[#faults + 1] = "backward raised a " .. type(reason) end
        else
          local wrong = operators.fault(op, why)
          if wrong then faults[#faults + 1] = spelled(op, form, args) .. ": " .. wrong end
        end
      end
    end
    if #faults > 0 then
      error(("seed %s: %d faults in %d calls, of which %d worked\n%s"):format(seed, #faults, calls, worked,
        table.concat(faults, "\n", 1, math.min(#faults, 15))), 0)
    end
    assert.is_true(worked > calls // 20, "only " .. worked .. " calls worked")
  end)
end)
