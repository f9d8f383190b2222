--- Replays golden cases: calls with the results, gradients or messages that PyTorch gives (spec/golden/ops_*.lua).
--
-- A case is a table:
--   op     name of the operator, without the underscore of its in-place form
--   form   one letter or several, each a way to make the call:
--            f  torch.op(...)      m  x:op(...)            i  x:op_(...), which must give x back
--            o  the operator op    x  x[key]               w  x[key] = value, whose result is x
--            p  the property x.op     n  torch.nn.functional.op(...)     s  torch.special.op(...)
--   args   positional arguments, kw keyword arguments, both as moontorch takes them (positions count from 1)
--   seed   for torch.manual_seed before the call
--   out    results, or err, a part of the error message
--   grads  what backward gives to each argument with g = true, in order (false: no gradient). The gradient handed to
--          backward has at position i, counted from 0, the value (3 i mod 7 - 3) / 4, for each result that takes one.
--   view   { offset, strides }: the result is a view of the first argument, that many elements behind its first
--   copied the result must not share memory with the first argument
--   z      the sign of zeros counts
-- Values in args, kw and out:
--   { t = dtype, s = shape, v = flat values, l = layout, g = true }   a tensor; without v only dtype and shape count
--   { none = true } torch.none, { dtype = name } a dtype, anything else is itself, tables of tables included
--   in out also { list = { ... } } a Lua array of tensors, { table = ... } nested arrays of numbers
-- Layouts: contiguous when left out; "t" made with the first and the last dim exchanged, then transposed; "s" every
-- second element of a tensor twice as long in the last dim, from its second on; "e" expanded along the first dim.
-- In-place and writing calls on an argument with g = true work on a clone of it.
local golden = {}

local torch = require "moontorch"

-- Relative and absolute differences that count as equal. Whole and boolean values must be the same.
local TOLERANCE = { float32 = { 1e-5, 1e-6 }, float64 = { 1e-9, 1e-11 } }
local FILLER = { float32 = 99.0, float64 = 99.0, int64 = 99, int32 = 99, uint8 = 99, bool = true }
local NUMBER_TYPE = { float32 = "float", float64 = "float", int64 = "integer", int32 = "integer", uint8 = "integer" }

local OPERATORS = {
  ["+"] = function(a, b) return a + b end, ["-"] = function(a, b) return a - b end,
  ["*"] = function(a, b) return a * b end, ["/"] = function(a, b) return a / b end,
  ["//"] = function(a, b) return a // b end, ["%"] = function(a, b) return a % b end,
  ["^"] = function(a, b) return a ^ b end, ["&"] = function(a, b) return a & b end,
  ["|"] = function(a, b) return a | b end, ["~"] = function(a, b) return a ~ b end,
  ["<<"] = function(a, b) return a << b end, [">>"] = function(a, b) return a >> b end,
  unm = function(a) return -a end, bnot = function(a) return ~a end, ["#"] = function(a) return #a end,
}

-- Tensors in ----------------------------------------------------------------------------------------------------------

local function count(shape)
  local n = 1
  for i = 1, #shape do n = n * shape[i] end
  return n
end

-- A contiguous tensor of that shape with flat values.
local function make(dtype, shape, values)
  local dt = torch[dtype]
  if #shape == 0 then return torch.tensor(values[1], { dtype = dt }) end
  local flat = torch.tensor(values, { dtype = dt })
  return #shape == 1 and flat or flat:view(shape)
end

-- Flat values of a contiguous tensor whose transpose(1, -1) has `shape` and `values`.
local function exchanged(shape, values)
  local n = #shape
  local first, last = shape[1], shape[n]
  local middle = count(shape) // math.max(first * last, 1)
  local out = {}
  for i = 0, first - 1 do
    for m = 0, middle - 1 do
      for j = 0, last - 1 do out[(j * middle + m) * first + i + 1] = values[(i * middle + m) * last + j + 1] end
    end
  end
  return out
end

