--- torch.autograd.functional: Jacobians, Hessians and their products with vectors.
--
-- Formulas as in PyTorch's torch.autograd.functional; forward-mode products are made by differentiating the backward
-- pass once more (the double-backward trick). Every function takes f, its input or an array of inputs, and returns
-- results with the structure of what it was given: one tensor for one input, an array for an array.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local functional = {}

local function as_array(v) return core.is_tensor(v) and { v } or v end

local function as_given(list, given)
  if core.is_tensor(given) then return list[1] end
  return list
end

-- Inputs as fresh leaves, so that nothing outside takes part; with create_graph they stay connected to what was given.
local function prepare(name, inputs, create_graph)
  local list = {}
  if not core.is_tensor(inputs) and type(inputs) ~= "table" then
    core.raise(name, "The inputs given to %s must be either a Tensor or a tuple of Tensors but the given inputs has "
      .. "type %s.", name, arguments.type_name(inputs))
  end
  for i, x in ipairs(as_array(inputs)) do
    if not core.is_tensor(x) then
      core.raise(name, "The inputs given to %s must be either a Tensor or a tuple of Tensors but the value at index "
        .. "%d has type %s.", name, i, arguments.type_name(x))
    end
    if create_graph then
      list[i] = x.requires_grad and x:view_as(x) or x:detach():requires_grad_()
    else
      list[i] = x:detach():requires_grad_()
    end
  end
  return list
end

local function call(name, f, inputs)
  local results = table.pack(f(table.unpack(inputs)))
  if results.n == 1 and type(results[1]) == "table" then results = results[1] end
  if #results == 0 then core.raise(name, "the function returned no Tensor") end
  for i, y in ipairs(results) do
    if not core.is_tensor(y) then
      core.raise(name, "The outputs of the user-provided function given to %s must be either a Tensor or a tuple of "
        .. "Tensors but output %d has type %s.", name, i, arguments.type_name(y))
    end
  end
  return results
end

