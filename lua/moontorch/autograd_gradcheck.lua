--- torch.autograd.gradcheck and gradgradcheck: gradients against central differences, Jacobian by Jacobian.
--
-- As PyTorch's torch.autograd.gradcheck in its slow mode, which fast_mode takes too: every element of every input that
-- requires grad is moved by eps both ways. Inputs should be float64: a float32 difference has no digits to spare, which
-- is warned about. Inputs are changed during the check and restored after it, also when the function fails.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local checks = {}

local function as_array(v) return (core.is_tensor(v) or type(v) ~= "table") and { v } or v end

-- All float results; those that a gradient flows to.
local function outputs_of(f, inputs)
  local results = table.pack(f(table.unpack(inputs)))
  if results.n == 1 and type(results[1]) == "table" then results = results[1] end
  local floats, wanting = {}, {}
  for _, y in ipairs(results) do
    if core.is_tensor(y) and y.dtype.is_floating_point then
      floats[#floats + 1] = y
      if y.requires_grad then wanting[#wanting + 1] = y end
    end
  end
  return floats, wanting
end

-- Element k, counted in index order, of t as a 0-dim view, whatever its strides.
local function element(t, shape, k)
  local rest = k - 1
  local at = {}
  for d = #shape, 1, -1 do
    at[d] = rest % shape[d] + 1
    rest = rest // shape[d]
  end
  for d = 1, #shape do t = t:select(1, at[d]) end
  return t
end

-- numeric[o]: the matrix (elements of x, elements of output o) of differences.
local function numeric_jacobian(f, inputs, x, pick, count, eps)
  local plain, shape, columns = x:detach(), x.shape, {}
  for o = 1, count do columns[o] = {} end
  local function values()
    local list = {}
    for o, y in ipairs(pick(f, inputs)) do list[o] = y:detach():clone():reshape(-1) end
    return list
  end
  for k = 1, x:numel() do
    local at = element(plain, shape, k)
    local old = at:item()
    local ok, above, below = pcall(function()
      at:fill_(old + eps)
      local above = values()
      at:fill_(old - eps)
      return above, values()
    end)
    at:fill_(old)
    if not ok then error(above, 0) end
    for o = 1, count do columns[o][k] = (above[o] - below[o]) / (2 * eps) end
  end
  for o = 1, count do
    columns[o] = #columns[o] > 0 and core.stack(columns[o], 1) or core.zeros(0, 0, { dtype = x.dtype })
  end
  return columns
end

local function gradients(y, wanted, gy)
  return table.pack(core.grad({ y }, wanted, { grad_outputs = { gy }, retain_graph = true, allow_unused = true }))
end

local function check_gradient(g, x)
  if g.shape ~= x.shape then return "Analytical gradient has incorrect size" end
  if g.dtype ~= x.dtype then return "Analytical gradient has incorrect type" end
end

-- For every wanted input the matrix (its elements, elements of y); or nil and what is wrong.
local function analytic_jacobians(y, wanted)
  local rows, count, matrices = {}, y:numel(), {}
  for i = 1, #wanted do rows[i] = {} end
  for k = 1, count do
    local gy = core.zeros_like(y):detach()
    element(gy, y.shape, k):fill_(1)
    local found = gradients(y, wanted, gy)
    for i, x in ipairs(wanted) do
      local wrong = found[i] and check_gradient(found[i], x)
      if wrong then return nil, wrong end
      rows[i][k] = (found[i] or core.zeros_like(x)):detach():reshape(-1)
    end
  end
  for i, x in ipairs(wanted) do
    matrices[i] = count > 0 and x:numel() > 0 and core.stack(rows[i], 1):t()
      or core.zeros(x:numel(), count, { dtype = x.dtype })
  end
  return matrices
end

local function largest_difference(a, b)
  return a:numel() > 0 and (a - b):abs():max():item() or 0
end

local NOT_REENTRANT = "Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
  .. "times gives different values, although analytical gradient matches numerical gradient. The tolerance for "
  .. "nondeterminism was %s."

-- Analytic against numeric for every output and input.
local function compare(f, inputs, wanted, options)
  local floats, outputs = outputs_of(f, inputs)
  local function differentiable(g, x)
    local _, list = outputs_of(g, x)
    return list
  end
  if #outputs == 0 then
    for _, x in ipairs(wanted) do
      local numeric = core.no_grad(function()
        return numeric_jacobian(f, inputs, x, function(g, at) return (outputs_of(g, at)) end, #floats, options.eps)
      end)
      for _, matrix in ipairs(numeric) do
        if matrix:numel() > 0 and matrix:ne(0):any():item() then
          return "Numerical gradient for function expected to be zero"
        end
      end
    end
    return nil
  end
  -- All analytic ones first: moving an input for differences would spoil what the graph saved.
  local analytic, nondeterministic = {}, false
  for o, y in ipairs(outputs) do
    local matrices, wrong = analytic_jacobians(y, wanted)
    if not matrices then return wrong end
    local again = analytic_jacobians(y, wanted)
    for i = 1, #wanted do
      if again and largest_difference(matrices[i], again[i]) > options.nondet_tol then nondeterministic = true end
    end
    analytic[o] = matrices
  end
  for i, x in ipairs(wanted) do
    local numeric = numeric_jacobian(f, inputs, x, differentiable, #outputs, options.eps)
    for o in ipairs(outputs) do
      local a = analytic[o][i]
      local n = numeric[o]:to(a.dtype)
      if a:numel() > 0 and not core.allclose(a, n, { rtol = options.rtol, atol = options.atol, equal_nan = true }) then
        return ("Jacobian mismatch for output %d with respect to input %d,\nnumerical:%s\nanalytical:%s\n"):format(o,
          options.position[i], tostring(n), tostring(a))
      end
    end
  end
  if nondeterministic then return NOT_REENTRANT:format(tostring(options.nondet_tol)) end
end

-- A gradient of zeros must give zeros: a backward that forgets to multiply by it does not.
local function check_multiplied(f, inputs, wanted)
  local _, outputs = outputs_of(f, inputs)
  if #outputs == 0 then return nil end
  local zeros = {}
  for o, y in ipairs(outputs) do zeros[o] = core.zeros_like(y):detach() end
  local found = table.pack(core.grad(outputs, wanted, { grad_outputs = zeros, allow_unused = true }))
  for i in ipairs(wanted) do
    if found[i] and found[i]:numel() > 0 and found[i]:ne(0):any():item() then
      return "backward not multiplied by grad_output"
    end
  end
end

-- Backward must put up with results from which no gradient comes: each output alone, then none at all.
local function check_undefined(f, inputs, wanted)
  local _, outputs = outputs_of(f, inputs)
  for alone = 1, #outputs do
    local _, fresh = outputs_of(f, inputs)
    local ok, reason = pcall(core.grad, { fresh[alone] }, wanted,
      { grad_outputs = { core.zeros_like(fresh[alone]):detach() }, allow_unused = true })
    if not ok then
      return "Expected backward function to handle undefined output grads. It failed for a gradient of output " .. alone
        .. " alone: " .. tostring(reason)
    end
  end
end

local function check_inputs(name, inputs)
  local wanted, position = {}, {}
  for i, x in ipairs(inputs) do
    if core.is_tensor(x) and x.requires_grad then
      wanted[#wanted + 1], position[#position + 1] = x, i
      if x.dtype ~= core.float64 then
        core.warn(("Input #%d requires gradient and is not a double precision floating point. This check will likely "
          .. "fail if all the inputs are not of double precision floating point. "):format(i))
      end
      for d, stride in ipairs(x:stride()) do
        if stride == 0 and x.shape[d] > 1 then
          core.raise(name, "Input %d has a dimension with stride 0. gradcheck only supports inputs that are "
            .. "non-overlapping to be able to compute the numerical gradients correctly. You should call :contiguous() "
            .. "on the input before passing it to gradcheck.", i)
        end
      end
    end
  end
  if #wanted == 0 then
    core.raise(name, "gradcheck expects at least one input tensor to require gradient, but none of them have "
      .. "requires_grad=True.")
  end
  return wanted, position
end

-- Everything gradcheck looks at; what is wrong, or nil.
local function examine(name, f, inputs, options)
  local wanted
  wanted, options.position = check_inputs(name, inputs)
  return core.enable_grad(function()
    local wrong = compare(f, inputs, wanted, options)
    if wrong then return wrong end
    wrong = check_multiplied(f, inputs, wanted)
    if wrong then return wrong end
    return options.check_undefined_grad and check_undefined(f, inputs, wanted) or nil
  end)
end

local function refuse_forward_mode(name, forward, backward)
  if forward then
    core.raise(name, "there is no forward-mode AD to check here: leave %s out", name == "gradcheck" and
      "check_forward_ad" or "check_fwd_over_rev")
  end
  if not backward then
    core.raise(name, "Expected at least one of check_forward_ad or check_backward_ad to be True")
  end
end

local gradcheck_arguments = arguments.signature("gradcheck", {
  { "func", "callable" }, { "inputs", "any" }, { "eps", "number", 1e-6 }, { "atol", "number", 1e-5 },
  { "rtol", "number", 1e-3 }, { "raise_exception", "boolean", true }, { "nondet_tol", "number", 0.0 },
  { "check_undefined_grad", "boolean", true }, { "check_grad_dtypes", "boolean", false },
  { "check_batched_grad", "boolean", false }, { "check_batched_forward_grad", "boolean", false },
  { "check_forward_ad", "boolean", false }, { "check_backward_ad", "boolean", true },
  { "fast_mode", "boolean", false }, { "masked", "boolean?" },
})

--- gradcheck(func, inputs, {eps = 1e-6, atol = 1e-5, rtol = 1e-3, raise_exception = true, nondet_tol = 0,
-- check_undefined_grad = true, fast_mode = false}): true when the gradients of func at inputs agree with central
-- differences, are the same when taken twice and vanish with the gradient that comes in; else an error that shows both
-- Jacobians, or false with raise_exception = false.
function checks.gradcheck(...)
  local f, given, eps, atol, rtol, raise, nondet_tol, undefined, _, _, _, forward, backward = gradcheck_arguments(...)
  refuse_forward_mode("gradcheck", forward, backward)
  local wrong = examine("gradcheck", f, as_array(given), { eps = eps, atol = atol, rtol = rtol, nondet_tol = nondet_tol,
    check_undefined_grad = undefined })
  if wrong and raise then core.raise("gradcheck", "%s", wrong) end
  return not wrong
end

local gradgradcheck_arguments = arguments.signature("gradgradcheck", {
  { "func", "callable" }, { "inputs", "any" }, { "grad_outputs", "any?" }, { "eps", "number", 1e-6 },
  { "atol", "number", 1e-5 }, { "rtol", "number", 1e-3 }, { "gen_non_contig_grad_outputs", "boolean", false },
  { "raise_exception", "boolean", true }, { "nondet_tol", "number", 0.0 }, { "check_undefined_grad", "boolean", true },
  { "check_grad_dtypes", "boolean", false }, { "check_batched_grad", "boolean", false },
  { "check_fwd_over_rev", "boolean", false }, { "check_rev_over_rev", "boolean", true },
  { "fast_mode", "boolean", false }, { "masked", "boolean", false },
})

-- Gradients to start from: what was given, or random ones, every second element of a larger tensor if they shall not be
-- contiguous.
local function directions_for(outputs, given, scattered)
  local list = {}
  for o, y in ipairs(outputs) do
    local g = given and given[o]
    if not g then
      g = core.randn(y.shape, { dtype = y.dtype })
      if scattered then g = core.stack({ g, g }, -1):select(-1, 1) end
    end
    list[o] = (scattered and not given and g:detach() or g:detach():clone()):requires_grad_()
  end
  return list
end

--- gradcheck of func's gradient, as a function of the inputs and of the gradients of the outputs (random unless
-- grad_outputs are given).
function checks.gradgradcheck(...)
  local f, given, grad_outputs, eps, atol, rtol, scattered, raise, nondet_tol, undefined, _, _, forward, backward =
    gradgradcheck_arguments(...)
  refuse_forward_mode("gradgradcheck", forward, backward)
  local inputs = as_array(given)
  check_inputs("gradgradcheck", inputs)
  local _, outputs = core.enable_grad(function() return outputs_of(f, inputs) end)
  local directions = directions_for(outputs, grad_outputs and as_array(grad_outputs), scattered)
  local n = #inputs
  local function gradient(...)
    local all = { ... }
    local at, gy, wanted = { table.unpack(all, 1, n) }, { table.unpack(all, n + 1) }, {}
    for i = 1, n do
      local x = at[i]
      if core.is_tensor(x) and x.requires_grad then wanted[#wanted + 1] = x end
    end
    local _, ys = outputs_of(f, at)
    local found = table.pack(core.grad(ys, wanted, { grad_outputs = gy, create_graph = true, allow_unused = true }))
    local list = {}
    for i, x in ipairs(wanted) do list[i] = found[i] or core.zeros_like(x) end
    return list
  end
  local all = {}
  for i = 1, n do all[i] = inputs[i] end
  for _, g in ipairs(directions) do all[#all + 1] = g end
  local wrong = examine("gradgradcheck", gradient, all, { eps = eps, atol = atol, rtol = rtol, nondet_tol = nondet_tol,
    check_undefined_grad = undefined })
  if wrong and raise then core.raise("gradgradcheck", "%s", wrong) end
  return not wrong
end

return setmetatable(checks, { __call = function(_, ...) return checks.gradcheck(...) end })
