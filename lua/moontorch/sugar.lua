--- What Lua adds to tensors: text, iteration, comparison errors, grad modes and scopes as blocks.
--
-- Everything here is written on the C module alone. A block is a function or a to-be-closed variable:
-- `torch.no_grad(function() ... end)` and `local _ <close> = torch.no_grad()` mean the same.

local core = require "moontorch.core"
local methods, meta = core.methods, core.metatable

-- Functions of this file say their own name when a tensor is no tensor, or was freed.
local function check_tensor(name, parameter, position, t)
  if core.is_freed(t) then
    core.raise(name, "this tensor was freed by free(), <close> or torch.scope: it has no memory any more")
  end
  if not core.is_tensor(t) then
    core.raise(name, "argument '%s' (position %d) must be Tensor, not %s", parameter, position, type(t))
  end
end

-- Text ----------------------------------------------------------------------------------------------------------------

meta.__tostring = function(t)
  check_tensor("tostring", "input", 1, t)
  return require("moontorch.printing").tensor_text(t)
end
meta.__concat = function(a, b) return tostring(a) .. tostring(b) end

-- Iteration and order -------------------------------------------------------------------------------------------------

--- pairs(x): (1, x[1]), (2, x[2]), ... over dim 1.
meta.__pairs = function(t)
  check_tensor("pairs", "input", 1, t)
  if t.ndim == 0 then core.raise("pairs", "iteration over a 0-d tensor") end
  local n = t:size(1)
  return function(_, i)
    if i < n then return i + 1, t[i + 1] end
  end, t, 0
end

local function no_order(symbol, name)
  return function()
    core.raise(name, "Lua's %s gives one boolean, so it cannot compare tensors element by element: use a:%s(b)",
      symbol, name)
  end
end
meta.__lt = no_order("<", "lt")
meta.__le = no_order("<=", "le")

-- Blocks --------------------------------------------------------------------------------------------------------------

-- Refuses what is no function before a block changes anything.
local function check_body(name, f)
  if f == nil or type(f) == "function" then return end
  local callable = getmetatable(f)
  if type(callable) == "table" and callable.__call then return end
  core.raise(name, "takes a function, or nothing: local _ <close> = torch.%s(); got %s", name, type(f))
end

local function check_mode(name, mode)
  if type(mode) ~= "boolean" then
    core.raise(name, "argument 'mode' (position 1) must be true or false, not %s", type(mode))
  end
end

-- The modes come back inside of C, where nothing needs memory: also when f ran out of it.
local function grad_block(name, on, f)
  check_body(name, f)
  if f then return core.with_modes(on, nil, f) end
  return core.mode_block(on)
end

--- Runs f (or the rest of the scope) without recording gradients.
function core.no_grad(f) return grad_block("no_grad", false, f) end
--- Records again inside a no_grad block.
function core.enable_grad(f) return grad_block("enable_grad", true, f) end
--- Records if `mode` is true.
function core.set_grad_enabled(mode, f)
  check_mode("set_grad_enabled", mode)
  return grad_block("set_grad_enabled", mode, f)
end

--- No gradients, for predictions. inference_mode(false, f) does nothing.
function core.inference_mode(mode, f)
  if type(mode) == "function" then mode, f = true, mode end
  if mode == nil then mode = true end
  check_mode("inference_mode", mode)
  check_body("inference_mode", f)
  if f then
    if mode then return core.with_modes(false, true, f) end
    return f()
  end
  if mode then return core.mode_block(false, true) end
  return core.mode_block(core.is_grad_enabled(), core.is_inference_mode_enabled())
end

--- scope(f): tensors made inside f that it does not return, and that nothing else holds, are freed when it ends, by a
-- full collection. Without f, until the to-be-closed variable goes.
function core.scope(f)
  check_body("scope", f)
  if f == nil then return setmetatable({}, { __close = function() collectgarbage() end }) end
  local results = table.pack(pcall(f))
  collectgarbage()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- Small functions -----------------------------------------------------------------------------------------------------