local function grad(outputs, inputs, grad_outputs, create_graph, retain)
  local wanting, gradients = {}, {}
  for i, y in ipairs(outputs) do
    if y.requires_grad then
      wanting[#wanting + 1] = y
      gradients[#gradients + 1] = grad_outputs and (grad_outputs[i] or core.zeros_like(y)) or core.none
    end
  end
  if #wanting == 0 then return {} end
  return table.pack(core.grad(wanting, inputs, {
    grad_outputs = grad_outputs and gradients or nil, create_graph = create_graph, retain_graph = retain,
    allow_unused = true,
  }))
end

local function detached(list, create_graph)
  if create_graph then return list end
  local out = {}
  for i, x in ipairs(list) do out[i] = x:detach() end
  return out
end

-- Strict mode: PyTorch's sentences for what a gradient does not depend on. %d is an input, from 1.
local INDEPENDENT = {
  back = "The output of the user-provided function is independent of input %d. This is not allowed in strict mode.",
  back_trick = "The gradient with respect to the input is independent of entry %d in the grad_outputs when using the "
    .. "double backward trick to compute forward mode gradients. This is not allowed in strict mode.",
  double_back = "The jacobian of the user-provided function is independent of input %d. This is not allowed in strict "
    .. "mode.",
  double_back_trick = "The hessian of the user-provided function is independent of entry %d in the grad_jacobian. This "
    .. "is not allowed in strict mode as it prevents from using the double backward trick to replace forward mode AD.",
}
local CONSTANT = {
  outputs = "Output %d of the user-provided function does not require gradients. The outputs must be computed in a "
    .. "differentiable manner from the input when running in strict mode.",
  grad_inputs = "The gradient with respect to input %d is independent of the inputs of the user-provided function. "
    .. "This is not allowed in strict mode.",
  jacobian = "While computing the hessian, found that the jacobian of the user-provided function with respect to input "
    .. "%d is independent of the input. This is not allowed in strict mode. You should ensure that your function is "
    .. "twice differentiable and that the jacobian depends on the inputs (this would be violated by a linear function "
    .. "for example).",
  hessian = "The hessian of the user-provided function with respect to input %d is independent of the input. This is "
    .. "not allowed in strict mode. You should ensure that your function is thrice differentiable and that the hessian "
    .. "depends on the inputs.",
}

-- Each of the n entries must be there and require grad.
local function check_depends(name, list, n, what)
  for i = 1, n do
    if list[i] == nil then core.raise(name, INDEPENDENT.back, i) end
    if not list[i].requires_grad then core.raise(name, CONSTANT[what], i) end
  end
end

-- list with zeros where nothing came, which strict mode refuses.
local function filled(name, list, like, strict, stage, create_graph)
  local out = {}
  for i, x in ipairs(like) do
    if list[i] == nil and strict then core.raise(name, INDEPENDENT[stage], i) end
    if strict and create_graph and stage:find("double", 1, true) and not list[i].requires_grad then
      core.raise(name, "The hessian of the user-provided function is independent of input %d. This is not allowed in "
        .. "strict mode when create_graph=True.", i)
    end
    out[i] = list[i] or core.zeros_like(x)
  end
  return out
end

local jacobian_arguments = arguments.signature("jacobian", {
  { "func", "any" }, { "inputs", "any" }, { "create_graph", "boolean", false }, { "strict", "boolean", false },
  { "vectorize", "boolean", false },
})

--- The Jacobian of f at inputs: for output shape [..o] and input shape [..i] a tensor [..o, ..i]; with several outputs
-- or inputs arrays of them, jacobian[output][input].
function functional.jacobian(...)
  local f, given, create_graph, strict, vectorize = jacobian_arguments(...)
  if strict and vectorize then
    core.raise("jacobian", "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported "
      .. "together. Please either set `strict=False` or `vectorize=False`.")
  end
  local many = false
  return core.enable_grad(function()
    local inputs = prepare("jacobian", given, create_graph)
    local raw = table.pack(f(table.unpack(inputs)))
    many = raw.n > 1 or not core.is_tensor(raw[1])
    local outputs = call("jacobian", function() return table.unpack(raw, 1, raw.n) end, inputs)
    if strict then check_depends("jacobian", outputs, #outputs, "outputs") end
    local result = {}
    for o, y in ipairs(outputs) do
      local rows = {}
      for i = 1, #inputs do rows[i] = {} end
      local flat = y:reshape(-1)
      for k = 1, y:numel() do
        local g = y.requires_grad and grad({ flat[k] }, inputs, nil, create_graph, true) or {}
        for i, x in ipairs(inputs) do
          if strict and g[i] == nil then
            core.raise("jacobian", "Output %d of the user-provided function is independent of input %d. This is not "
              .. "allowed in strict mode.", o, i)
          end
          if strict and create_graph and not g[i].requires_grad then
            core.raise("jacobian", "The jacobian of the user-provided function is independent of input %d. This is not "
              .. "allowed in strict mode when create_graph=True.", i)
          end
          rows[i][k] = g[i] or core.zeros_like(x)
        end
      end
      result[o] = {}
      for i, x in ipairs(inputs) do
        local shape = {}
        for _, n in ipairs(y.shape) do shape[#shape + 1] = n end
        for _, n in ipairs(x.shape) do shape[#shape + 1] = n end
        local stacked = #rows[i] > 0 and core.stack(rows[i], 1):reshape(shape)
          or core.zeros(shape, { dtype = x.dtype, device = x.device })
        result[o][i] = create_graph and stacked or stacked:detach()
      end
      result[o] = as_given(result[o], given)
    end
    return many and result or result[1]
  end)
end

local function scalar_output(name, outputs)
  if #outputs ~= 1 then core.raise(name, "The function given to %s should return a single Tensor", name) end
  if outputs[1]:numel() ~= 1 then
    core.raise(name, "The Tensor returned by the function given to %s should contain a single element", name)
  end
  return outputs[1]:reshape({})
end

local hessian_arguments = arguments.signature("hessian", {
  { "func", "any" }, { "inputs", "any" }, { "create_graph", "boolean", false }, { "strict", "boolean", false },
  { "vectorize", "boolean", false },
})

--- The Hessian of a scalar f: [..i, ..i] for one input; hessian[i][j] for several.
function functional.hessian(...)
  local f, given, create_graph, strict, vectorize = hessian_arguments(...)
  if strict and vectorize then
    core.raise("hessian", "torch.autograd.functional.hessian: `strict=True` and `vectorized=True` are not supported "
      .. "together. Please either set `strict=False` or `vectorize=False`.")
  end
  local single = core.is_tensor(given)
  local function gradient(...)
    local inputs = { ... }
    local y = scalar_output("hessian", call("hessian", f, inputs))
    local g = grad({ y }, inputs, nil, true, true)
    if strict then check_depends("hessian", g, #inputs, "jacobian") end
    return table.unpack(filled("hessian", g, inputs))
  end
  local result = functional.jacobian(gradient, given, { create_graph = create_graph, strict = strict })
  if not single and core.is_tensor(result[1]) then result = { result } end
  return result
end

local function check_vector(name, v, like, what)
  if v == nil then
    if #like == 1 and like[1]:numel() == 1 then return { core.ones_like(like[1]) } end
    core.raise(name, "The vector v can only be nil if %s", what)
  end
  local list = as_array(v)
  if type(list) ~= "table" or #list ~= #like then
    core.raise(name, "v is a tuple of invalid length: should be %d but got %d.", #like,
      type(list) == "table" and #list or 0)
  end
  for i, x in ipairs(like) do
    if not core.is_tensor(list[i]) or list[i].shape ~= x.shape then
      core.raise(name, "v has invalid size: should be %s but got %s", tostring(x.shape),
        core.is_tensor(list[i]) and tostring(list[i].shape) or type(list[i]))
    end
  end
  return list
end

local product_signature = {
  { "func", "any" }, { "inputs", "any" }, { "v", "any?" }, { "create_graph", "boolean", false },
  { "strict", "boolean", false },
}
local vjp_arguments = arguments.signature("vjp", product_signature)
local jvp_arguments = arguments.signature("jvp", product_signature)
local vhp_arguments = arguments.signature("vhp", product_signature)
local hvp_arguments = arguments.signature("hvp", product_signature)

-- What f returned, as it returned it: one tensor or an array.
local function outputs_as_returned(outputs, create_graph)
  local list = detached(outputs, create_graph)
  return #list == 1 and list[1] or list
end

--- vjp(f, inputs, v) -> f's outputs, and vᵀJ with the structure of inputs.
function functional.vjp(...)
  local f, given, v, create_graph, strict = vjp_arguments(...)
  return core.enable_grad(function()
    local inputs = prepare("vjp", given, create_graph)
    local outputs = call("vjp", f, inputs)
    v = check_vector("vjp", v, outputs, "the user-provided function returns a single Tensor with a single element.")
    if strict then check_depends("vjp", outputs, #outputs, "outputs") end
    local g = filled("vjp", grad(outputs, inputs, v, create_graph, create_graph), inputs, strict, "back")
    return outputs_as_returned(outputs, create_graph), as_given(detached(g, create_graph), given)
  end)
end

--- jvp(f, inputs, v) -> f's outputs, and Jv with the structure of the outputs.
function functional.jvp(...)
  local f, given, v, create_graph, strict = jvp_arguments(...)
  return core.enable_grad(function()
    local inputs = prepare("jvp", given, create_graph)
    v = check_vector("jvp", v, inputs,
      "the input to the user-provided function is a single Tensor with a single element.")
    local outputs = call("jvp", f, inputs)
    local dual = {}
    for i, y in ipairs(outputs) do dual[i] = core.zeros_like(y):requires_grad_() end
    if strict then check_depends("jvp", outputs, #outputs, "outputs") end
    local g = grad(outputs, inputs, dual, true, true)
    if strict then check_depends("jvp", g, #inputs, "grad_inputs") end
    local product = grad(filled("jvp", g, inputs), dual, v, create_graph, create_graph)
    local list = detached(filled("jvp", product, outputs, strict, "back_trick"), create_graph)
    return outputs_as_returned(outputs, create_graph), #list == 1 and list[1] or list
  end)
end

--- vhp(f, inputs, v) -> f's value, and vᵀH for a scalar f.
function functional.vhp(...)
  local f, given, v, create_graph, strict = vhp_arguments(...)
  return core.enable_grad(function()
    local inputs = prepare("vhp", given, create_graph)
    v = check_vector("vhp", v, inputs,
      "the input to the user-provided function is a single Tensor with a single element.")
    local y = scalar_output("vhp", call("vhp", f, inputs))
    if strict then check_depends("vhp", { y }, 1, "outputs") end
    local g = grad({ y }, inputs, nil, true, true)
    if strict then check_depends("vhp", g, #inputs, "jacobian") end
    local product = grad(filled("vhp", g, inputs), inputs, v, create_graph, create_graph)
    product = filled("vhp", product, inputs, strict, "double_back", create_graph)
    return create_graph and y or y:detach(), as_given(detached(product, create_graph), given)
  end)
end

--- hvp(f, inputs, v) -> f's value, and Hv for a scalar f.
function functional.hvp(...)
  local f, given, v, create_graph, strict = hvp_arguments(...)
  return core.enable_grad(function()
    local inputs = prepare("hvp", given, create_graph)
    v = check_vector("hvp", v, inputs,
      "the input to the user-provided function is a single Tensor with a single element.")
    local y = scalar_output("hvp", call("hvp", f, inputs))
    if strict then check_depends("hvp", { y }, 1, "outputs") end
    local g = grad({ y }, inputs, nil, true, true)
    if strict then check_depends("hvp", g, #inputs, "jacobian") end
    local jac = filled("hvp", g, inputs)
    local dual = {}
    for i, x in ipairs(inputs) do dual[i] = core.zeros_like(x):requires_grad_() end
    local double = grad(jac, inputs, dual, true, true)
    if strict then check_depends("hvp", double, #inputs, "hessian") end
    local product = grad(filled("hvp", double, inputs), dual, v, create_graph, create_graph)
    product = filled("hvp", product, inputs, strict, "double_back_trick", create_graph)
    return create_graph and y or y:detach(), as_given(detached(product, create_graph), given)
  end)
end

return functional
