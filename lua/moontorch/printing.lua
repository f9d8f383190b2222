--- Text of tensors and shapes, character by character PyTorch's.
--
-- A tensor is read through its public face only (shape, dtype, device, tolist, indexing), and of a tensor that is too
-- big to print whole only the edges are read. Invariant: the text depends on the tensor and the print options alone.

local printing = {}

local DEFAULT = { precision = 4, threshold = 1000, edgeitems = 3, linewidth = 80 }
local PROFILES = {
  default = DEFAULT,
  short = { precision = 2, threshold = 1000, edgeitems = 2, linewidth = 80 },
  full = { precision = 4, threshold = math.huge, edgeitems = 3, linewidth = 80 },
}
local options = { precision = 4, threshold = 1000, edgeitems = 3, linewidth = 80, sci_mode = nil }

-- The dtype whose name is left out of the text, as that of int64 and bool always is.
local function default_dtype()
  local core = package.loaded["moontorch.core"]
  return core and tostring(core.get_default_dtype()) or "torch.float32"
end

-- Options -------------------------------------------------------------------------------------------------------------

local COUNTS = { "precision", "threshold", "edgeitems", "linewidth" }
local ORDER = { "precision", "threshold", "edgeitems", "linewidth", "profile", "sci_mode" }
local NAMES = {}
for _, name in ipairs(ORDER) do NAMES[name] = true end

local function refuse(level, text, ...)
  error("set_printoptions: " .. text:format(...), level + 1)
end

-- The count named `name`, as an integer (threshold may be infinite); errors at the caller of the public function.
local function check_count(name, value)
  if name == "threshold" and value == math.huge then return value end
  local count = math.type(value) and math.tointeger(value)
  if not count or count < 0 then
    refuse(3, "%s must be a whole number from 0, but got %s", name, tostring(value))
  end
  if name == "precision" and count > 99 then refuse(3, "precision must be at most 99, but got %d", count) end
  return count
end

