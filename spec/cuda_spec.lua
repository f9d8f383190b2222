--- Every operator on a GPU against the same call on the CPU: values, dtypes, layouts, gradients. Half of the operators
-- are here, the others in cuda_rest_spec.lua, so that two processors share the work.
local rest = ... == "rest"
local torch = require "moontorch"
local samples = require "spec.support.samples"
local operators = require "spec.support.operators"
local gpu = require "spec.support.gpu"

if gpu.missing(describe, it, "CUDA") then return end

local try, difference = operators.try, operators.difference

-- Views of memory as it lies: a copy on the device lies in order.
local sees_memory = {
  as_strided = true, as_strided_scatter = true, part_view = true, view = true, view_as = true,
}
-- Goes to a device by itself.
local travels = { move = true }
-- Parts of one whole: what goes in belongs together, and the operator that they are parts of is compared.
local pieces = { recurrent_back = true, cross_entropy_back = true }
local tolerance = {
  [torch.float64] = 1e-11, [torch.float32] = 2e-5, [torch.float16] = 1e-2, [torch.bfloat16] = 6e-2,
}

local function to_device(args) return samples.map(args, function(t) return t:cuda() end) end

-- Results on the host; nil and which is not on the device.
local function to_host(out)
  local host = { n = out.n, list = out.list }
  for k = 1, out.n do
    host[k] = out[k]
    if torch.is_tensor(out[k]) then
      if not out[k].is_cuda then return nil, ("result %d is on %s"):format(k, tostring(out[k].device)) end
      host[k] = out[k]:detach():cpu()
    end
  end
  return host
end

