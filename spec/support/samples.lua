--- Sample inputs of operators: reads the `samples` and `errors` strings and the schemas of the op table.
--
-- Alternatives are separated by `|`, arguments by blanks:
--   f(2,3) normal, p(..) positive, u(..) in (0,1), h(..) above 1: floats; g(..) always float64; i(..) small integers,
--   b(..) booleans
--   x(2,3;n) positions 1..n, n itself among them               [f(3), f(3)] a list of tensors, {1,2} a list of numbers
--   d2, d-1 a dim     1.5 'text' true nil as in Lua (True, False, None too)     name=value a keyword argument
-- `f()` and `x(;n)` are 0-dim; `.t` after a tensor swaps its strides, not its values. Values follow from a seed text
-- alone, so every test that builds a sample twice gets the same numbers twice.
local torch = require "moontorch"

local samples = {}

-- Numbers ------------------------------------------------------------------------------------------------------------

--- A generator of its own, so that torch.manual_seed has no part in it. uniform() in (0, 1), normal(), below(n) 0..n-1.
function samples.stream(text)
  local state = 5381
  for k = 1, #text do state = (state * 33 + text:byte(k)) & 0xffffffffffff end
  local s = {}
  function s.uniform()
    state = (state * 0x5deece66d + 11) & 0xffffffffffff
    return ((state >> 8) + 0.5) / 0x10000000000
  end
  function s.normal()
    return math.sqrt(-2 * math.log(s.uniform())) * math.cos(2 * math.pi * s.uniform())
  end
  function s.below(n) return math.floor(s.uniform() * n) end
  for _ = 1, 4 do s.uniform() end
  return s
end

local draw = {
  f = function(s) return s.normal() end,
  g = function(s) return s.normal() end,
  p = function(s) return 0.5 + 1.5 * s.uniform() end,
  u = function(s) return 0.05 + 0.9 * s.uniform() end,
  h = function(s) return 1.2 + 2 * s.uniform() end,
  i = function(s) return s.below(9) - 3 end,
  b = function(s) return s.below(2) == 1 end,
}
-- Stand-ins for float values where a sample is built with an integer or bool dtype: same signs, few distinct values.
local whole = {
  f = function(v) return math.floor(2 * v + 0.5) end,
  p = function(v) return math.floor(2 * v) end,
  u = function(v) return math.floor(2 * v) end,
  h = function(v) return math.floor(2 * v) end,
  i = function(v) return v end,
}

local dtype_of = { b = torch.bool, g = torch.float64, i = torch.int64, x = torch.int64 }

-- Parsing ------------------------------------------------------------------------------------------------------------

local words = { ["true"] = true, ["True"] = true, ["false"] = false, ["False"] = false }

local parse_value

