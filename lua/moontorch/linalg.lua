--- torch.linalg: matrices as PyTorch's linalg module names their operations.
--
-- The numbers come from the core's operators; this file gives them linalg's names, arguments and words. The last two
-- dims are the matrix, those in front are batches.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local text = require "moontorch.text"

local linalg = {}

local signature = arguments.signature

linalg.inv = core.inverse
linalg.det = core.det
linalg.slogdet = core.slogdet
linalg.matrix_power = core.matrix_power
linalg.matmul = core.matmul

--- cross(input, other, {dim = -1}): cross product of vectors of 3 elements.
linalg.cross = core._linalg_cross
--- solve(A, B, {left = true}): the X with A X = B, or X A = B.
linalg.solve = core._linalg_solve

-- "Float" of a float32 tensor, as messages spell types.
local function type_word(x) return x:type():match("(%a+)Tensor$") end

local function float_only(name, x)
  if not x.dtype.is_floating_point then
    core.raise(name, "linalg.%s: Expected a floating point or complex tensor as input. Got %s: use :float() first",
      name, type_word(x))
  end
end

local diagonal_arguments = signature("diagonal", {
  { "A", "tensor" }, { "offset", "integer", 0 }, { "dim1", "integer", -2 }, { "dim2", "integer", -1 },
})
--- diagonal(A, {offset = 0, dim1 = -2, dim2 = -1}): a view of the diagonals of matrices.
function linalg.diagonal(...)
  local t, offset, dim1, dim2 = diagonal_arguments(...)
  return (core.diagonal(t, offset, dim1, dim2))
end

local vecdot_arguments = signature("vecdot", { { "x", "tensor" }, { "y", "tensor" }, { "dim", "integer", -1 } })
--- vecdot(x, y, {dim = -1}): sums of products along dim; the others broadcast.
function linalg.vecdot(...)
  local x, y, dim = vecdot_arguments(...)
  float_only("vecdot", x)
  if x.dtype ~= y.dtype then
    core.raise("vecdot", "linalg.vecdot: Expected x and y to have the same dtype, but found x of type %s and y of type "
      .. "%s instead", type_word(x), type_word(y))
  end
  return ((x * y):sum(dim))
end

-- Norms ---------------------------------------------------------------------------------------------------------------

local vector_arguments = signature("vector_norm", {
  { "x", "tensor" }, { "ord", "number", 2 }, { "dim", "any?" }, { "keepdim", "boolean", false }, { "dtype", "any?" },
})
local function vector_norm(x, ord, dim, keepdim, dtype)
  return (core.norm(x, { p = ord, dim = dim, keepdim = keepdim, dtype = dtype }))
end
--- vector_norm(x, ord = 2, dim, keepdim = false, {dtype}): (sum |x|^ord)^(1/ord) of all elements or along dim. ord may
-- be math.huge (the largest |x|), -math.huge, or 0 (how many are not zero).
function linalg.vector_norm(...)
  local x, ord, dim, keepdim, dtype = vector_arguments(...)
  float_only("vector_norm", x)
  return (vector_norm(x, ord, dim, keepdim, dtype))
end

-- Dims of x as numbers from 1, two different ones.
local function two_dims(name, x, dim)
  if type(dim) ~= "table" or #dim ~= 2 then
    core.raise(name, "linalg.%s: dim must be a 2-tuple. Got %s", name, text.repr(dim))
  end
  local out = {}
  for k = 1, 2 do
    local d = math.tointeger(dim[k])
    if not d or d == 0 or d > x.ndim or d < -x.ndim then
      core.raise(name, "Dimension out of range (expected to be in range of [-%d, %d], but got %s): dims count from 1",
        x.ndim, x.ndim, tostring(dim[k]))
    end
    out[k] = d < 0 and d + x.ndim + 1 or d
  end
  if out[1] == out[2] then core.raise(name, "linalg.%s: dims must be different. Got (%d, %d)", name, out[1], out[2]) end
  return out[1], out[2]
