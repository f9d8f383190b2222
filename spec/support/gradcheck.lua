--- Gradients against central differences, first and second order, in float64.
--
-- fn takes the inputs and returns tensors, or arrays of them; those of float dtype are weighted with fixed random
-- numbers and summed, and the gradient of that sum is compared, element by element of every input. Inputs are
-- contiguous float64 leaves that require grad; they are changed during the check and restored after it.
local torch = require "moontorch"
local samples = require "spec.support.samples"

local gradcheck = { eps = 1e-6, atol = 1e-5, rtol = 1e-3 }

local function collect(list, ...)
  for k = 1, select("#", ...) do
    local v = select(k, ...)
    if torch.is_tensor(v) then
      if v.dtype.is_floating_point then list[#list + 1] = v end
    elseif type(v) == "table" then
      collect(list, table.unpack(v))
    end
  end
  return list
end

local function random_like(t, stream)
  local values = {}
  for k = 1, t:numel() do values[k] = stream.normal() end
  if #values == 0 then return torch.zeros(t.shape, { dtype = torch.float64 }) end
  return torch.tensor(values, { dtype = torch.float64 }):reshape(t.shape)
end

local function weighted(list, weights)
  local total
  for k, t in ipairs(list) do
    local part = (t * weights[k]):sum()
    total = total and total + part or part
  end
  return total
end

-- Slope of value() by each element of x, as a flat array.
local function differences(value, x)
  local flat, slopes = x:detach():reshape(-1), {}
  for k = 1, x:numel() do
    local at = flat:narrow(1, k, 1)
    local old = at:item()
    at:fill_(old + gradcheck.eps)
    local above = value()
    at:fill_(old - gradcheck.eps)
    local below = value()
    at:fill_(old)
    slopes[k] = (above - below) / (2 * gradcheck.eps)
  end
  return slopes
end

local function compare(order, value, total, inputs)
  local grads = table.pack()
  if total and total.requires_grad then
    grads = table.pack(torch.autograd.grad(total, inputs, { allow_unused = true }))
  end
  for n, x in ipairs(inputs) do
    local numeric = differences(value, x)
    local analytic = grads[n] and grads[n]:reshape(-1):tolist() or {}
    if grads[n] and grads[n].shape ~= x.shape then
      return nil, ("%s gradient of input %d has shape %s instead of %s"):format(order, n, tostring(grads[n].shape),
        tostring(x.shape))
    end
    for k, wanted in ipairs(numeric) do
      local got = analytic[k] or 0
      local off = math.abs(got - wanted)
      if off ~= off or off > gradcheck.atol + gradcheck.rtol * math.abs(wanted) then
        return nil, ("%s gradient of input %d, element %d: %.8g, but differences give %.8g"):format(order, n, k, got,
          wanted)
      end
    end
  end
  return true
end

--- true; or nil and what differs.
function gradcheck.first(fn, inputs)
  local stream = samples.stream("first")
  local outputs, weights = collect({}, fn(table.unpack(inputs))), {}
  for k, t in ipairs(outputs) do weights[k] = random_like(t, stream) end
  local function value()
    return torch.no_grad(function()
      local total = weighted(collect({}, fn(table.unpack(inputs))), weights)
      return total and total:item() or 0
    end)
  end
  return compare("first", value, weighted(outputs, weights), inputs)
end

--- The same for the gradient as a function of the inputs and of the gradient that comes in.
function gradcheck.second(fn, inputs)
  local stream = samples.stream("second")
  local outputs, weights = collect({}, fn(table.unpack(inputs))), {}
  for k, t in ipairs(outputs) do weights[k] = random_like(t, stream):requires_grad_() end
  local scale = {}
  for k, x in ipairs(inputs) do scale[k] = random_like(x, stream) end
  local function gradient()
    local total = weighted(collect({}, fn(table.unpack(inputs))), weights)
    if not (total and total.requires_grad) then return nil end
    local grads = table.pack(torch.autograd.grad(total, inputs, { create_graph = true, allow_unused = true }))
    local sum
    for k = 1, #inputs do
      if grads[k] then
        local part = (grads[k] * scale[k]):sum()
        sum = sum and sum + part or part
      end
    end
    return sum
  end
  local function value()
    local sum = gradient()
    return sum and sum:item() or 0
  end
  local all = table.move(weights, 1, #weights, #inputs + 1, { table.unpack(inputs) })
  return compare("second", value, gradient(), all)
end

return gradcheck