--- record_stream(stream): a torch.cuda.Stream beside the one that the tensor was made on uses its memory. When the
-- tensor goes, the memory waits for that stream before it is given on.
-- https://docs.pytorch.org/docs/stable/generated/torch.Tensor.record_stream.html
function methods.record_stream(x, stream)
  check_tensor("record_stream", "input", 1, x)
  require("moontorch.cuda.stream")._record(x, stream)
end

--- True when every element is equal and the shapes are.
function methods.equal(a, b)
  check_tensor("equal", "input", 1, a)
  check_tensor("equal", "other", 2, b)
  if a.shape ~= b.shape then return false end
  return a:numel() == 0 or a:eq(b):all():item()
end
core.equal = methods.equal

-- as_tuple = false asks for what nonzero gives without it: one tensor.
local nonzero = core.nonzero
function core.nonzero(...)
  local n = select("#", ...)
  local options = n > 0 and select(n, ...)
  if type(options) ~= "table" or options.as_tuple ~= false then return nonzero(...) end
  local args = { ... }
  args[n] = {}
  for k, v in pairs(options) do if k ~= "as_tuple" then args[n][k] = v end end
  return nonzero(table.unpack(args, 1, next(args[n]) and n or n - 1))
end
methods.nonzero = core.nonzero

-- Nested lists as arguments -------------------------------------------------------------------------------------------

local einsum, tensordot = core.einsum, core.tensordot

--- einsum(equation, a, b, ...) or einsum(a, {1, 2}, b, {2, 3}, {1, 3}).
function core.einsum(first, ...)
  if not core.is_tensor(first) then return (einsum(first, ...)) end
  return (einsum(require("moontorch.shapes").sublists(first, ...)))
end

--- tensordot(a, b, dims = 2): dims is a number, or {dims of a, dims of b}.
function core.tensordot(...)
  local n, given = select("#", ...), { ... }
  local keywords = given[n]
  if type(keywords) ~= "table" or keywords.dims == nil then keywords = {} end
  local dims = keywords.dims or given[3]
  if core.is_tensor(dims) or type(dims) == "table" and type(dims[1]) == "table" then
    local a, b = given[1], given[2]
    if a == keywords then a = nil end
    if b == keywords then b = nil end
    return (tensordot(a or keywords.a, b or keywords.b, require("moontorch.shapes").contracted(dims)))
  end
  return (tensordot(...))
end

-- Memory --------------------------------------------------------------------------------------------------------------

--- The memory that the tensor is a part of, as an object with its elements; untyped_storage() shows bytes.
function methods.storage(t)
  check_tensor("storage", "input", 1, t)
  return require("moontorch.storage").of(t)
end
function methods.untyped_storage(t)
  check_tensor("untyped_storage", "input", 1, t)
  return require("moontorch.storage").bytes_of(t)
end

--- x:set_(source, storage_offset, size, stride): x becomes that part of the memory of source, a Tensor or a Storage.
-- Without source it becomes empty.
function methods.set_(t, ...)
  check_tensor("set_", "input", 1, t)
  local source, offset, size, stride = require("moontorch.storage").set_arguments(...)
  if source == nil then return (core._set(t, core.empty(0, { dtype = t.dtype }), false, 0)) end
  local bytes = false
  if not core.is_tensor(source) then source, bytes = require("moontorch.storage").vector(source, t.dtype) end
  return (core._set(t, source, bytes, offset, size, stride))
end

--- The entry of an operator in the reference, as text: torch.help "add".
function core.help(name)
  local found = {}
  for _, op in ipairs(core._ops()) do
    if op.name == name or (" " .. (op.alias or "") .. " "):find(" " .. tostring(name) .. " ", 1, true) then
      found[#found + 1] = op.schema .. "\n" .. (op.doc or "")
    end
  end
  if #found == 0 then core.raise("help", "there is no operator '%s'", tostring(name)) end
  return table.concat(found, "\n\n")
end
