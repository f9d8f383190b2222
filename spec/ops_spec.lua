--- Walks the op table: whatever is registered is tested by its samples, so a new operator is tested because it exists.
local torch = require "moontorch"
local samples = require "spec.support.samples"
local operators = require "spec.support.operators"
local gradcheck = require "spec.support.gradcheck"

local call, try, difference, fault = operators.call, operators.try, operators.difference, operators.fault
local projection, with_leaves, differentiable = operators.projection, operators.with_leaves, operators.differentiable

-- Views that refuse data which would have to move.
local needs_order = { view = true, view_as = true }
-- Views of memory as it lies: the layout is their input.
local sees_memory = { as_strided = true, as_strided_scatter = true, part_view = true }
-- Views of bytes, whose values depend on layout and dtype; golden cases hold them. By label.
local sees_bytes = { ["view(Tensor input, dtype dtype)"] = true }
-- A function of values that are rounded first may jump: whole quotients, equal sums, bins.
local jumps = { floor_divide = true, div = true, remainder = true, fmod = true, histc = true }

-- What their gradient is of is not log_probs alone but the input of the log_softmax before, as in PyTorch.
local beyond = { ctc = true, ctc_loss = true }
-- Integers are subtracted in their own width, where unsigned numbers wrap around, before they become wider.
local wraps = {
  trapezoid = true, trapz = true, cumulative_trapezoid = true, pairwise_distance = true, l1_loss = true,
  affine_grid_generator = true,
}
-- Computed in float64 whatever comes in.
local in_double = { float_power = true }

local float_dtypes = { torch.float64, torch.float32, torch.float16, torch.bfloat16 }
local other_dtypes = { torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool }
local tolerance = { [torch.float64] = 1e-12, [torch.float32] = 3e-5, [torch.float16] = 1e-2, [torch.bfloat16] = 6e-2 }

-- Declaration --------------------------------------------------------------------------------------------------------

local function check_declaration(op, r)
  if not op.doc or #op.doc < 4 then r.bad("declaration", "no doc") end
  if #op.cases == 0 then r.bad("declaration", "no samples") end
  if not (op.gradient or op.composed or op.no_gradient) then
    r.bad("declaration", "no gradient, nor the word that it has none")
  end
  if op.gradient and op.no_gradient then r.bad("declaration", "a gradient and the word that it has none") end
  local form = operators.forms(op)
  if #form == 0 then r.bad("declaration", "no form to call it in") end
end

-- Forms: function, method, keywords ----------------------------------------------------------------------------------

local result_types = { Tensor = "tensor", Index = "tensor", bool = "boolean", Number = "number" }

