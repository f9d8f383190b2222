--- Walks the op table with wrong calls: each must be an error with a position, the operator's name and its reason, and
-- must leave its arguments as they were.
local torch = require "moontorch"
local samples = require "spec.support.samples"
local operators = require "spec.support.operators"

local call, try, difference, fault = operators.call, operators.try, operators.difference, operators.fault

-- Positions counted from the end are taken; labels that grow the result have no limit.
local from_end = { take = true, put = true, index_put = true, index_fill = true }
local no_limit = { one_hot = true }
-- x() stands for counts or values, not for positions.
local counts = { repeat_interleave = true, tensor_split = true, bincount = true, ctc_loss = true }

-- Errors -------------------------------------------------------------------------------------------------------------

local function check_errors(op, r)
  for _, sample in ipairs(op.refused) do
    for _, form in ipairs(operators.forms(op)) do
      local args = samples.build(sample, op.name)
      local takes = form.word == "function" or torch.is_tensor(args[1])
      if takes and form.word == "inplace" and not op.inplace_only then
        local x = args[1]
        local version, before = x._version, x:clone()
        local ok, message = try(form, args)
        local wrong = not ok and fault(op, message)
        if ok then r.bad(sample.text, "was not refused in place")
        elseif wrong then r.bad(sample.text, "%s", wrong)
        elseif x._version ~= version or difference({ n = 1, x }, { n = 1, before }, 0) then
          r.bad(sample.text, "a refused call in place changed the tensor")
        end
      elseif takes then
        local ok, message = try(form, args)
        local wrong = not ok and fault(op, message)
        if ok then r.bad(sample.text, "was not refused as %s", form.word)
        elseif wrong then r.bad(sample.text, "%s", wrong) end
      end
    end
  end
end

local function must_fail(op, form, args, where, text, r)
  local got, why = try(form, args)
  if got then
    r.bad(where, "was not refused")
    return
  end
  local wrong = fault(op, why)
  if wrong then r.bad(where, "%s", wrong)
  elseif text and not why:find(text, 1, true) then r.bad(where, "message lacks '%s': %s", text, why) end
end

local function first_tensor(args)
  return samples.tensors(args)[1]
end

-- How many dims `param` counts: the tensor's, or one more where a new dim is made. Found by asking.
local function dims_counted(op, form, args, k, list)
  local t = first_tensor(args)
  local n = t and t.ndim or 0
  local more = operators.with(op, args, k, list and { n + 1 } or n + 1)
  return try(form, more) and n + 1 or math.max(n, 1)
end

local function check_dim(op, form, sample, args, k, r)
  local param = op.parsed.params[k]
  local list = param.type == "Dims"
  local value, given = operators.value(op, args, k)
  local where = ("%s, %s = "):format(sample.text, param.name)
  local function with(v) return operators.with(op, args, k, v) end
  must_fail(op, form, with(0), where .. 0, "count from 1", r)
  if list then must_fail(op, form, with { 0 }, where .. "{0}", "count from 1", r) end
  must_fail(op, form, with(list and { 100 } or 100), where .. 100, nil, r)
  must_fail(op, form, with(list and { -100 } or -100), where .. -100, nil, r)
  must_fail(op, form, with(list and { 1.5 } or 1.5), where .. 1.5, nil, r)
  if not given then return end
  local n = dims_counted(op, form, args, k, list)
  local function other(d) return d > 0 and d - n - 1 or d + n + 1 end
  local turned
  if type(value) == "table" then
    turned = {}
    for i, d in ipairs(value) do turned[i] = other(d) end
  else
    turned = other(value)
  end
  local got, why = try(form, with(turned))
  local different = got and difference(operators.written(op, got), operators.written(op, call(form, args)), 0)
  if not got or different then r.bad(where .. "counted from the other end", "%s", different or why) end
end

local function check_position(op, form, sample, args, k, r)
  local value, given = operators.value(op, args, k)
  if not given then return end
  local where = ("%s, %s = "):format(sample.text, op.parsed.params[k].name)
  local function with(v) return operators.with(op, args, k, v) end
  must_fail(op, form, with(0), where .. 0, "count from 1", r)
  must_fail(op, form, with(1000), where .. 1000, nil, r)
  must_fail(op, form, with(-1000), where .. -1000, nil, r)
  must_fail(op, form, with(1.5), where .. 1.5, nil, r)
  for d, param in ipairs(op.parsed.params) do
    if param.type == "Dim" then
      local size = first_tensor(args):size((operators.value(op, args, d)))
      local got, why = try(form, with(value > 0 and value - size - 1 or value + size + 1))
      local different = got and difference(got, call(form, args), 0)
      if not got or different then r.bad(where .. "counted from the end", "%s", different or why) end
    end
  end
end