-- Gradients of their projection with respect to all float inputs; nil and why where there are none.
local function gradients(form, args)
  local leaves = {}
  local given = samples.map(args, function(t)
    if not t.dtype.is_floating_point then return t end
    leaves[#leaves + 1] = t:detach():requires_grad_()
    return leaves[#leaves]
  end)
  if #leaves == 0 then return nil, "no float input" end
  local ok, why = pcall(function()
    local total = operators.projection(operators.call(form, given))
    if not total then error("no result wants a gradient", 0) end
    return table.pack(torch.autograd.grad(total, leaves, { allow_unused = true, materialize_grads = true }))
  end)
  return ok and why or nil, why
end

-- Whole numbers become float32 where a function has fractions, whatever the sample's other dtypes.
local function bound_of(results, bound)
  for k = 1, results.n do
    local own = torch.is_tensor(results[k]) and tolerance[results[k].dtype]
    if own and own > bound then bound = own end
  end
  return bound
end

-- 16-bit floats that only a GPU takes, as in PyTorch: the CPU computes them in float32.
local only_there = { avg_pool3d = true }
local function in_float32(form, args)
  local dtype
  local wide = samples.map(args, function(t)
    dtype = t.dtype
    return t:float()
  end)
  local wanted = dtype and dtype.is_floating_point and try(form, wide)
  for k, t in ipairs(wanted or {}) do wanted[k] = t:to(dtype) end
  return wanted
end

local function compare(op, r, where, form, args, bound)
  local wanted, refused = try(form, args)
  if not wanted and only_there[op.name] then wanted = in_float32(form, args) end
  local got, why = try(form, to_device(args))
  if not wanted then
    if got then r.bad(where, "works, but not on the CPU: %s", refused) end
    return false
  end
  if not got then return r.bad(where, "%s", why) end
  if op.random or operators.unwritten[op.name] then return false end
  if #samples.tensors(args) == 0 then return false end -- a creation: it stays on the host unless asked
  local host, astray = to_host(got)
  local different = host and difference(host, wanted, bound_of(wanted, bound))
  if not host or different then r.bad(where, "%s", astray or different) end
  return host and not different
end

local function check_gradient(r, where, form, args, bound)
  local wanted = gradients(form, args)
  if not wanted then return end
  local got, why = gradients(form, to_device(args))
  if not got then return r.bad(where, "gradient: %s", why) end
  local host, astray = to_host(got)
  local different = host and difference(host, wanted, bound)
  if not host or different then r.bad(where, "gradient: %s", astray or different) end
end

if not rest then describe("CUDA", function()
  it("changes nothing where a write in place is refused", function()
    local p = torch.ones(3, { device = "cuda" }):requires_grad_()
    local g, m, v = torch.ones(3):cuda(), torch.zeros(3):cuda(), torch.zeros(3):cuda()
    local ok, why = pcall(torch._adam_step_, p, g, m, v, 0.1, 0.9, 0.999, 1e-8, 0, false, 1)
    assert.is_false(ok)
    assert.is_truthy(why:find("leaf Variable that requires grad", 1, true), why)
    assert.same({ 0, 0, 0 }, m:cpu():tolist())
    assert.same({ 1, 1, 1 }, p:detach():cpu():tolist())
  end)

  it("counts memory and gives it back", function()
    local before = torch.cuda.memory_allocated()
    local x = torch.zeros(1 << 20, { device = "cuda" })
    assert.equal(before + (4 << 20), torch.cuda.memory_allocated())
    assert.is_true(torch.cuda.max_memory_allocated() >= before + (4 << 20))
    local free, total = torch.cuda.mem_get_info(0)
    assert.is_true(free > 0 and free < total)
    x:free()
    assert.equal(before, torch.cuda.memory_allocated())
    assert.is_true(torch.cuda.memory_reserved() >= 4 << 20)
    local cached = torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    assert.is_true(torch.cuda.memory_reserved() <= cached - (4 << 20))
    torch.cuda.reset_peak_memory_stats("cuda:0")
    assert.equal(torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated())
    assert.is_true(torch.cuda.max_memory_reserved() <= cached)
    torch.cuda.synchronize()
  end)

  it("says which device there is not, and goes on", function()
    local ok, why = pcall(torch.cuda.synchronize, 99)
    assert.is_false(ok)
    assert.is_truthy(why:find("invalid device ordinal", 1, true), why)
    ok, why = pcall(torch.zeros, 2, { device = "cuda:99" })
    assert.is_false(ok)
    assert.is_truthy(why:find("there is no cuda:99", 1, true), why)
    ok, why = pcall(torch.zeros, 1 << 40, { device = "cuda" })
    assert.is_false(ok)
    assert.is_truthy(why:find("CUDA out of memory", 1, true), why)
    assert.equal(2, torch.ones(2, { device = "cuda" }):sum():item())
  end)
end) end

-- float64 and other layouts run on a stream of their own: a kernel that takes another one shows, since the stand-in
-- orders what streams and events order and nothing else.
local side = torch.cuda.Stream()
local function aside(f) return torch.cuda.stream(side, f) end
local function here(f) return f() end

local LAYOUTS = { swapped = samples.swapped, sliced = samples.sliced }

for number, op in ipairs(operators.all()) do
  local mine = (number % 2 == 1) == rest
  if mine and not pieces[op.name] and not travels[op.name] then describe("CUDA " .. op.label, function()
    it("is the CPU's in values, layouts and gradients", function()
      local r = operators.report()
      local form = operators.pure(op)
      for _, sample in ipairs(op.cases) do
        for dtype, bound in pairs(tolerance) do
          local args = samples.build(sample, op.name, dtype)
          local where = sample.text .. " in " .. tostring(dtype)
          local run = dtype == torch.float64 and aside or here
          run(function()
            local same = compare(op, r, where, form, args, bound)
            if same and not op.no_gradient and (dtype == torch.float64 or dtype == torch.float32) then
              check_gradient(r, where, form, args, bound * 10)
            end
          end)
        end
        local args = samples.build(sample, op.name, torch.float64)
        for name, change in pairs(sees_memory[op.name] and {} or LAYOUTS) do
          local laid = samples.map(args, function(t) return (change(t)) end)
          aside(function() compare(op, r, sample.text .. " " .. name, form, laid, 1e-11) end)
        end
        for _, dtype in ipairs { torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool } do
          local typed = samples.build(sample, op.name, dtype, true)
          compare(op, r, sample.text .. " in " .. tostring(dtype), form, typed, 1e-6)
        end
      end
      r.finish()
    end)
  end) end
end