local function check_results(op, out, where, r)
  local returns = op.parsed.returns
  if returns[1] == "Tensor[]" then
    if not out.list then r.bad(where, "returns no list") end
    return
  end
  if returns[1] == "None" then return end
  if out.n > #returns or out.n < #returns - op.parsed.may_lack then
    r.bad(where, "%d results, the schema has %d", out.n, #returns)
  end
  for k = 1, math.min(out.n, #returns) do
    local kind = torch.is_tensor(out[k]) and "tensor" or type(out[k])
    if kind ~= result_types[returns[k]] then r.bad(where, "result %d is a %s", k, kind) end
    if returns[k] == "Index" and kind == "tensor" and out[k].dtype ~= torch.int64 and not op.parsed.params.dtype then
      r.bad(where, "positions in %s", tostring(out[k].dtype))
    end
  end
end

local function check_forms(op, sample, r)
  local args = samples.build(sample, op.name)
  local form = operators.pure(op)
  local out, message = try(form, args)
  if not out then
    r.bad(sample.text, "%s", message)
    return false
  end
  check_results(op, out, sample.text, r)
  local wanted = operators.written(op, out)
  for _, other in ipairs(operators.forms(op)) do
    if other.word ~= "inplace" and torch.is_tensor(args[1]) or other.word == "function" then
      local keep = other.word == "method" and 1 or 0
      for _, named in ipairs { false, true } do
        local got, why = try(other, named and operators.named(op, args, keep) or args)
        local different = got and difference(operators.written(op, got), wanted, 0)
        if not got or different then
          r.bad(sample.text, "as %s%s: %s", other.word, named and " by keywords" or "", different or why)
        end
      end
    end
  end
  return true
end

-- Layouts ------------------------------------------------------------------------------------------------------------

local function gradients(form, args, wanted)
  local given, leaves = with_leaves(args, wanted)
  local total = #leaves > 0 and projection(call(form, given))
  if not total then return { n = 0 } end
  return table.pack(torch.autograd.grad(total, leaves, { allow_unused = true, materialize_grads = true }))
end

local function check_layouts(op, sample, r)
  local args = samples.build(sample, op.name, torch.float64)
  if #samples.tensors(args) == 0 or sees_memory[op.name] then return end
  local form = operators.pure(op)
  local layouts = { swapped = samples.swapped, sliced = samples.sliced, expanded = samples.expanded }
  for name, change in pairs(layouts) do
    -- Indices and masks keep their values; what is expanded holds other values, so it is compared with its own copy.
    local laid = samples.map(args, function(t)
      if name == "expanded" and not t.dtype.is_floating_point then return t end
      return (change(t))
    end)
    local plain = samples.map(laid, function(t) return t:contiguous():clone() end)
    local wanted, got, why = call(form, plain), try(form, laid)
    -- Inner operators may insist on the layout that their callers give them.
    local excused = not got and (op.hidden and not fault(op, why)
      or needs_order[op.name] and why:find("view size is not compatible", 1, true))
    if not excused then
      local different = got and difference(operators.written(op, got), operators.written(op, wanted), 1e-12)
      -- rand_like and its kin fill memory in its own order, as PyTorch does.
      if got and op.random and op.name:find "_like$" then different = nil end
      if not got or different then r.bad(sample.text, "%s: %s", name, different or why) end
      if got and not different and not op.no_gradient and not operators.unwritten[op.name] then
        local wanted_of = differentiable(form, plain)
        local ok, a = pcall(gradients, form, laid, wanted_of)
        local fine, b = pcall(gradients, form, plain, wanted_of)
        local off = ok and fine and difference(a, b, 1e-9)
        if not ok or not fine or off then r.bad(sample.text, "gradient %s: %s", name, off or ok and b or a) end
      end
    end
  end
end

-- Gradients ----------------------------------------------------------------------------------------------------------

local function check_gradients(op, sample, r)
  local form = operators.pure(op)
  local args = samples.map(samples.build(sample, op.name, torch.float64), function(t)
    return t.dtype.is_floating_point and t:clone():contiguous() or t
  end)
  local inputs
  args, inputs = with_leaves(args, not op.no_gradient and differentiable(form, args) or nil)
  if #inputs == 0 then
    if not op.no_gradient and select(3, with_leaves(args)) > 0 then r.bad(sample.text, "no input has a derivative") end
    return
  end
  local out, why = try(form, args)
  if not out then
    if not (op.no_gradient and why:find("the derivative for '", 1, true)) then r.bad(sample.text, "%s", why) end
    return
  end
  for k = 1, out.n do
    local t = out[k]
    if torch.is_tensor(t) and t.dtype.is_floating_point then
      if t.requires_grad == op.no_gradient then
        r.bad(sample.text, "result %d %s grad", k, op.no_gradient and "requires" or "does not require")
      end
    elseif torch.is_tensor(t) and t.requires_grad then
      r.bad(sample.text, "result %d of %s requires grad", k, tostring(t.dtype))
    end
  end
  if op.no_gradient or beyond[op.name] then return end
  local function fn()
    local results = call(form, args)
    return table.unpack(results, 1, results.n)
  end
  for _, order in ipairs { "first", "second" } do
    local ran, good, different = pcall(gradcheck[order], fn, inputs)
    if not ran then r.bad(sample.text, "%s gradient: %s", order, good)
    elseif not good then r.bad(sample.text, "%s", different) end
    if not ran or not good then return end
  end
end

-- Dtypes -------------------------------------------------------------------------------------------------------------

local function check_dtypes(op, sample, r)
  local form = operators.pure(op)
  local has_float = false
  for k = 1, sample.n do has_float = has_float or samples.is_float(sample[k]) end
  for _, dtype in ipairs(float_dtypes) do
    local args = samples.build(sample, op.name, dtype)
    local got, why = try(form, args)
    local where = sample.text .. " in " .. tostring(dtype)
    if not got then
      local wrong = (dtype == torch.float64 or dtype == torch.float32) and why or fault(op, why)
      if wrong then r.bad(where, "%s", wrong) end
    elseif not (op.random or operators.unwritten[op.name]) then
      local exact = samples.map(args, function(t) return t.dtype == dtype and t:double() or t end)
      local wanted = call(form, exact)
      local rough = jumps[op.name] and (dtype == torch.float16 or dtype == torch.bfloat16)
      local different = not rough and difference(got, wanted, tolerance[dtype], true)
      if different then r.bad(where, "%s", different) end
      for k = 1, wanted.n do
        if has_float and torch.is_tensor(wanted[k]) and wanted[k].dtype == torch.float64 and got[k].dtype ~= dtype
          and not (op.hidden or in_double[op.name] or sample.text:find "float") then
          r.bad(where, "result %d is %s", k, tostring(got[k].dtype))
        end
      end
    end
  end
  for _, dtype in ipairs(other_dtypes) do
    local args = samples.build(sample, op.name, dtype, true)
    local got, why = try(form, args)
    local where = sample.text .. " in " .. tostring(dtype)
    if not got then
      local wrong = fault(op, why)
      if wrong then r.bad(where, "%s", wrong) end
    elseif dtype ~= torch.bool and not (op.random or operators.unwritten[op.name])
      and not (dtype == torch.uint8 and wraps[op.name]) then
      local wide = samples.map(args, function(t) return t.dtype == dtype and t:long() or t end)
      local wanted, refused = try(form, wide)
      if not wanted then
        r.bad(where, "works, but not in int64: %s", refused)
      else
        for k = 1, wanted.n do
          local t = wanted[k]
          if torch.is_tensor(t) and torch.is_tensor(got[k]) and t.dtype == torch.int64 then
            wanted[k] = t:to(got[k].dtype)
          end
        end
        local different = difference(got, wanted, 1e-4, true)
        if different then r.bad(where, "%s", different) end
      end
    end
  end
end

-- Positions in int32 mean what they mean in int64.
local function check_index_dtype(op, sample, r)
  local found = false
  local args = samples.build(sample, op.name)
  local narrow = samples.map(args, function(t) return t end)
  for k = 1, args.n do
    if sample[k].kind == "tensor" and sample[k].letter == "x" then
      found = true
      narrow[k] = args[k]:int()
    end
  end
  if not found then return end
  local form = operators.pure(op)
  local got, why = try(form, narrow)
  local different = got and difference(got, call(form, args), 0, true)
  if not got or different then r.bad(sample.text, "positions in int32: %s", different or why) end
end

-- In place -----------------------------------------------------------------------------------------------------------

local function inplace_form(op)
  for _, form in ipairs(operators.forms(op)) do
    if form.word == "inplace" then return form end
  end
end

local function refused(r, where, form, args, text)
  local x = args[1]
  local version, before = x._version, x:detach():clone()
  local got, why = try(form, args)
  if got then
    r.bad(where, "was not refused")
    return
  end
  if text and not why:find(text, 1, true) then r.bad(where, "message: %s", why) end
  if x._version ~= version then r.bad(where, "a failed call raised the version") end
  local different = difference({ n = 1, x:detach() }, { n = 1, before }, 0)
  if different then r.bad(where, "a failed call changed the tensor: %s", different) end
end

local function check_inplace(op, sample, r)
  local form, pure = inplace_form(op), operators.pure(op)
  local args = samples.build(sample, op.name, torch.float64)
  local x = args[1]
  if not torch.is_tensor(x) then return end
  local wanted = call(pure, operators.cloned(args))
  local mine = operators.cloned(args)
  local self, version = mine[1], mine[1]._version
  local where = sample.text .. " in place"
  local keeps = wanted[1].shape == x.shape
    and (wanted[1].dtype == x.dtype or not wanted[1].dtype.is_floating_point or x.dtype.is_floating_point)
  if not keeps then return refused(r, where, form, mine) end
  local got, why = try(form, mine)
  if not got then
    -- A comparison's bool fits everywhere, an integer not into a bool.
    if wanted[1].dtype == x.dtype or op.inplace_only then r.bad(where, "%s", why) end
    return
  end
  if not rawequal(got[1], self) then r.bad(where, "does not return the tensor itself") end
  -- Dropout of nothing leaves the tensor alone, as PyTorch's does; what it was given is then no matter.
  local idle = self._version == version and not difference(wanted, { n = 1, x }, 0)
  if self._version <= version and not idle then r.bad(where, "the version stays at %d", version) end
  local expected = { n = 1, wanted[1]:detach():to(x.dtype) }
  local different = difference({ n = 1, self }, expected, 0)
  if different then r.bad(where, "%s", different) end

  if x.ndim > 0 and x:numel() > 0 then
    local laid = operators.cloned(args)
    local view, base = samples.sliced(laid[1], x.dtype == torch.bool and true or 77)
    laid[1] = view
    local gap = torch._slice(base, base.ndim, 0, base:size(-1), 2)
    call(form, laid)
    different = difference({ n = 1, view }, expected, 0)
    -- normal_ draws in another order where memory is not contiguous, as PyTorch does.
    if different and op.name ~= "normal" then r.bad(where, "into a slice: %s", different) end
    local untouched = torch.full(gap.shape, x.dtype == torch.bool and true or 77, { dtype = x.dtype })
    different = difference({ n = 1, gap }, { n = 1, untouched }, 0)
    if different then r.bad(where, "into a slice writes beside it: %s", different) end
  end
  if x:numel() > 1 and not idle then
    local wide = operators.cloned(args)
    wide[1] = torch.ones(1, { dtype = x.dtype }):expand(x.shape)
    refused(r, where .. ", expanded", form, wide, "more than one element of the written-to tensor")
  end
  if x.dtype.is_floating_point and not idle then
    local leaf = operators.cloned(args)
    leaf[1]:requires_grad_()
    refused(r, where .. ", leaf", form, leaf, "a leaf Variable that requires grad")
  end
  -- The tensor as its own operand, whole and shifted by one.
  local other = args[2]
  local alone = op.hidden and op.no_gradient -- a step of an optimiser refuses operands that share memory
  if torch.is_tensor(other) and other.shape == x.shape and other.dtype == x.dtype and not op.random and not alone then
    local twice, apart = operators.cloned(args), operators.cloned(args)
    twice[2] = twice[1]
    apart[2] = apart[1]:clone()
    apart = call(pure, apart)
    local ok, message = try(form, twice)
    different = ok and difference({ n = 1, twice[1] }, { n = 1, apart[1]:to(x.dtype) }, 0)
    if not ok or different then r.bad(where, "with itself: %s", different or message) end
    if x.ndim == 1 and x:numel() > 1 then
      local n = x:numel()
      local long = torch.cat({ x, x:narrow(1, 1, 1) }, 1)
      local a, b = long:narrow(1, 1, n), long:narrow(1, 2, n)
      local separate = operators.cloned(args)
      separate[1], separate[2] = b:clone(), a:clone()
      local result = call(pure, separate)
      separate[1], separate[2] = b, a
      call(form, separate)
      different = difference({ n = 1, b }, { n = 1, result[1]:to(x.dtype) }, 0)
      if different then r.bad(where, "with an overlapping operand: %s", different) end
    end
  end
  -- Gradient through the in-place form, and through a view of what it wrote.
  if x.dtype.is_floating_point and not op.no_gradient and not op.inplace_only then
    local through = { call = function(a)
      local copy = table.move(a, 1, a.n, 1, { n = a.n, keywords = a.keywords })
      copy[1] = a[1]:clone()
      local view = copy[1].ndim > 1 and copy[1]:transpose(1, -1) or nil
      form.call(copy)
      return view and view:transpose(1, -1) or copy[1]
    end }
    local wanted_of = differentiable(pure, operators.detached(args))
    local ok, a = pcall(gradients, through, operators.detached(args), wanted_of)
    local b = gradients(pure, operators.detached(args), wanted_of)
    -- A comparison gives bools, which have no gradient; written in place they are floats, steps whose gradient is zero.
    if not wanted[1].dtype.is_floating_point and ok then
      b = samples.map(a, torch.zeros_like)
      b.keywords = nil
    end
    different = ok and difference(a, b, 1e-12)
    if not ok or different then r.bad(where, "gradient: %s", different or a) end
  end
end

-- Views --------------------------------------------------------------------------------------------------------------

local function check_view(op, sample, r)
  local args = samples.build(sample, op.name)
  local x = args[1]
  local y = call(operators.pure(op), args)[1]
  local version = x._version
  if y:numel() == 0 then return end
  if pcall(y.fill_, y, 5) then
    if x._version == version then r.bad(sample.text, "a write to the view leaves the version of its base") end
    local found = false
    for _, v in ipairs(x:reshape(-1):tolist()) do found = found or v == 5 or v == true end
    if not found then r.bad(sample.text, "a write to the view does not reach its base") end
  end
end

-- The walk -----------------------------------------------------------------------------------------------------------

describe("the op table", function()
  local list = operators.all()

  it("has operators", function() assert.is_true(#list > 100) end)

  for _, op in ipairs(list) do
    it(op.label, function()
      local r = operators.report()
      check_declaration(op, r)
      for _, sample in ipairs(op.cases) do
        if check_forms(op, sample, r) then
          local checks = sees_bytes[op.label] and { check_gradients }
            or { check_layouts, check_gradients, check_dtypes, check_index_dtype }
          for _, check in ipairs(checks) do
            local ok, why = pcall(check, op, sample, r)
            if not ok then r.bad(sample.text, "the check itself failed: %s", tostring(why)) end
          end
          if op.view and not sees_bytes[op.label] then check_view(op, sample, r) end
          if op.inplace or op.inplace_only then
            local ok, why = pcall(check_inplace, op, sample, r)
            if not ok then r.bad(sample.text, "the check in place itself failed: %s", tostring(why)) end
          end
        end
      end
      r.finish()
    end)
  end
end)