local function parse_items(text, at, close)
  local items = {}
  while true do
    at = text:match("^[%s,]*()", at)
    if text:sub(at, at) == close then return items, at + 1 end
    if at > #text then error(("no '%s' in sample '%s'"):format(close, text)) end
    items[#items + 1], at = parse_value(text, at)
  end
end

local function parse_tensor(text, at, letter, sizes, next)
  local shape, limit = {}, nil
  local dims, n = sizes:match("^([^;]*);%s*(%d+)%s*$")
  if dims then sizes, limit = dims, math.tointeger(n) end
  for d in sizes:gmatch("%d+") do shape[#shape + 1] = math.tointeger(d) end
  if (letter == "x") ~= (limit ~= nil) then error(("bad tensor in sample '%s' at %d"):format(text, at)) end
  local item = { kind = "tensor", letter = letter, shape = shape, limit = limit }
  if text:sub(next, next + 1) == ".t" then
    item.swapped = true
    next = next + 2
  end
  return item, next
end

function parse_value(text, at)
  local letter, sizes, next = text:match("^([fgpuhibx])%(([^)]*)%)()", at)
  if letter then return parse_tensor(text, at, letter, sizes, next) end
  local number
  number, next = text:match("^d(%-?%d+)()", at)
  if number then return { kind = "value", value = math.tointeger(number) }, next end
  number, next = text:match("^(%-?[%d.]+[eE]?[+-]?%d*)()", at)
  if number then return { kind = "value", value = assert(tonumber(number), text) }, next end
  local quoted
  quoted, next = text:match("^'([^']*)'()", at)
  if quoted then return { kind = "value", value = quoted }, next end
  local first = text:sub(at, at)
  if first == "[" or first == "{" then
    local items
    items, next = parse_items(text, at + 1, first == "[" and "]" or "}")
    return { kind = "list", items = items }, next
  end
  local word
  word, next = text:match("^([%a_]+)()", at)
  if word and words[word] ~= nil then return { kind = "value", value = words[word] }, next end
  if word == "nil" or word == "None" then return { kind = "value" }, next end
  if word == "inf" then return { kind = "value", value = math.huge }, next end
  error(("cannot read sample '%s' at %d"):format(text, at))
end

--- The alternatives of a samples string: each an array of items (n of them) with `keywords`, name to item, and `text`.
function samples.parse(text)
  local list = {}
  for one in ((text or "") .. "|"):gmatch("([^|]*)|") do
    one = one:match("^%s*(.-)%s*$")
    if one ~= "" then
      local sample, at = { n = 0, keywords = {}, text = one }, 1
      while at <= #one do
        local name, next = one:match("^([%a_][%w_]*)%s*=%s*()", at)
        local item
        item, at = parse_value(one, next or at)
        if name then
          sample.keywords[name] = item
        else
          sample.n = sample.n + 1
          sample[sample.n] = item
        end
        at = one:match("^[%s,]*()", at)
      end
      list[#list + 1] = sample
    end
  end
  return list
end

-- Building -----------------------------------------------------------------------------------------------------------

local floats = { f = true, p = true, u = true, h = true }

--- Is the sample's tensor one of floats?
function samples.is_float(item) return item.kind == "tensor" and floats[item.letter] or false end

local function values_of(item, stream, count)
  local values = {}
  for k = 1, count do
    if item.letter == "x" then values[k] = k == count and item.limit or stream.below(item.limit) + 1
    else values[k] = draw[item.letter](stream) end
  end
  return values
end

--- The tensor of an item. dtype is that of floats, or of integers as well when `all` is set; the values of an integer
-- or bool dtype are small and, if it is unsigned, not negative.
local function build_tensor(item, stream, dtype, all)
  local count = 1
  for _, size in ipairs(item.shape) do count = count * size end
  local values = values_of(item, stream, count)
  local own = dtype_of[item.letter] or torch.float32
  local wanted = own
  if floats[item.letter] or (all and item.letter == "i") then wanted = dtype or own end
  if wanted ~= own and not wanted.is_floating_point and item.letter ~= "b" then
    for k, v in ipairs(values) do
      v = whole[item.letter](v)
      if wanted == torch.uint8 then v = math.abs(v) end
      values[k] = wanted == torch.bool and v > 0 or wanted ~= torch.bool and math.tointeger(v)
    end
  end
  local t
  if count == 0 then
    t = torch.zeros(item.shape, { dtype = wanted })
  else
    local as = wanted.is_floating_point and torch.float64 or wanted
    t = torch.tensor(values, { dtype = as }):reshape(item.shape)
    if as ~= wanted then t = t:to(wanted) end
  end
  if item.swapped and t.ndim > 1 then t = samples.swapped(t) end
  return t
end

local function build(item, stream, dtype, all)
  if item.kind == "tensor" then return build_tensor(item, stream, dtype, all) end
  if item.kind == "value" then return item.value end
  local list = {}
  for k, part in ipairs(item.items) do list[k] = build(part, stream, dtype, all) end
  return list
end

--- Arguments of a sample: an array with n, and keywords. seed is any text; dtype (default float32) is that of float
-- tensors; all: of integer tensors too.
function samples.build(sample, seed, dtype, all)
  local stream = samples.stream(seed .. "/" .. sample.text)
  local args = { n = sample.n, keywords = {} }
  for k = 1, sample.n do args[k] = build(sample[k], stream, dtype, all) end
  local names = {}
  for name in pairs(sample.keywords) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do args.keywords[name] = build(sample.keywords[name], stream, dtype, all) end
  return args
end

--- A copy of args in which fn(tensor) stands for every tensor, lists and keywords included.
function samples.map(args, fn)
  local function each(v)
    if torch.is_tensor(v) then return fn(v) end
    if type(v) ~= "table" or getmetatable(v) then return v end
    local copy = {}
    for k, part in pairs(v) do copy[k] = each(part) end
    return copy
  end
  local out = { n = args.n }
  for k = 1, args.n do out[k] = each(args[k]) end
  out.keywords = each(args.keywords)
  return out
end

--- All tensors in args, in order.
function samples.tensors(args)
  local list = {}
  samples.map(args, function(t)
    list[#list + 1] = t
    return t
  end)
  return list
end

-- Layouts: the same values elsewhere in memory -----------------------------------------------------------------------

--- First and last dim swapped in memory.
function samples.swapped(t)
  if t.ndim < 2 then return t end
  return t:transpose(1, -1):contiguous():transpose(1, -1)
end

--- Every second element of a larger tensor, whose other elements are `gap`. Also returns that tensor.
function samples.sliced(t, gap)
  if t.ndim == 0 or t:numel() == 0 then return t end
  local shape = {}
  for d = 1, t.ndim do shape[d] = t:size(d) end
  shape[t.ndim] = 2 * shape[t.ndim] + 1
  local base = torch.full(shape, gap or 0, { dtype = t.dtype })
  local view = torch._slice(base, t.ndim, 1, shape[t.ndim], 2)
  view:copy_(t:detach())
  return view, base
end

--- The first entry of dim 1, repeated without memory.
function samples.expanded(t)
  if t.ndim == 0 or t:size(1) == 0 then return t end
  local shape = {}
  for d = 1, t.ndim do shape[d] = t:size(d) end
  return t:narrow(1, 1, 1):expand(shape)
end

-- Schemas ------------------------------------------------------------------------------------------------------------

--- name, params (array of {name, type, optional, has_default, varargs, keyword_only}), returns: an array of type names,
-- or {"Tensor[]"}.
function samples.schema(text)
  local name, inside, returns = text:match("^([%w_]+)%((.-)%)%s*%->%s*(.+)$")
  local schema = { name = assert(name, text), params = {}, returns = {} }
  local only = false
  for part in inside:gmatch("[^,]+") do
    part = part:match("^%s*(.-)%s*$")
    if part == "*" then
      only = true
    else
      local type, optional, dots, rest = part:match("^([%a%[%]]+)(%??)(%.*)%s+(.+)$")
      local param, default = rest:match("^([%w_]+)%s*=%s*(.+)$")
      schema.params[#schema.params + 1] = {
        name = param or rest, type = type, optional = optional == "?" or default == "None",
        has_default = default ~= nil or optional == "?", varargs = dots ~= "", keyword_only = only,
      }
    end
  end
  schema.may_lack = 0 -- results that are there only when asked for
  for type, lacks in returns:gmatch("(%a+[%[%]]*)(%??)%s*[%w_]*") do
    schema.returns[#schema.returns + 1] = type
    if lacks == "?" then schema.may_lack = schema.may_lack + 1 end
  end
  return schema
end

return samples