-- Tensors of positions: one element wrong, or no integers at all. int32 is as good as int64.
local function check_index(op, form, sample, args, k, r)
  local index = args[k]
  if not torch.is_tensor(index) or index:numel() == 0 or sample[k].letter ~= "x" then return end
  local where = ("%s, %s = "):format(sample.text, op.parsed.params[k].name)
  local function with(v)
    local copy = index:clone()
    copy:view(-1):narrow(1, 1, 1):fill_(v)
    return operators.with(op, operators.cloned(args), k, copy)
  end
  must_fail(op, form, with(0), where .. 0, "count from 1", r)
  if not no_limit[op.name] then must_fail(op, form, with(1000), where .. 1000, nil, r) end
  must_fail(op, form, with(-1000), where .. -1000, nil, r)
  if not from_end[op.name] and not op.hidden then must_fail(op, form, with(-1), where .. -1, nil, r) end
  if from_end[op.name] then
    local got, why = try(form, with(-1))
    if not got then r.bad(where .. -1, "%s", why) end
  end
  if op.parsed.params[k].type ~= "Index" then return end
  for _, dtype in ipairs { torch.float32, torch.float64, torch.float16, torch.bool } do
    must_fail(op, form, operators.with(op, operators.cloned(args), k, index:to(dtype)), where .. dtype.name, nil, r)
  end
  local got, why = try(form, operators.with(op, operators.cloned(args), k, index:int()))
  local different = got and difference(got, call(form, operators.cloned(args)), 0)
  if not got or different then r.bad(where .. "int32", "%s", different or why) end
end

-- Values of a wrong type for each type of parameter; those of an overload could fit, so it gets less.
local function wrong_values(op, param)
  local f = print
  local listless = { f, true }
  local by = {
    Tensor = { "x", f, 1, true }, Operand = { "x", f }, Index = { "x", f, 1 }, ["Tensor[]"] = { "x", f, { 1 } },
    Number = { "x", f }, int = { "x", f, 1.5, 0 / 0, 2 ^ 70 }, float = { "x", f }, bool = { "x", f, 1 },
    str = { f, 3, true }, dtype = { "nonsense", f, 7 }, device = { "nonsense", f, 7 }, Generator = { "x", f, 7 },
    Dim = { "x", f, 1.5, 2 ^ 70 }, Dims = { "x", f, { 1.5 }, { "x" } }, Position = { "x", f, 1.5 },
    Size = { "x", f, { 1.5 }, { 0 / 0 }, { "x" } }, ints = { "x", f, { 1.5 }, { "x" } },
    Numbers = { "x", f, { "x" } },
  }
  if op.overloads > 1 then return { f } end
  return by[param.type] or listless
end

local function check_arguments(op, sample, r)
  local form = operators.pure(op)
  local args = samples.build(sample, op.name)
  local strange = operators.with(op, args)
  strange.keywords.no_such_keyword = 1
  local got, why = try(form, strange)
  if got then
    r.bad(sample.text, "an unknown keyword was not refused")
  else
    local last = op.parsed.params[#op.parsed.params].name
    local says = why:find("no_such_keyword", 1, true) or why:find("expected one of", 1, true)
    if not says or not why:find(last, 1, true) then
      r.bad(sample.text, "unknown keyword: %s", why)
    end
  end
  for k, param in ipairs(op.parsed.params) do
    for _, value in ipairs(wrong_values(op, param)) do
      local skip = k == 1 and (param.varargs or form.word ~= "function") or (param.varargs and value == true)
      if not skip then
        must_fail(op, form, operators.with(op, args, k, value),
          ("%s, %s = %s"):format(sample.text, param.name, tostring(value)), nil, r)
      end
    end
    if param.type == "Size" and not (op.hidden and op.view) then
      for _, size in ipairs { { 1 << 62 }, { 1 << 31, 1 << 31, 1 << 31 }, { -5 } } do
        -- A view of that size costs nothing as long as its elements can be counted.
        if not (op.view and size[1] == 1 << 62) then
          local where = ("%s, %s huge or negative"):format(sample.text, param.name)
          must_fail(op, form, operators.with(op, args, k, size), where, nil, r)
        end
      end
    end
    local given = param.type == "Tensor" and k <= args.n and torch.is_tensor(args[k])
    if given and op.overloads == 1 and not op.inplace_only then
      local dead = args[k]:clone()
      dead:free()
      must_fail(op, form, operators.with(op, args, k, dead), sample.text .. ", freed " .. param.name, "freed", r)
    end
    if param.type == "Dim" or param.type == "Dims" then check_dim(op, form, sample, args, k, r) end
    if param.type == "Position" then check_position(op, form, sample, args, k, r) end
    if sample[k] and sample[k].kind == "tensor" and not counts[op.name] then
      check_index(op, form, sample, args, k, r)
    end
  end
  -- A required argument less.
  local first = op.parsed.params[1]
  if form.word == "function" and not first.has_default and not first.varargs and op.overloads == 1 then
    must_fail(op, form, { n = 0, keywords = {} }, "no arguments", first.name, r)
  end
end

describe("wrong calls", function()
  for _, op in ipairs(operators.all()) do
    it("of " .. op.label, function()
      local r = operators.report()
      for _, sample in ipairs(op.cases) do
        local ok, why = pcall(check_arguments, op, sample, r)
        if not ok then r.bad(sample.text, "the check itself failed: %s", tostring(why)) end
      end
      check_errors(op, r)
      r.finish()
    end)
  end
end)
