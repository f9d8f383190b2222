--- torch.autograd.gradcheck and gradgradcheck: gradients against central differences, Jacobian by Jacobian.
--
-- As PyTorch's torch.autograd.gradcheck (slow mode): every element of every input that requires grad is moved by eps
-- both ways. Inputs should be float64: a float32 difference has no digits to spare, which is warned about. Inputs are
-- changed during the check and restored after it.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local checks = {}

local function as_array(v) return core.is_tensor(v) and { v } or v end

-- Float results that a gradient flows to.
local function outputs_of(f, inputs)
  local results = table.pack(f(table.unpack(inputs)))
  if results.n == 1 and type(results[1]) == "table" then results = results[1] end
  local list = {}
  for _, y in ipairs(results) do
    if core.is_tensor(y) and y.dtype.is_floating_point then list[#list + 1] = y end
  end
  return list
end

-- numeric[o] is the matrix (elements of x, elements of output o) of differences.
local function numeric_jacobian(f, inputs, x, count, eps)
  local flat, columns = x:detach():reshape(-1), {}
  local shared = flat:data_ptr() == x:data_ptr()
  if not shared then core.raise("gradcheck", "inputs must be contiguous") end
  for o = 1, count do columns[o] = {} end
  for k = 1, x:numel() do
    local at = flat:narrow(1, k, 1)
    local old = at:item()
    local function values()
      local list = core.no_grad(function() return outputs_of(f, inputs) end)
      for o, y in ipairs(list) do list[o] = y:detach():clone():reshape(-1) end
      return list
    end
    at:fill_(old + eps)
    local above = values()
    at:fill_(old - eps)
    local below = values()
    at:fill_(old)
    for o = 1, count do columns[o][k] = (above[o] - below[o]) / (2 * eps) end
  end
  for o = 1, count do
    columns[o] = #columns[o] > 0 and core.stack(columns[o], 1) or core.zeros(0, 0, { dtype = x.dtype })
  end
  return columns
end

local function analytic_jacobian(y, x)
  local rows, flat = {}, y:reshape(-1)
  for k = 1, y:numel() do
    local g
    if y.requires_grad then
      g = core.grad({ flat[k] }, { x }, { retain_graph = true, allow_unused = true })
    end
    if g and g.shape ~= x.shape then return nil, "grad is incorrect size" end
    if g and g.dtype ~= x.dtype then return nil, "grad is incorrect type" end
    rows[k] = (g or core.zeros_like(x)):detach():reshape(-1)
  end
  if #rows == 0 or x:numel() == 0 then return core.zeros(x:numel(), y:numel(), { dtype = x.dtype }) end
  return core.stack(rows, 1):t()
end

local function mismatch(o, i, numeric, analytic)
  return ("Jacobian mismatch for output %d with respect to input %d,\nnumerical:%s\nanalytical:%s\n"):format(o, i,
    tostring(numeric), tostring(analytic))
end

local function compare(f, inputs, eps, atol, rtol)
  local outputs = outputs_of(f, inputs)
  if #outputs == 0 then return "none of the outputs is a float Tensor" end
  -- All analytic ones first: moving an input for differences would spoil what the graph saved.
  local analytic = {}
  for i, x in ipairs(inputs) do
    analytic[i] = {}
    for o, y in ipairs(core.is_tensor(x) and x.requires_grad and outputs or {}) do
      local matrix, wrong = analytic_jacobian(y, x)
      if not matrix then return wrong end
      analytic[i][o] = matrix
    end
  end
  for i, x in ipairs(inputs) do
    local numeric = #analytic[i] > 0 and numeric_jacobian(f, inputs, x, #outputs, eps)
    for o, matrix in ipairs(analytic[i]) do
      local n = numeric[o]:to(matrix.dtype)
      if matrix:numel() > 0 and not core.allclose(matrix, n, { rtol = rtol, atol = atol, equal_nan = true }) then
        return mismatch(o, i, n, matrix)
      end
    end
  end
end

local signature = {
  { "func", "any" }, { "inputs", "any" }, { "eps", "number", 1e-6 }, { "atol", "number", 1e-5 },
  { "rtol", "number", 1e-3 }, { "raise_exception", "boolean", true }, { "nondet_tol", "number", 0.0 },
  { "check_undefined_grad", "boolean", true }, { "check_batched_grad", "boolean", false },
  { "fast_mode", "boolean", false },
}
local gradcheck_arguments = arguments.signature("gradcheck", signature)

local function check_inputs(name, inputs)
  local any = false
  for i, x in ipairs(inputs) do
    if core.is_tensor(x) and x.requires_grad then
      any = true
      if x.dtype ~= core.float64 then
        core.warn(("Input #%d requires gradient and is not a double precision floating point. This check will "
          .. "likely fail "
          .. "if all the inputs are not of double precision floating point."):format(i))
      end
    end
  end
  if not any then
    core.raise(name, "%s expects at least one input tensor to require gradient, but none of them have "
      .. "requires_grad = true",
      name)
  end
end

--- True when the gradients of f at inputs agree with differences; else an error that shows both Jacobians, or false
-- with raise_exception = false.
function checks.gradcheck(...)
  local f, given, eps, atol, rtol, raise = gradcheck_arguments(...)
  local inputs = as_array(given)
  check_inputs("gradcheck", inputs)
  local wrong = core.enable_grad(function() return compare(f, inputs, eps, atol, rtol) end)
  if wrong and raise then core.raise("gradcheck", "%s", wrong) end
  return not wrong
end

local gradgradcheck_arguments = arguments.signature("gradgradcheck", {
  { "func", "any" }, { "inputs", "any" }, { "grad_outputs", "any?" }, { "eps", "number", 1e-6 },
  { "atol", "number", 1e-5 }, { "rtol", "number", 1e-3 }, { "gen_non_contig_grad_outputs", "boolean", false },
  { "raise_exception", "boolean", true }, { "nondet_tol", "number", 0.0 }, { "fast_mode", "boolean", false },
})

--- gradcheck of f's gradient, as a function of the inputs and of the gradients of the outputs (random unless given).
function checks.gradgradcheck(...)
  local f, given, grad_outputs, eps, atol, rtol, _, raise = gradgradcheck_arguments(...)
  local inputs = as_array(given)
  check_inputs("gradgradcheck", inputs)
  local outputs = core.enable_grad(function() return outputs_of(f, inputs) end)
  local directions = {}
  for o, y in ipairs(outputs) do
    local g = grad_outputs and as_array(grad_outputs)[o] or core.randn(y.shape, { dtype = y.dtype })
    directions[o] = g:detach():clone():requires_grad_()
  end
  local n = #inputs
  local function gradient(...)
    local all = { ... }
    local at, gy, wanted = { table.unpack(all, 1, n) }, { table.unpack(all, n + 1) }, {}
    for _, x in ipairs(at) do
      if core.is_tensor(x) and x.requires_grad then wanted[#wanted + 1] = x end
    end
    local ys, roots, gs = outputs_of(f, at), {}, {}
    for o, y in ipairs(ys) do
      if y.requires_grad then
        roots[#roots + 1] = y
        gs[#gs + 1] = gy[o]
      end
    end
    local found = table.pack(core.grad(roots, wanted, { grad_outputs = gs, create_graph = true, allow_unused = true }))
    local list = {}
    for i, x in ipairs(wanted) do list[i] = found[i] or core.zeros_like(x) end
    return list
  end
  local all = {}
  for _, x in ipairs(inputs) do all[#all + 1] = x end
  for _, g in ipairs(directions) do all[#all + 1] = g end
  -- Without recording there would be no gradient to take a difference of.
  local function recorded(...)
    local args = { ... }
    return core.enable_grad(function() return gradient(table.unpack(args)) end)
  end
  local wrong = core.enable_grad(function() return compare(recorded, all, eps, atol, rtol) end)
  if wrong and raise then core.raise("gradgradcheck", "%s", wrong) end
  return not wrong
end

return setmetatable(checks, { __call = function(_, ...) return checks.gradcheck(...) end })
