--- torch.optim.LBFGS: a quasi-Newton method that asks the closure for loss and gradient as often as it needs.
--
-- The direction comes from the last `history_size` pairs of steps and changes of the gradient, by the two-loop
-- recursion (Nocedal and Wright, Numerical Optimization, algorithm 7.4); the step is `lr` long or satisfies the strong
-- Wolfe conditions (algorithms 3.5 and 3.6, with PyTorch's safeguards). All parameters are one long vector. Lengths
-- and slopes are numbers or tensors without dims, where PyTorch has these, so that they are rounded alike.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Optimizer = require "moontorch.optim.optimizer"
local common = require "moontorch.optim.common"
local arguments = require "moontorch.arguments"

local number = common.number

local LBFGS = class.extend("LBFGS", Optimizer)

LBFGS.none_options = { "line_search_fn" }
LBFGS.may_lack = { line_search_fn = true }

local lbfgs_arguments = arguments.signature("LBFGS", {
  { "params", "any" }, { "lr", "scalar", 1 }, { "max_iter", "integer", 20 }, { "max_eval", "integer?" },
  { "tolerance_grad", "number", 1e-7 }, { "tolerance_change", "number", 1e-9 }, { "history_size", "integer", 100 },
  { "line_search_fn", "string?" }, { "maximize", "boolean", false }, { "accumulate", "boolean", false },
})

--- LBFGS(params, lr = 1, max_iter = 20, max_eval = max_iter * 5 // 4, tolerance_grad = 1e-7, tolerance_change = 1e-9,
-- history_size = 100, line_search_fn = nil or "strong_wolfe", {maximize = false}). One group of parameters only;
-- step(closure) needs its closure.
function LBFGS:init(...)
  local params, lr, max_iter, max_eval, tolerance_grad, tolerance_change, history_size, line_search_fn, maximize,
    accumulate = lbfgs_arguments(...)
  Optimizer.init(self, params, {
    lr = lr, max_iter = max_iter, max_eval = max_eval or max_iter * 5 // 4, tolerance_grad = tolerance_grad,
    tolerance_change = tolerance_change, history_size = history_size, line_search_fn = line_search_fn,
    maximize = maximize,
  }, accumulate)
end

function LBFGS:check_options(group)
  common.from_zero(self, group, "lr")
  if #self.param_groups > 0 then
    core.raise("LBFGS", "LBFGS doesn't support per-parameter options (parameter groups)")
  end
end

-- The parameters as one vector ----------------------------------------------------------------------------------------

local function flat_gradient(group)
  local views = {}
  for i, param in ipairs(group.params) do
    local grad = param.grad
    views[i] = grad == nil and core.zeros(param:numel(), { dtype = param.dtype, device = param.device })
      or grad:reshape(-1)
  end
  local flat = core.cat(views, 1)
  if group.maximize then flat:neg_() end
  return flat
end

-- Moves the parameters by `length` times the vector `direction`.
local function move(group, length, direction)
  local offset = 0
  for _, param in ipairs(group.params) do
    local n = param:numel()
    if n > 0 then param:add_(direction:narrow(1, offset + 1, n):view_as(param), { alpha = number(length) }) end
    offset = offset + n
  end
end

local function value_of(group, loss)
  if type(loss) ~= "number" and not core.is_tensor(loss) then
    core.raise("LBFGS.step", "the closure must return the loss, but it returned %s", arguments.type_name(loss))
  end
  local value = number(loss)
  return group.maximize and -value or value
end

local function largest(v)
  return v:abs():max():item()
end

-- Line search ---------------------------------------------------------------------------------------------------------

-- The minimum of the cubic through values f and slopes g at x1 and x2, kept within the bounds.
local function cubic_minimum(x1, f1, g1, x2, f2, g2, low, high)
  local forward = number(x1) <= number(x2)
  if low == nil then
    if forward then low, high = x1, x2 else low, high = x2, x1 end
  end
  local d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
  local square = d1 ^ 2 - g1 * g2
  local found = number(square)
  if found < 0 or found ~= found then return (low + high) / 2 end
  local d2 = square:sqrt()
  local at
  if forward then
    at = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
  else
    at = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
  end
  if number(low) > number(at) then at = low end
  return number(high) < number(at) and high or at
end

local ARMIJO, CURVATURE = 1e-4, 0.9

-- A point of the search: its step length, loss, gradient and slope along the direction.
local function point(t, f, g, slope)
  return { t = t, f = f, g = g, slope = slope }
end

-- Looks for two points with a good one between them. `evaluate(t)` gives the point at step length t. Returns an array
-- of two points, or of the one that is good already, the number of evaluations and that of enlargements.
local function bracket_minimum(evaluate, start, t, max_search)
  local before, now = start, evaluate(t)
  local evaluations, rounds = 1, 0
  while rounds < max_search do
    if now.f > start.f + ARMIJO * number(now.t) * number(start.slope) or (rounds > 1 and now.f >= before.f) then
      return { before, now }, evaluations, rounds
    elseif math.abs(number(now.slope)) <= -CURVATURE * number(start.slope) then
      return { now }, evaluations, rounds
    elseif number(now.slope) >= 0 then
      return { before, now }, evaluations, rounds
    end
    t = cubic_minimum(before.t, before.f, before.slope, now.t, now.f, now.slope, now.t + 0.01 * (now.t - before.t),
      now.t * 10)
    before, now = now, evaluate(t)
    evaluations, rounds = evaluations + 1, rounds + 1
  end
  return { start, now }, evaluations, rounds
end

-- The next length to try between two points; `stuck` says that the last one lay near an end. Returns it and the new
-- `stuck`.
local function next_length(a, b, stuck)
  local t = cubic_minimum(a.t, a.f, a.slope, b.t, b.f, b.slope)
  local low, high = a.t, b.t
  if number(low) > number(high) then low, high = high, low end
  local margin = 0.1 * (high - low)
  local to_low, to_high = number(t - low), number(high - t)
  local near = math.min(to_high, to_low) < number(margin)
  if not near then return t, false end
  local outside = to_high <= 0 or to_low <= 0
  if not stuck and not outside then return t, true end
  if math.abs(to_high) < math.abs(to_low) then return high - margin, false end
  return low + margin, false
end

-- A step length that satisfies the strong Wolfe conditions, if `max_search` evaluations find one. `reach` is the
-- largest element of the direction. Returns the point and the number of evaluations.
local function strong_wolfe(evaluate, start, t, reach, tolerance, max_search)
  local pair, evaluations, rounds = bracket_minimum(evaluate, start, t, max_search)
  if #pair == 1 then return pair[1], evaluations end
  local low, high = 2, 1
  if pair[1].f <= pair[2].f then low, high = 1, 2 end
  local done, stuck = false, false
  while not done and rounds < max_search do
    if math.abs(number(pair[2].t - pair[1].t)) * reach < tolerance then break end
    t, stuck = next_length(pair[1], pair[2], stuck)
    local now = evaluate(t)
    evaluations, rounds = evaluations + 1, rounds + 1
    if now.f > start.f + ARMIJO * number(t) * number(start.slope) or now.f >= pair[low].f then
      pair[high] = now
      if pair[1].f <= pair[2].f then low, high = 1, 2 else low, high = 2, 1 end
    else
      if math.abs(number(now.slope)) <= -CURVATURE * number(start.slope) then
        done = true
      elseif number(now.slope * (pair[high].t - pair[low].t)) >= 0 then
        pair[high] = pair[low]
      end
      pair[low] = now
    end
  end
  return pair[low], evaluations
end

-- Searches along `direction` from where the parameters are. They stay there.
local function search(group, closure, direction, t, loss, gradient, slope, max_search)
  local origin = {}
  for i, param in ipairs(group.params) do origin[i] = param:clone() end
  local function evaluate(length)
    move(group, length, direction)
    local f = value_of(group, core.enable_grad(closure))
    local g = flat_gradient(group)
    for i, param in ipairs(group.params) do param:copy_(origin[i]) end
    return point(length, f, g, g:dot(direction))
  end
  local found, evaluations = strong_wolfe(evaluate, point(0, loss, gradient:clone(), slope), t, largest(direction),
    1e-9, max_search)
  return found.f, found.g, found.t, evaluations
end

-- Direction -----------------------------------------------------------------------------------------------------------

-- Takes the last step into the history, unless its curvature is too small, and gives the direction that follows.
local function next_direction(group, state, gradient)
  local change, step = gradient:sub(state.prev_flat_grad), state.d:mul(state.t)
  local curvature = change:dot(step)
  if curvature:item() > 1e-10 then
    if #state.old_dirs == group.history_size then
      for _, name in ipairs { "old_dirs", "old_stps", "ro" } do table.remove(state[name], 1) end
    end
    table.insert(state.old_dirs, change)
    table.insert(state.old_stps, step)
    table.insert(state.ro, curvature:reciprocal())
    state.H_diag = curvature / change:dot(change)
  end
  state.al = state.al or {}
  local factors, q = state.al, gradient:neg()
  for i = #state.old_dirs, 1, -1 do
    factors[i] = state.old_stps[i]:dot(q) * state.ro[i]
    q:add_(state.old_dirs[i], { alpha = -factors[i]:item() })
  end
  local r = q:mul(state.H_diag)
  for i = 1, #state.old_dirs do
    local back = state.old_dirs[i]:dot(r) * state.ro[i]
    r:add_(state.old_stps[i], { alpha = (factors[i] - back):item() })
  end
  return r
end

-- One iteration: direction, step, the loss and gradient where it led. `at` holds `loss`, `gradient` and the evaluations
-- so far; the result says whether to go on.
local function iterate(group, state, closure, at, last)
  state.n_iter = state.n_iter + 1
  if state.n_iter == 1 then
    state.d, state.old_dirs, state.old_stps, state.ro, state.H_diag = at.gradient:neg(), {}, {}, {}, 1
  else
    state.d = next_direction(group, state, at.gradient)
  end
  if state.prev_flat_grad == nil then
    state.prev_flat_grad = at.gradient:clone()
  else
    state.prev_flat_grad:copy_(at.gradient)
  end
  state.prev_loss = at.loss
  local lr = number(group.lr)
  state.t = lr
  if state.n_iter == 1 then
    local inverse = at.gradient:abs():sum():reciprocal()
    if inverse:item() < 1 then state.t = inverse * lr end
  end
  local slope = at.gradient:dot(state.d)
  if slope:item() > -group.tolerance_change then return false end
  local evaluations = 0
  if group.line_search_fn ~= nil then
    at.loss, at.gradient, state.t, evaluations = search(group, closure, state.d, state.t, at.loss, at.gradient, slope,
      group.max_eval - at.evaluations)
    move(group, state.t, state.d)
    at.flat = largest(at.gradient) <= group.tolerance_grad
  else
    move(group, state.t, state.d)
    if not last then
      at.loss = value_of(group, core.enable_grad(closure))
      at.gradient = flat_gradient(group)
      at.flat = largest(at.gradient) <= group.tolerance_grad
      evaluations = 1
    end
  end
  at.evaluations = at.evaluations + evaluations
  state.func_evals = state.func_evals + evaluations
  return not (at.evaluations >= group.max_eval or at.flat or largest(state.d:mul(state.t)) <= group.tolerance_change
    or math.abs(at.loss - state.prev_loss) < group.tolerance_change)
end

--- The work of step(closure): up to `max_iter` iterations. The closure clears the gradients, computes the loss, calls
-- backward and returns the loss. Returns the loss before the step.
function LBFGS:run_step(closure)
  if closure == nil then
    core.raise("LBFGS.step", "step() missing 1 required positional argument: 'closure'; it clears the gradients, "
      .. "computes the loss, calls backward() and returns the loss")
  end
  local group = self.param_groups[1]
  if group.line_search_fn ~= nil and group.line_search_fn ~= "strong_wolfe" then
    core.raise("LBFGS.step", "only 'strong_wolfe' is supported, but line_search_fn is '%s'",
      tostring(group.line_search_fn))
  end
  self:follow()
  local key = group.params[1]
  local state = self.state[key]
  state.func_evals, state.n_iter = state.func_evals or 0, state.n_iter or 0
  return core.no_grad(function()
    local first = core.enable_grad(closure)
    if not self.accumulate then self:check_piling() end
    state.func_evals = state.func_evals + 1
    local at = { loss = value_of(group, first), gradient = flat_gradient(group), evaluations = 1, flat = false }
    if largest(at.gradient) <= group.tolerance_grad then return first end
    for i = 1, group.max_iter do
      if not iterate(group, state, closure, at, i == group.max_iter) then break end
    end
    return first
  end)
end

return LBFGS