end

--- svdvals(A): the singular values of each matrix, falling.
function linalg.svdvals(t)
  local _, s = core._svd(t)
  return s
end

local matrix_orders = { [1] = true, [-1] = true, [math.huge] = true, [-math.huge] = true }

-- The largest, the smallest or the sum of the singular values.
local function singular_norm(x, ord, rows, cols, keepdim)
  local s = linalg.svdvals(x:movedim({ rows, cols }, { -2, -1 }))
  local out = ord == 2 and s:amax(-1) or ord == -2 and s:amin(-1) or s:sum(-1)
  if not keepdim then return out end
  return out:unsqueeze(math.min(rows, cols)):unsqueeze(math.max(rows, cols))
end

-- Sums of |x| along one dim of the matrix, then their largest or smallest along the other.
local function matrix_norm(name, x, ord, dim, keepdim, dtype)
  float_only(name, x)
  if x.ndim < 2 then
    core.raise(name, "linalg.%s: The input tensor A must have at least 2 dimensions. It has shape %s", name,
      text.sizes(x))
  end
  local rows, cols = two_dims(name, x, dim)
  if dtype ~= nil then x = x:to(dtype) end
  if ord == "fro" then return (vector_norm(x, 2, { rows, cols }, keepdim)) end
  if ord == 2 or ord == -2 or ord == "nuc" then return (singular_norm(x, ord, rows, cols, keepdim)) end
  if not matrix_orders[ord] then
    core.raise(name, "linalg.matrix_norm: Order %s not supported. There are 'fro', 'nuc', 1, -1, 2, -2, inf and "
      .. "-inf", tostring(ord))
  end
  local along, across = rows, cols
  if ord == math.huge or ord == -math.huge then along, across = cols, rows end
  if not keepdim and across > along then across = across - 1 end
  local sums = vector_norm(x, 1, along, keepdim)
  if ord > 0 then return (sums:amax(across, keepdim)) end
  return (sums:amin(across, keepdim))
end

local matrix_arguments = signature("matrix_norm", {
  { "A", "tensor" }, { "ord", "any", "fro" }, { "dim", "list", { -2, -1 } }, { "keepdim", "boolean", false },
  { "dtype", "any?" },
})
--- matrix_norm(A, ord = "fro", dim = {-2, -1}, keepdim = false, {dtype}): "fro" the root of the sum of squares, 1 the
-- largest column sum of |A|, math.huge the largest row sum, 2 the largest singular value; negative ones the smallest;
-- "nuc" the sum of the singular values.
function linalg.matrix_norm(...)
  local x, ord, dim, keepdim, dtype = matrix_arguments(...)
  return (matrix_norm("matrix_norm", x, ord, dim, keepdim, dtype))
end

local norm_arguments = signature("norm", {
  { "A", "tensor" }, { "ord", "any?" }, { "dim", "any?" }, { "keepdim", "boolean", false }, { "dtype", "any?" },
})
--- norm(A, ord, dim, keepdim = false, {dtype}): a vector norm along one dim, a matrix norm over two. Without ord the
-- root of the sum of squares of everything that dim names.
function linalg.norm(...)
  local x, ord, dim, keepdim, dtype = norm_arguments(...)
  float_only("norm", x)
  if type(dim) == "table" and #dim == 1 then dim = dim[1] end
  if ord == nil then return (vector_norm(x, 2, dim, keepdim, dtype)) end
  if dim == nil then
    if x.ndim ~= 1 and x.ndim ~= 2 then
      core.raise("norm", "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got %dD", x.ndim)
    end
    dim = x.ndim == 1 and 1 or { 1, 2 }
  end
  if type(dim) == "table" then return (matrix_norm("norm", x, ord, dim, keepdim, dtype)) end
  if type(ord) ~= "number" then
    core.raise("norm", "linalg.norm: Order %s not supported for a vector: give a number", tostring(ord))
  end
  return (vector_norm(x, ord, dim, keepdim, dtype))
