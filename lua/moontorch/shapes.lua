--- Functions of shapes, and the forms of einsum and tensordot whose arguments are nested lists.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local shapes = {}

-- Letters by number, in the order that PyTorch numbers them.
local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

--- broadcast_shapes(a, b, ...): the size to which tensors of those sizes (lists, or numbers for vectors) broadcast.
function shapes.broadcast_shapes(...)
  local n, out = 0, {}
  local given = { ... }
  for k = 1, select("#", ...) do
    local shape = given[k]
    if math.type(shape) then shape = { shape } end
    if type(shape) ~= "table" then
      core.raise("broadcast_shapes", "Input shapes should be of type ints, a list of ints, or torch.Size, got %s "
        .. "(shape number %d)", arguments.type_name(shape), k)
    end
    local m = #shape
    if m > n then
      table.move(out, 1, n, m - n + 1)
      for d = 1, m - n do out[d] = 1 end
      n = m
    end
    for d = 1, m do
      local size, at = math.tointeger(shape[d]), n - m + d
      if not size then
        core.raise("broadcast_shapes", "sizes are integers, but number %d of shape %d is %s", d, k, tostring(shape[d]))
      end
      if size < 0 then core.raise("broadcast_shapes", "Attempting to broadcast a dimension with negative length!") end
      if size ~= 1 and size ~= out[at] then
        if out[at] ~= 1 then
          core.raise("broadcast_shapes", "Attempting to broadcast a dimension of length %d at %d! Mismatching "
            .. "argument at index %d had size %d; but expected shape should be broadcastable to [%s]", size, d - m - 1,
            k, size, table.concat(out, ", "))
        end
        out[at] = size
      end
    end
  end
  return core.Size(out)
end

-- A list of labels as subscripts: numbers from 0 to 51, "..." for an ellipsis.
local function subscripts(list, k)
  local parts = {}
  for i, label in ipairs(list) do
    local at = math.tointeger(label)
    if label == "..." then
      parts[i] = "..."
    elseif at and at >= 0 and at < 52 then
      parts[i] = LETTERS:sub(at + 1, at + 1)
    else
      core.raise("einsum", "einsum(): not within the valid range [0, 52): label %s of list %d", tostring(label), k)
    end
  end
  return table.concat(parts)
end

--- einsum(a, {1, 2}, b, {2, 3}, {1, 3}) as an equation and a list of operands. Labels are values, not positions.
function shapes.sublists(...)
  local given, n = { ... }, select("#", ...)
  local inputs, operands = {}, {}
  local k = 1
  while k + 1 <= n do
    if not core.is_tensor(given[k]) then
      core.raise("einsum", "argument %d must be Tensor, not %s: operands and their lists of labels alternate", k,
        arguments.type_name(given[k]))
    end
    if type(given[k + 1]) ~= "table" then
      core.raise("einsum", "argument %d must be the list of labels of operand %d, not %s", k + 1, #operands + 1,
        arguments.type_name(given[k + 1]))
    end
    operands[#operands + 1] = given[k]
    inputs[#inputs + 1] = subscripts(given[k + 1], #inputs + 1)
    k = k + 2
  end
  local equation = table.concat(inputs, ",")
  if k == n then
    if type(given[n]) ~= "table" or core.is_tensor(given[n]) then
      core.raise("einsum", "argument %d must be the list of labels of the result, not %s", n,
        arguments.type_name(given[n]))
    end
    equation = equation .. "->" .. subscripts(given[n], #inputs + 1)
  end
  return equation, operands
end

--- The `dims` of tensordot, a list of two lists or a tensor of two rows, as two lists; a number as itself.
function shapes.contracted(dims)
  if core.is_tensor(dims) then
    if dims:numel() == 1 then return dims:item() end
    dims = dims:tolist()
  end
  if type(dims) ~= "table" then return dims end
  if #dims ~= 2 then
    core.raise("tensordot", "tensordot expects dims to be an integer or a list of two lists, got a list of %d", #dims)
  end
  local lists = {}
  for k = 1, 2 do lists[k] = type(dims[k]) == "table" and dims[k] or { dims[k] } end
  return lists[1], lists[2]
end

return shapes