--- set_printoptions{precision=, threshold=, edgeitems=, linewidth=, profile=, sci_mode=}
-- All of them may be left out; sci_mode then goes back to choosing by itself. Also takes them in this order, as PyTorch
-- does. A wrong value leaves everything as it was.
function printing.set_printoptions(...)
  local given = {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if type(value) == "table" and i == select("#", ...) and getmetatable(value) == nil then
      for name, v in pairs(value) do
        if not NAMES[name] then
          refuse(2, "unknown keyword '%s'; accepted are %s", tostring(name), table.concat(ORDER, ", "))
        end
        given[name] = v
      end
    elseif ORDER[i] then
      given[ORDER[i]] = value
    else
      refuse(2, "takes at most %d arguments", #ORDER)
    end
  end
  for name, value in pairs(given) do
    if type(value) == "userdata" then given[name] = nil end  -- torch.none
  end
  local new = {}
  for _, name in ipairs(COUNTS) do new[name] = options[name] end
  if given.profile ~= nil then
    local profile = PROFILES[given.profile]
    if not profile then
      refuse(2, "profile must be 'default', 'short' or 'full', but got '%s'", tostring(given.profile))
    end
    for name, value in pairs(profile) do new[name] = value end
  end
  for _, name in ipairs(COUNTS) do
    if given[name] ~= nil then new[name] = check_count(name, given[name]) end
  end
  if given.sci_mode ~= nil and type(given.sci_mode) ~= "boolean" then
    refuse(2, "sci_mode must be true, false or left out, but got %s", tostring(given.sci_mode))
  end
  new.sci_mode = given.sci_mode
  options = new
end

--- The options in force, as a table that set_printoptions takes back.
function printing.get_printoptions()
  local copy = {}
  for name, value in pairs(options) do copy[name] = value end
  return copy
end

-- Numbers -------------------------------------------------------------------------------------------------------------

-- Python's text of a float under a C format; C adds a sign to some NaNs, Python never does.
local function float_text(format, value)
  if value ~= value then return "nan" end
  return format:format(value)
end

local function scalar_text(value)
  if value == true then return "True" elseif value == false then return "False" end
  return ("%d"):format(value)
end

-- Calls fn(value) for the numbers in nested lists of `depth` levels.
local function each(data, depth, fn)
  if depth == 0 then return fn(data) end
  for i = 1, #data do each(data[i], depth - 1, fn) end
end

-- How all numbers of one tensor are written: a function from value to padded text, and the width of the texts.
local function make_formatter(data, depth, is_float)
  local width = 1
  if not is_float then
    each(data, depth, function(value) width = math.max(width, #scalar_text(value)) end)
    return function(value)
      local text = scalar_text(value)
      return (" "):rep(width - #text) .. text
    end, width
  end

  local smallest, largest, whole = math.huge, 0, true
  local function is_plain(value) return value == value and value ~= 0 and value ~= math.huge and value ~= -math.huge end
  each(data, depth, function(value)
    if not is_plain(value) then return end
    local size = math.abs(value)
    smallest, largest = math.min(smallest, size), math.max(largest, size)
    whole = whole and value == math.floor(value)
  end)

  local any = largest > 0
  local scientific = false
  if any then
    if options.sci_mode ~= nil then scientific = options.sci_mode
    else scientific = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4 end
  end
  local format = scientific and ("%%.%de"):format(options.precision) or whole and "%.0f"
    or ("%%.%df"):format(options.precision)
  local point = whole and not scientific
  if any then
    each(data, depth, function(value)
      if is_plain(value) then width = math.max(width, #float_text(format, value) + (point and 1 or 0)) end
    end)
  end
  return function(value)
    local text = float_text(format, value)
    if point and value == value and value ~= math.huge and value ~= -math.huge then text = text .. "." end
    return (" "):rep(width - #text) .. text
  end, width
end

-- Data ----------------------------------------------------------------------------------------------------------------

-- Appends b's lists to a's at the given level of nesting.
local function append(a, b, level)
  if level == 1 then
    table.move(b, 1, #b, #a + 1, a)
  else
    for i = 1, #a do append(a[i], b[i], level - 1) end
  end
  return a
end

-- Nested lists of t's elements; with `summarize`, only the first and last edgeitems of each dim longer than both.
local function read(t, shape, summarize)
  if not summarize then return t:tolist() end
  local edge = options.edgeitems
  local function edges(part, dim)
    if dim > #shape then return part:tolist() end
    if shape[dim] <= 2 * edge then return edges(part, dim + 1) end
    local first, last = {}, {}
    for i = 1, dim - 1 do first[i], last[i] = {}, {} end
    first[dim], last[dim] = { 1, edge }, { shape[dim] - edge + 1, shape[dim] }
    return append(edges(part[first], dim + 1), edges(part[last], dim + 1), dim)
  end
  return edges(t, 1)
end

-- Layout --------------------------------------------------------------------------------------------------------------

-- True when the dim is printed as its edges with "..." between; `data` then holds the edges only.
local function is_cut(size, summarize) return summarize and size > 2 * options.edgeitems end

local function vector_text(data, size, indent, summarize, format, width)
  local texts
  if summarize and options.edgeitems == 0 then
    texts = { "..." }
  else
    texts = {}
    for i = 1, #data do
      if is_cut(size, summarize) and i == options.edgeitems + 1 then texts[#texts + 1] = " ..." end
      texts[#texts + 1] = format(data[i])
    end
  end
  local per_line = math.max(1, (options.linewidth - indent) // (width + 2))
  local lines = {}
  for i = 1, #texts, per_line do
    lines[#lines + 1] = table.concat(texts, ", ", i, math.min(i + per_line - 1, #texts))
  end
  return "[" .. table.concat(lines, ",\n" .. (" "):rep(indent + 1)) .. "]"
end

-- The brackets of data, whose first dim is `dim` of shape.
local function nested_text(data, shape, dim, indent, summarize, format, width)
  if dim > #shape then return format(data) end
  if dim == #shape then return vector_text(data, shape[dim], indent, summarize, format, width) end
  local parts = {}
  local cut = is_cut(shape[dim], summarize)
  if cut and options.edgeitems == 0 then
    parts[1] = "..."
  else
    for i = 1, #data do
      if cut and i == options.edgeitems + 1 then parts[#parts + 1] = "..." end
      parts[#parts + 1] = nested_text(data[i], shape, dim + 1, indent + 1, summarize, format, width)
    end
  end
  return "[" .. table.concat(parts, "," .. ("\n"):rep(#shape - dim) .. (" "):rep(indent + 1)) .. "]"
end

local function content_text(t, shape, indent)
  local numel = t:numel()
  if numel == 0 then return "[]" end
  local summarize = numel > options.threshold and #shape > 0
  local data
  if summarize and options.edgeitems == 0 then
    data = {}
  else
    data = read(t, shape, summarize)
  end
  local depth = (summarize and options.edgeitems == 0) and 1 or #shape
  local format, width = make_formatter(data, depth, t.dtype.is_floating_point)
  return nested_text(data, shape, 1, indent, summarize, format, width)
end

-- Python's text of a tuple.
local function tuple_text(shape)
  local inner = table.concat(shape, ", ")
  return "(" .. inner .. (#shape == 1 and ",)" or ")")
end

local function grad_fn_name(grad_fn)
  if type(grad_fn) == "string" then return grad_fn end
  local ok, name = pcall(function() return grad_fn:name() end)
  return ok and name or tostring(grad_fn)
end

-- Appends ", suffix" for each, on a new line where it would not fit, and the closing bracket.
local function add_suffixes(text, suffixes, indent)
  local parts = { text }
  local length = #text:match("[^\n]*$") + 2  -- PyTorch counts the last line two longer than it is
  for _, suffix in ipairs(suffixes) do
    if length + #suffix + 2 > options.linewidth then
      parts[#parts + 1] = ",\n" .. (" "):rep(indent) .. suffix
      length = indent + #suffix
    else
      parts[#parts + 1] = ", " .. suffix
      length = length + #suffix + 2
    end
  end
  parts[#parts + 1] = ")"
  return table.concat(parts)
end

--- The text of a tensor: tensor([[1., 2.], [3., 4.]], dtype=torch.float64, requires_grad=True).
function printing.tensor_text(t)
  local prefix = "tensor("
  local shape, suffixes = {}, {}
  for i, size in ipairs(t.shape) do shape[i] = size end
  local device, dtype = tostring(t.device), tostring(t.dtype)
  local grad_fn, requires_grad = t.grad_fn, t.requires_grad
  local is_parameter = t.is_parameter
  if device ~= "cpu" then suffixes[#suffixes + 1] = ("device='%s'"):format(device) end
  if t:numel() == 0 then
    -- PyTorch leaves the size of an empty vector out, and counts int64 and bool as dtypes that need saying here.
    if #shape ~= 1 then suffixes[#suffixes + 1] = "size=" .. tuple_text(shape) end
    if dtype ~= default_dtype() then suffixes[#suffixes + 1] = "dtype=" .. dtype end
  else
    if options.edgeitems == 0 then suffixes[#suffixes + 1] = "size=" .. tuple_text(shape) end
    if dtype ~= default_dtype() and dtype ~= "torch.int64" and dtype ~= "torch.bool" then
      suffixes[#suffixes + 1] = "dtype=" .. dtype
    end
  end
  if grad_fn ~= nil then
    suffixes[#suffixes + 1] = ("grad_fn=<%s>"):format(grad_fn_name(grad_fn))
  elseif requires_grad then
    suffixes[#suffixes + 1] = "requires_grad=True"
  end

  local plain = t
  if requires_grad then plain = plain:detach() end
  if device ~= "cpu" then plain = plain:cpu() end
  local text = add_suffixes(prefix .. content_text(plain, shape, #prefix), suffixes, #prefix)
  return is_parameter and "Parameter containing:\n" .. text or text
end

--- The text of a shape: torch.Size([1, 4, 3]).
function printing.size_text(shape)
  return "torch.Size([" .. table.concat(shape, ", ") .. "])"
end

return setmetatable(printing, { __call = function(_, t) return printing.tensor_text(t) end })
