--- Gradients of torch.nn and torch.nn.functional against differences, first and second order, in float64: every golden
-- call that has gradients (spec/golden/functional.lua), away from the kinks of its function.
--
-- Outputs are weighted and summed to L. The slope of L along a fixed direction of all inputs and parameters is compared
-- with that of its gradient; then the slope, as a function of inputs, parameters and weights, with its own gradient.
local torch = require "moontorch"
local golden_calls = require "spec.support.golden_calls"
local exceptions = require "spec.support.exceptions"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local groups = golden_calls.load(here .. "/golden/functional.lua")

local EPS, TOLERANCE = 1e-6, 1e-5

-- Gradients that are no derivatives: name, pattern of the call, why. First and second order.
local NO_DERIVATIVE = {
  { "*", "padding_idx", "the padding's row gets none" },
  { "embedding", "^F.embedding%(i[^;]*;[^,]*,[^;]*, f[^;]*;1, %-?%d", "the padding's row gets none" },
  { "Embedding", "^nn.Embedding%(5, 3, %-?%d", "the padding's row gets none" },
  { "*", "scale_grad_by_freq = true", "it is scaled" },
  { "*", "mbedding.*, true", "it is scaled" },
  { "gumbel_softmax", "true", "a hard draw has the gradient of the soft one" },
  { "cosine_similarity", "10%.0", "norms below eps count as their own in the gradient" },
  { "gaussian_nll_loss", "0%.5", "variances below eps count as their own in the gradient" },
  { "GaussianNLLLoss", "0%.5", "variances below eps count as their own in the gradient" },
  { "binary_cross_entropy", "f%d=0.0", "chances of 0 and 1 have no neighbours" },
  { "*", "ctc_loss%(", "it is that of what log_softmax is given: see below" },
  { "*", "CTCLoss%(", "it is that of what log_softmax is given: see below" },
}

-- Fixed numbers of t's shape: directions and weights.
local function numbers(t, number)
  local i = torch.arange(t:numel(), { dtype = torch.float64 })
  return torch.sin(i * 1.7 + number * 0.9 + 0.3):reshape(t.shape)
end

local function dot(list, directions)
  local sum
  for k, t in ipairs(list) do
    if t ~= torch.none then
      local part = (t * directions[k]):sum()
      sum = sum and sum + part or part
    end
  end
  return sum
end

local function move(leaves, directions, by)
  torch.no_grad(function()
    for k, x in ipairs(leaves) do x:add_(directions[k] * by) end
  end)
end

-- The difference quotient of value() along the directions of all leaves.
local function slope(value, leaves, directions)
  move(leaves, directions, EPS)
  local above = value()
  move(leaves, directions, -2 * EPS)
  local below = value()
  move(leaves, directions, EPS)
  return (above - below) / (2 * EPS)
end

local function gradients(total, leaves, create_graph)
  local list = table.pack(torch.autograd.grad(total, leaves, { create_graph = create_graph, allow_unused = true }))
  local found = {}
  for k = 1, #leaves do found[k] = list[k] or torch.none end
  return found
end

local function differs(order, got, wanted)
  if math.abs(got - wanted) <= TOLERANCE * (1 + math.abs(wanted)) then return nil end
  return ("%s order: the slope is %.10g, but differences give %.10g"):format(order, got, wanted)
end

-- What is wrong with the gradients of a call, or nil.
local function check(group, case)
  local module = group.space == "nn" and golden_calls.construct(group, case) or nil
  local f, arguments, leaves = golden_calls.prepare(group, case, torch.float64, module, true)
  local weights, directions = {}, {}
  for k, x in ipairs(leaves) do directions[k] = numbers(x, k) end
  local function total()
    torch.manual_seed(case.seed or 11)
    local given = table.move(arguments, 1, #arguments, 1, {})
    if case.inplace then given[1] = given[1]:clone() end
    local outs, sum = golden_calls.flat({}, { f(table.unpack(given)) }), nil
    for k, out in ipairs(outs) do
      if out.dtype.is_floating_point then
        weights[k] = weights[k] or numbers(out, 10 + k):requires_grad_()
        local part = (out * weights[k]):sum()
        sum = sum and sum + part or part
      end
    end
    return sum
  end
  -- what is differentiated comes first: differences write to the leaves
  local sum = total()
  if sum:item() ~= sum:item() then return nil end -- means of nothing
  local along = dot(gradients(sum, leaves, true), directions)
  local all, others = table.move(leaves, 1, #leaves, 1, {}), {}
  for _, w in pairs(weights) do all[#all + 1] = w end
  for k, x in ipairs(all) do others[k] = numbers(x, 20 + k) end
  local second = along and along.requires_grad and dot(gradients(along, all), others)
  local wrong = differs("first", along and along:item() or 0, slope(function()
    return torch.no_grad(function() return total():item() end)
  end, leaves, directions))
  if wrong then return wrong end
  return differs("second", second and second:item() or 0, slope(function()
    local value = dot(gradients(total(), leaves, true), directions)
    return value and value:item() or 0
  end, all, others))
end

local function checkable(case)
  if not case.grads or not case.args or case.dtype == "h" or case.dtype == "b" then return false end
  return case.grads:find "%l" ~= nil
end

-- Each call takes long where the collector runs all the time.
local EVERY = os.getenv "GCSTRESS" and 50 or 1

for _, group in ipairs(groups) do
  local cases = {}
  for k, case in ipairs(group) do
    local text = golden_calls.text(group, case)
    local finite = not (text:find "[ =(]%-?nan[ ),]" or text:find "e%+30" or text:find "f[%d,]*=[^,]*inf")
    if finite and checkable(case) and not exceptions.excused(NO_DERIVATIVE, group.name, text) and k % EVERY == 0 then
      cases[#cases + 1] = case
    end
  end
  if #cases > 0 then
    it(("gradients agree with differences: %s.%s"):format(group.space, group.name), function()
      local failures = {}
      for _, case in ipairs(cases) do
        local text = golden_calls.text(group, case)
        local ok, wrong = pcall(check, group, case)
        if not ok or wrong then failures[#failures + 1] = text .. ": " .. tostring(wrong) end
      end
      if #failures > 0 then
        error(("%d of %d calls:\n%s"):format(#failures, #cases, table.concat(failures, "\n")), 0)
      end
    end)
  end
end

it("gradients need every exception made here", function()
  exceptions.check_needed(NO_DERIVATIVE)
end)

it("gradients of ctc_loss after log_softmax agree with differences", function()
  local group = { space = "F", name = "ctc_loss" }
  local F = torch.nn.functional
  local x = numbers(torch.zeros(6, 2, 4), 1):requires_grad_()
  local targets, sizes = torch.tensor { { 2, 3, 4 }, { 2, 2, 3 } }, torch.tensor { 3, 2 }
  for _, how in ipairs { "mean", "sum", "none" } do
    local loss = function() return F.ctc_loss(F.log_softmax(x, 3), targets, torch.tensor { 6, 5 }, sizes, 1, how) end
    local directions = { numbers(x, 2) }
    local along = dot(gradients(loss():sum(), { x }), directions)
    local wrong = differs("first", along:item(), slope(function() return loss():sum():item() end, { x }, directions))
    if wrong then error(group.name .. ", " .. how .. ": " .. wrong, 0) end
  end
end)
