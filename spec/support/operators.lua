--- The op table as specs see it: calling an operator in each of its forms, and comparing what comes back.
local torch = require "moontorch"
local samples = require "spec.support.samples"

local operators = {}

--- Results whose values are whatever memory held.
operators.unwritten = {
  empty = true, empty_like = true, new_empty = true, empty_strided = true, new_empty_strided = true,
}

--- Every operator with its parsed schema and samples. A label is the schema's start, unique among overloads.
function operators.all()
  local list, overloads = torch._ops(), {}
  for _, op in ipairs(list) do
    op.parsed = samples.schema(op.schema)
    op.cases = samples.parse(op.samples)
    op.refused = samples.parse(op.errors)
    op.label = op.schema:match("^(.-%))")
    overloads[op.name] = (overloads[op.name] or 0) + 1
  end
  for _, op in ipairs(list) do op.overloads = overloads[op.name] end
  return list
end

--- Forms in which an operator can be called: {word, spelled, call}, where call takes (args, keywords).
function operators.forms(op)
  local forms = {}
  local base = op.hidden and "_" .. op.name or op.name
  local function add(word, spelled, call) forms[#forms + 1] = { word = word, spelled = spelled, call = call } end
  local function with_keywords(f, args)
    local list = table.move(args, 1, args.n, 1, {})
    local n = args.n
    if next(args.keywords) then
      n = n + 1
      list[n] = args.keywords
    end
    return f(table.unpack(list, 1, n))
  end
  if (op.func or op.hidden) and not op.inplace_only then
    add("function", base, function(args) return with_keywords(torch[base], args) end)
  end
  if op.method and not op.inplace_only then
    add("method", op.name, function(args) return with_keywords(args[1][op.name], args) end)
  end
  if op.inplace_only or op.inplace then
    local name = base .. "_"
    add("inplace", name, function(args)
      return with_keywords(op.method and args[1][name] or torch[name], args)
    end)
  end
  return forms
end

--- The form that gives a new result; that of an operator which only writes in place works on clones of all it is given.
function operators.pure(op)
  local form = operators.forms(op)[1]
  if not op.inplace_only then return form end
  return { word = "on a clone", spelled = form.spelled, call = function(args)
    return form.call(samples.map(args, function(t) return t:clone() end))
  end }
end

--- The same arguments all by name; keep leaves that many in their place.
function operators.named(op, args, keep)
  local out = { n = keep, keywords = {} }
  for name, v in pairs(args.keywords) do out.keywords[name] = v end
  for k = 1, args.n do
    if k <= keep then out[k] = args[k] else out.keywords[op.parsed.params[k].name] = args[k] end
  end
  return out
end

--- Value of parameter number k in args, and whether it was given.
function operators.value(op, args, k)
  if k <= args.n then return args[k], args[k] ~= nil end
  local v = args.keywords[op.parsed.params[k].name]
  return v, v ~= nil
end

--- A copy of args, with parameter number k replaced if k is given.
function operators.with(op, args, k, value)
  local out = table.move(args, 1, args.n, 1, { n = args.n, keywords = {} })
  for name, v in pairs(args.keywords) do out.keywords[name] = v end
  if not k then return out end
  if k <= args.n then out[k] = value else out.keywords[op.parsed.params[k].name] = value end
  return out
end

--- Calls and packs results, lists flattened. Random operators start from the same seed each time.
function operators.call(form, args)
  torch.manual_seed(11)
  local out = table.pack(form.call(args))
  if out.n == 1 and type(out[1]) == "table" then
    out = table.move(out[1], 1, #out[1], 1, { n = #out[1], list = true })
  end
  return out
end

--- pcall of the same: results, or nil and the message.
function operators.try(form, args)
  local ok, out = pcall(operators.call, form, args)
  if ok then return out end
  return nil, out
end

local function flat(t) return t:detach():reshape(-1):tolist() end

local function close(a, b, tolerance)
  if a == b then return true end
  if type(a) ~= "number" or type(b) ~= "number" then return false end
  if a ~= a or b ~= b then return a ~= a and b ~= b end
  return math.abs(a - b) <= tolerance * math.max(1, math.abs(b))
end

--- nil, or in words how `got` differs from `wanted`. tolerance 0 compares exactly; loose leaves dtypes aside.
function operators.difference(got, wanted, tolerance, loose)
  if got.n ~= wanted.n then return ("%d results instead of %d"):format(got.n, wanted.n) end
  for k = 1, got.n do
    local a, b = got[k], wanted[k]
    if torch.is_tensor(a) ~= torch.is_tensor(b) then return ("result %d is a %s"):format(k, type(a)) end
    if not torch.is_tensor(a) then
      if not close(a, b, tolerance) then
        return ("result %d is %s instead of %s"):format(k, tostring(a), tostring(b))
      end
    else
      if a.shape ~= b.shape then
        return ("result %d has shape %s instead of %s"):format(k, tostring(a.shape), tostring(b.shape))
      end
      if not loose and a.dtype ~= b.dtype then
        return ("result %d has dtype %s instead of %s"):format(k, tostring(a.dtype), tostring(b.dtype))
      end
      local x, y = flat(a), flat(b)
      for at = 1, #y do
        local p, q = x[at], y[at]
        if loose and type(p) == "boolean" then p = p and 1 or 0 end
        if loose and type(q) == "boolean" then q = q and 1 or 0 end
        if not close(p, q, tolerance) then
          return ("result %d, element %d: %s instead of %s"):format(k, at, tostring(p), tostring(q))
        end
      end
    end
  end
end

--- What a failed call must look like: text, the script's position first, the operator's name in it. nil, or the fault.
function operators.fault(op, message)
  if type(message) ~= "string" then return ("raised a %s"):format(type(message)) end
  if not message:find("^[%w_./-]+%.lua:%d+: ") then return "no position in front of: " .. message end
  if not message:find(op.name, 1, true) then return "no name in: " .. message end
end

function operators.detached(args)
  return samples.map(args, function(t) return t:detach() end)
end

function operators.cloned(args)
  return samples.map(args, function(t) return t:detach():clone() end)
end

--- out; zeros of its shapes and dtypes where values mean nothing.
function operators.written(op, out)
  if not operators.unwritten[op.name] then return out end
  local copy = { n = out.n }
  for k = 1, out.n do copy[k] = torch.zeros(out[k].shape, { dtype = out[k].dtype }) end
  return copy
end

--- A scalar of all float results, each with a gradient of its own; nil where none wants one.
function operators.projection(out)
  local total
  for k = 1, out.n do
    local t = out[k]
    if torch.is_tensor(t) and t.requires_grad then
      local part = (t * t):sum() + t:sum() * k
      total = total and total + part or part
    end
  end
  return total
end

--- args with gradients wanted of those float tensors, by number among them, that `wanted` names (nil: all); and these.
function operators.with_leaves(args, wanted)
  local leaves, count = {}, 0
  local given = samples.map(args, function(t)
    if not t.dtype.is_floating_point then return t end
    count = count + 1
    t = t:detach()
    if wanted and not wanted[count] then return t end
    leaves[#leaves + 1] = t:requires_grad_()
    return t
  end)
  return given, leaves, count
end

--- Which float tensors have a derivative. One without says so in backward.
function operators.differentiable(form, args)
  local _, _, count = operators.with_leaves(args, {})
  local wanted = {}
  for k = 1, count do
    local given, leaves = operators.with_leaves(args, { [k] = true })
    local total = operators.projection(operators.call(form, given))
    local ok, why = true, nil
    if total then ok, why = pcall(torch.autograd.grad, total, leaves, { allow_unused = true }) end
    wanted[k] = ok or not why:find("the derivative for '", 1, true)
  end
  return wanted
end

--- Failures of one `it`, raised together at its end.
function operators.report()
  local list = {}
  local r = {}
  function r.bad(where, ...)
    list[#list + 1] = where .. ": " .. string.format(...)
  end
  function r.finish()
    if #list == 0 then return end
    local shown = table.concat(list, "\n", 1, math.min(#list, 12))
    error(#list > 12 and ("%s\n... %d in all"):format(shown, #list) or shown, 0)
  end
  return r
end

return operators