-- The tensor that an input describes, and for "s" the longer one under it.
local function build(spec)
  local shape, values, dtype = spec.s, spec.v, spec.t
  local t, base
  if spec.l == "t" and #shape > 1 then
    local swapped = table.move(shape, 1, #shape, 1, {})
    swapped[1], swapped[#shape] = shape[#shape], shape[1]
    t = make(dtype, swapped, exchanged(shape, values)):transpose(1, -1)
  elseif spec.l == "s" then
    local long = table.move(shape, 1, #shape, 1, {})
    long[#shape] = 2 * shape[#shape]
    local spread = {}
    for i, v in ipairs(values) do spread[2 * i - 1], spread[2 * i] = FILLER[dtype], v end
    base = make(dtype, long, spread)
    t = base[{ "...", { 2, -1, 2 } }]
  elseif spec.l == "e" then
    local one = table.move(shape, 1, #shape, 1, {})
    one[1] = 1
    t = make(dtype, one, table.move(values, 1, #values // shape[1], 1, {})):expand(shape)
  else
    t = make(dtype, shape, values)
  end
  if spec.g then t.requires_grad = true end
  return t, base
end

-- Replaces descriptions by what they describe; notes each tensor in `inputs` as { spec, tensor, base }.
local function decode(value, inputs)
  if type(value) ~= "table" then return value end
  if value.none then return torch.none end
  local lone = next(value, (next(value))) == nil
  if lone and type(value.dtype) == "string" then return torch[value.dtype] end
  if type(value.t) == "string" then
    local t, base = build(value)
    inputs[#inputs + 1] = { spec = value, tensor = t, base = base }
    return t
  end
  local copy = {}
  for k, v in pairs(value) do copy[k] = decode(v, inputs) end
  return copy
end

-- Tensors out ---------------------------------------------------------------------------------------------------------

local function flatten(data, depth, out)
  if depth == 0 then
    out[#out + 1] = data
  else
    for i = 1, #data do flatten(data[i], depth - 1, out) end
  end
  return out
end

-- A description of a tensor, as in `out`.
local function describe_tensor(t)
  local shape = {}
  for i = 1, #t.shape do shape[i] = t.shape[i] end
  return { t = tostring(t.dtype):gsub("^torch%.", ""), s = shape, v = flatten(t:detach():tolist(), #shape, {}) }
end

local function value_text(v)
  if type(v) == "number" then return math.type(v) == "float" and ("%.9g"):format(v) or tostring(v) end
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) == "userdata" then
    local ok, text = pcall(function() return describe_tensor(v) end)
    return ok and value_text(text) or tostring(v)
  end
  if type(v) ~= "table" then return tostring(v) end
  if v.none then return "torch.none" end
  if type(v.t) == "string" then
    local values = {}
    for i = 1, math.min(v.v and #v.v or 0, 24) do values[i] = value_text(v.v[i]) end
    if v.v and #v.v > 24 then values[25] = "..." end
    return ("%s[%s]%s{%s}%s"):format(v.t, table.concat(v.s, ","), v.l or "", table.concat(values, " "),
      v.g and "g" or "")
  end
  local parts, n = {}, #v
  for i = 1, n do parts[i] = value_text(v[i]) end
  for k, x in pairs(v) do
    if type(k) ~= "number" or k > n then parts[#parts + 1] = tostring(k) .. " = " .. value_text(x) end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function same_number(got, expected, tolerance, signed)
  if got ~= got or expected ~= expected then return got ~= got and expected ~= expected end
  if type(got) ~= "number" or type(expected) ~= "number" then return got == expected end
  if got == expected then return not (signed and got == 0) or 1 / got == 1 / (expected * 1.0) end
  if not tolerance or math.abs(expected) == math.huge or math.abs(got) == math.huge then return false end
  return math.abs(got - expected) <= tolerance[1] * math.abs(expected) + tolerance[2]
end

-- Nil when the tensor is as described, else what is wrong.
local function differs(t, spec, signed)
  if type(t) ~= "userdata" then return "is no tensor but " .. value_text(t) end
  local got = describe_tensor(t)
  if got.t ~= spec.t then return ("dtype %s, expected %s: %s"):format(got.t, spec.t, value_text(got)) end
  if table.concat(got.s, ",") ~= table.concat(spec.s, ",") then
    return ("shape [%s], expected [%s]"):format(table.concat(got.s, ","), table.concat(spec.s, ","))
  end
  if not spec.v then return nil end
  local number_type = NUMBER_TYPE[spec.t]
  for i, expected in ipairs(spec.v) do
    if number_type and math.type(got.v[i]) ~= number_type then
      return ("tolist gives %s for %s"):format(math.type(got.v[i]) or type(got.v[i]), spec.t)
    end
    if not same_number(got.v[i], expected, TOLERANCE[spec.t], signed) then
      return ("%s, expected %s (element %d)"):format(value_text(got), value_text(spec), i)
    end
  end
end

-- The same for nested arrays of numbers.
local function table_differs(got, expected)
  local wrong = ("%s, expected %s"):format(value_text(got), value_text(expected))
  if type(expected) ~= "table" then
    return (math.type(got) ~= math.type(expected) or not same_number(got, expected)) and wrong or nil
  end
  if type(got) ~= "table" or #got ~= #expected then return wrong end
  for i = 1, #expected do
    if table_differs(got[i], expected[i]) then return wrong end
  end
end

local function result_differs(got, expected, signed)
  if type(expected) ~= "table" then
    if type(got) ~= type(expected) or math.type(got) ~= math.type(expected) or not same_number(got, expected) then
      return ("%s, expected %s"):format(value_text(got), value_text(expected))
    end
  elseif type(expected.t) == "string" then
    local wrong = differs(got, expected, signed)
    if wrong then return wrong end
    if got.requires_grad ~= (expected.g or false) then
      return ("requires_grad is %s, expected %s"):format(tostring(got.requires_grad), tostring(expected.g or false))
    end
  elseif expected.dtype then
    local name = "torch." .. expected.dtype
    if tostring(got) ~= name then return ("%s, expected %s"):format(tostring(got), name) end
  elseif expected.table then
    return table_differs(got, expected.table)
  elseif expected.list then
    if type(got) ~= "table" or #got ~= #expected.list then
      return ("%s, expected an array of %d tensors"):format(value_text(got), #expected.list)
    end
    for i, spec in ipairs(expected.list) do
      local wrong = result_differs(got[i], spec, signed)
      if wrong then return ("[%d] %s"):format(i, wrong) end
    end
  end
end

-- Calls ---------------------------------------------------------------------------------------------------------------

--- The call as one would write it, with tensors described.
function golden.call_text(case, form)
  local parts = {}
  for i, v in ipairs(case.args) do parts[i] = value_text(v) end
  if form == "o" then return case.op .. " of " .. table.concat(parts, " and ") end
  if form == "x" then return ("%s[%s]"):format(parts[1], parts[2]) end
  if form == "w" then return ("%s[%s] = %s"):format(parts[1], parts[2], parts[3]) end
  if form == "p" then return parts[1] .. "." .. case.op end
  if case.kw then parts[#parts + 1] = value_text(case.kw) end
  local prefix = ({ f = "torch", n = "torch.nn.functional", s = "torch.special" })[form]
  if prefix then return ("%s.%s(%s)"):format(prefix, case.op, table.concat(parts, ", ")) end
  return ("%s:%s%s(%s)"):format(parts[1], case.op, form == "i" and "_" or "", table.concat(parts, ", ", 2))
end

-- Makes the call; errors are those of the call.
local function call(op, form, args, n)
  local x = args[1]
  if form == "o" then
    local result = OPERATORS[op](x, args[2])
    return result
  elseif form == "x" then
    local result = x[args[2]]
    return result
  elseif form == "w" then
    x[args[2]] = args[3]
    return x
  elseif form == "p" then
    local result = x[op]
    return result
  end
  local fn
  if form == "f" then fn = torch[op]
  elseif form == "n" then fn = torch.nn.functional[op]
  elseif form == "s" then fn = torch.special[op]
  else fn = x[form == "i" and op .. "_" or op] end
  if fn == nil then error("there is no such function", 0) end
  local results = table.pack(fn(table.unpack(args, 1, n)))  -- not a tail call: messages name this line
  return table.unpack(results, 1, results.n)
end

local function backward(results)
  local outs, gradients = {}, {}
  local function collect(r)
    if type(r) == "table" then
      for i = 1, #r do collect(r[i]) end
    elseif type(r) == "userdata" and r.requires_grad then
      local values = {}
      for i = 0, r:numel() - 1 do values[i + 1] = ((3 * i) % 7 - 3) / 4 end
      local shape = describe_tensor(r).s
      outs[#outs + 1] = r
      gradients[#gradients + 1] = make(tostring(r.dtype):gsub("^torch%.", ""), shape, values)
    end
  end
  for i = 1, results.n do collect(results[i]) end
  if #outs == 0 then error("no result requires a gradient", 0) end
  if #outs == 1 then outs[1]:backward(gradients[1]) else torch.autograd.backward(outs, gradients) end
end

-- What is wrong with the inputs after the call (they may only change where `changed` says so), or nil.
local function inputs_differ(inputs, changed)
  for i, input in ipairs(inputs) do
    if not (changed and i == 1) then
      local wrong = differs(input.tensor, input.spec, true)
      if wrong then return "changed an input: " .. wrong end
    end
    if input.base then
      for _, v in ipairs(describe_tensor(input.base[{ "...", { 1, -1, 2 } }]).v) do
        if v ~= FILLER[input.spec.t] then return "wrote outside of its slice" end
      end
    end
  end
end

local function view_differs(case, result, x)
  local first, start = result:data_ptr(), x:data_ptr()
  if case.copied then return first == start and "shares memory with its input, expected a copy" or nil end
  local offset, strides = (first - start) // result.itemsize, result:stride()
  local got = ("{%d, {%s}}"):format(offset, table.concat(strides, ", "))
  local expected = ("{%d, {%s}}"):format(case.view[1], table.concat(case.view[2], ", "))
  if got ~= expected then return ("lies at %s of its input, expected %s"):format(got, expected) end
end

-- The gradients' differences, or nil.
local function gradients_differ(case, results, inputs)
  local ok, message = pcall(backward, results)
  if not ok then return "backward: " .. tostring(message) end
  local k = 0
  for _, input in ipairs(inputs) do
    if input.spec.g then
      k = k + 1
      local expected, got = case.grads[k], input.tensor.grad
      local wrong
      if not expected then
        wrong = got ~= nil and "is there, expected none"
      elseif got == nil then
        wrong = "is missing"
      else
        wrong = differs(got, expected)
      end
      if wrong then return ("gradient %d %s"):format(k, wrong) end
    end
  end
end

local function outcome(ok, ...)
  return ok, table.pack(...)
end

--- Replays one case in one form. Returns nil, or a text that tells the call and what is wrong.
function golden.replay(case, form)
  local inputs = {}
  local function wrong(text) return golden.call_text(case, form) .. "\n      " .. text end
  local built, args, n = pcall(function()
    local list, length = {}, #case.args
    for i, v in ipairs(case.args) do list[i] = decode(v, inputs) end
    if case.kw then
      length = length + 1
      list[length] = decode(case.kw, inputs)
    end
    return list, length
  end)
  if not built then return wrong("making the inputs: " .. tostring(args)) end
  local changes = form == "i" or form == "w" or form == "n" and case.op:find "_$" ~= nil
  if changes and case.args[1].g and not case.err then args[1] = args[1]:clone() end
  if case.seed then torch.manual_seed(case.seed) end

  local ok, results = outcome(pcall(call, case.op, form, args, n))
  if case.err then
    if ok then return wrong(("gave %s, expected an error with %q"):format(value_text(results[1]), case.err)) end
    local message = tostring(results[1])
    if not message:find(case.err, 1, true) then return wrong(("says %q, expected %q"):format(message, case.err)) end
    if not message:find("golden.lua:%d+:") then return wrong(("says no position: %q"):format(message)) end
    local harm = inputs_differ(inputs, false)
    return harm and wrong("failed as it should, but " .. harm) or nil
  end
  if not ok then return wrong("raised " .. tostring(results[1])) end
  if results.n ~= #case.out then return wrong(("gave %d results, expected %d"):format(results.n, #case.out)) end
  if changes and form ~= "w" and not rawequal(results[1], args[1]) then return wrong("did not give its tensor back") end
  for i, expected in ipairs(case.out) do
    local told, text = pcall(result_differs, results[i], expected, case.z)
    if not told then return wrong("reading the result: " .. tostring(text)) end
    if text then return wrong((#case.out > 1 and "result " .. i .. ": " or "") .. text) end
  end
  local harm = inputs_differ(inputs, changes)
  if harm then return wrong(harm) end
  if case.view or case.copied then
    local text = view_differs(case, results[1], args[1])
    if text then return wrong(text) end
  end
  if case.grads then
    local text = gradients_differ(case, results, inputs)
    if text then return wrong(text) end
  end
end

--- Groups cases by op and form, in order of appearance: { { op =, form =, cases = { ... } }, ... }.
function golden.groups(cases)
  local groups, by_name = {}, {}
  for _, case in ipairs(cases) do
    for form in case.form:gmatch(".") do
      local name = case.op .. " " .. form
      local group = by_name[name]
      if not group then
        group = { op = case.op, form = form, cases = {} }
        by_name[name] = group
        groups[#groups + 1] = group
      end
      group.cases[#group.cases + 1] = case
    end
  end
  return groups
end

local TITLES = {
  f = "torch.%s", n = "torch.nn.functional.%s", s = "torch.special.%s",
  m = "x:%s", i = "x:%s_", o = "operator %s", x = "x[key]", w = "x[key] = v", p = "x.%s",
}

function golden.title(group)
  return TITLES[group.form]:format(group.op)
end

--- Replays all cases of a group; errors with a list of those that fail.
function golden.check(group)
  local failures = {}
  for _, case in ipairs(group.cases) do
    local ok, text = pcall(golden.replay, case, group.form)
    if not ok then
      text = ("%s\n      replay failed: %s"):format(golden.call_text(case, group.form), tostring(text))
    end
    if text then failures[#failures + 1] = "  - " .. text end
  end
  if #failures > 0 then
    local shown = math.min(#failures, golden.shown)
    local more = #failures > shown and ("\n  and %d more"):format(#failures - shown) or ""
    error(("%d of %d calls of %s fail:\n%s%s"):format(#failures, #group.cases, golden.title(group),
      table.concat(failures, "\n", 1, shown), more), 0)
  end
end

golden.shown = 10  -- failing calls listed per group

return golden