end

-- Products ------------------------------------------------------------------------------------------------------------

-- split[i][j]: where the cheapest way to multiply matrices i to j cuts. size: their rows, and the last one's columns.
local function cheapest(size, n)
  local cost, split = {}, {}
  for i = 1, n do
    cost[i], split[i] = { [i] = 0 }, {}
  end
  for length = 2, n do
    for i = 1, n - length + 1 do
      local j = i + length - 1
      for k = i, j - 1 do
        local c = cost[i][k] + cost[k + 1][j] + size[i] * size[k + 1] * size[j + 1]
        if not cost[i][j] or c < cost[i][j] then cost[i][j], split[i][j] = c, k end
      end
    end
  end
  return split
end

--- multi_dot{a, b, c, ...}: the product of matrices, multiplied in the order that costs least. The first and the last
-- may be vectors.
function linalg.multi_dot(tensors)
  if type(tensors) ~= "table" or getmetatable(tensors) then
    core.raise("multi_dot", "argument 'tensors' (position 1) must be a list of Tensors, not %s",
      arguments.type_name(tensors))
  end
  local n = #tensors
  if n < 2 then core.raise("multi_dot", "multi_dot(): expected at least 2 tensors but got %d", n) end
  local list = {}
  for k, t in ipairs(tensors) do
    if not core.is_tensor(t) or core.is_freed(t) then
      core.raise("multi_dot", "element %d of the list must be Tensor, not %s", k, arguments.type_name(t))
    end
    local ends = k == 1 or k == n
    if t.ndim ~= 2 and not (ends and t.ndim == 1) then
      core.raise("multi_dot", ends and "multi_dot(): the first and the last tensor must be 1D or 2D, but number %d has "
        .. "%d dims" or "multi_dot(): tensor %d must be 2D but got %dD", k, t.ndim)
    end
    if t.dtype ~= tensors[1].dtype then
      core.raise("multi_dot", "multi_dot(): all tensors must have the same dtype, but number 1 is %s and number %d %s",
        tensors[1].dtype.name, k, t.dtype.name)
    end
    list[k] = t
  end
  local row, column = list[1].ndim == 1, list[n].ndim == 1
  if row then list[1] = list[1]:unsqueeze(1) end
  if column then list[n] = list[n]:unsqueeze(2) end
  local size = { list[1]:size(1) }
  for k = 1, n do
    if k > 1 and list[k]:size(1) ~= size[k] then
      core.raise("multi_dot", "multi_dot(): tensors %d and %d with shapes %s and %s cannot be multiplied", k - 1, k,
        text.sizes(list[k - 1]), text.sizes(list[k]))
    end
    size[k + 1] = list[k]:size(2)
  end
  local split = cheapest(size, n)
  local function product(i, j)
    if i == j then return list[i] end
    return product(i, split[i][j]):mm(product(split[i][j] + 1, j))
  end
  local out = product(1, n)
  if column then out = out:squeeze(2) end
  if row then out = out:squeeze(1) end
  return out
end

local vander_arguments = signature("vander", { { "x", "tensor" }, { "N", "integer?" } })
--- vander(x, {N}): the powers 0 ... N-1 of each element along a new last dim.
function linalg.vander(...)
  local x, n = vander_arguments(...)
  if x.ndim == 0 then core.raise("vander", "linalg.vander: x must be at least 1-dimensional") end
  n = n or x:size(-1)
  if n <= 1 then core.raise("vander", "N must be greater than 1. Got %d", n) end
  if not x.dtype.is_floating_point then x = x:long() end
  local one = x:new_ones(x.shape):unsqueeze(-1)
  local sizes = {}
  for d = 1, x.ndim do sizes[d] = x:size(d) end
  sizes[#sizes + 1] = n - 1
  return core.cat({ one, x:unsqueeze(-1):expand(sizes):cumprod(-1) }, -1)
end

require("moontorch.autocast_composed").wrap_all(linalg, "linalg_")

return linalg
