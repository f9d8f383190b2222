--- Replays golden calls of torch.nn, nn.functional and nn.init (spec/golden/functional.lua).
--
-- The file is a list of groups { space = "F", "init" or "nn", name =, calls... }. A call:
--   dtype  letter of the dtype of its floats: d float64, s float32, h float16, b bfloat16
--   args   arguments of the function, or of the module made by `make`; the last table may hold keywords
--   err    the first sentence of PyTorch's message, where it refuses; fails: where its backward does
--   out    results, ";" between them: "*" if it requires a gradient, a dtype's letter, the sizes, and @ the place of
--          the first value in the pool unless it follows what was read last of that dtype
--   grads  the same for each tensor that takes a gradient, then for each parameter, "-" if it gets none. The gradient
--          handed to backward is (3 i mod 7 - 3) / 4 at element i, counted from 0, for each result that takes one
--   changed  the tensors of the arguments, then the parameters, after the call: "-" if they are as they were, which
--          all are where there is no such field
--   inplace  the result is the first argument, made of a clone
--   seed   for torch.manual_seed before the call
-- and of a module also
--   make   arguments of the class (after manual_seed(7)); text, state: its text, and PyTorch's keys and their sizes,
--          where these are new
--   start  the sum of all parameters, each times 1, 2, 3, …; after: the first draw after the constructor
--   eval   the module does not train; calls: how often it is called; buffers: running statistics afterwards
--   steps  what is done to a container before text and state are looked at: methods, slice, set, +, *
-- In a call, parameter k, from 0, has the values ((i i + 7 i + 3 k) mod 31 - 15) / 32.
-- A tensor is x"KIND SIZES;a,b,m,s,d" or x"KIND SIZES=v v v", with @dtype at the end: element i, from 0, is
-- ((i a + b) mod m - s) / d. "KIND SIZES;n" stands for usual numbers, see USUAL. Kinds: f floats with a gradient, c
-- floats, i positions, n other integers, o booleans.
local torch = require "moontorch"
local golden_table = require "spec.support.golden_table"

local golden_calls = {}

local nn, none = torch.nn, torch.none
local DTYPES = {
  d = torch.float64, s = torch.float32, h = torch.float16, b = torch.bfloat16, q = torch.int64, i = torch.int32,
  t = torch.int16, c = torch.int8, u = torch.uint8, o = torch.bool,
}
local SPACES = { F = nn.functional, init = nn.init }
local FUNCTIONS = {
  relu = nn.functional.relu, gelu = nn.functional.gelu, tanh = torch.tanh,
  manhattan = function(a, b) return (a - b):abs():sum(-1) end,
}

-- Descriptions --------------------------------------------------------------------------------------------------------

local Tensor, Module, Function = {}, {}, {}

local function describe_module(name, ...) return setmetatable({ name = name, ... }, Module) end
local function describe_function(name) return setmetatable({ name = name }, Function) end

local WORDS = { nan = 0 / 0, inf = math.huge, ["-inf"] = -math.huge }

-- a and b of the usual ones.
local USUAL = { 7, 0, 5, 3, 11, 9, 3, 1, 13, 4, 9, 2 }

-- A tensor; that of kind f takes a gradient, and jitter moves its elements a little, each by another amount.
local function build(text, dtype, jitter)
  local kind, sizes, rest, own = text:match "^(%a)([%d,]*)([^@]*)@?(%w*)$"
  local shape, count = {}, 1
  for size in sizes:gmatch "%d+" do
    shape[#shape + 1] = math.tointeger(size)
    count = count * size
  end
  local float = kind == "f" or kind == "c"
  local values = {}
  if rest:sub(1, 1) == "=" then
    for word in rest:gmatch "[^= ]+" do values[#values + 1] = WORDS[word] or tonumber(word) end
  else
    local a, b, m, s, d = rest:match "^;(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?[%d.]+)$"
    if a then
      a, b, m, s, d = math.tointeger(a), math.tointeger(b), math.tointeger(m), math.tointeger(s), tonumber(d)
    else
      a, b, m, s, d = USUAL[2 * rest:sub(2) + 1], USUAL[2 * rest:sub(2) + 2], 29, 14, 8
    end
    for i = 0, count - 1 do
      local v = (i * a + b) % m - s
      values[i + 1] = float and v / d or v
    end
  end
  if jitter and kind == "f" then
    for i = 1, count do values[i] = values[i] + 0.02 * math.abs(math.sin(7 * i + jitter)) + 0.003 end
  end
  local letter = own:match "^%l$"
  local dt = own ~= "" and (letter and DTYPES[letter] or torch[own]) or float and dtype or torch.int64
  if kind == "o" then
    for i = 1, count do values[i] = values[i] ~= 0 end
    dt = torch.bool
  end
  local t = count == 0 and torch.zeros(shape, { dtype = dt }) or torch.tensor(values, { dtype = dt }):reshape(shape)
  if kind == "f" then t:requires_grad_() end
  return t
end

local Call = {}
Call.__index = Call

--- What a description stands for; tensors are noted in self.tensors.
function Call:decode(v)
  if type(v) ~= "table" then return v end
  local kind = getmetatable(v)
  if kind == Tensor then
    self.count = self.count + 1
    local t = build(v.text, self.dtype, self.jitter and self.count)
    self.tensors[v] = t
    return t
  elseif kind == Module then
    return (nn[v.name](table.unpack(self:decode_list(v))))
  elseif kind == Function then
    return FUNCTIONS[v.name]
  elseif kind then
    return v
  end
  local copy = {}
  for key, value in pairs(v) do copy[key] = self:decode(value) end
  return copy
end

function Call:decode_list(list)
  local values = {}
  for i = 1, #list do values[i] = self:decode(list[i]) end
  return values
end

-- Tensors among the descriptions of a list, in the order of the text: positional ones, then keywords as they stand.
local function in_order(list, made)
  local found = {}
  local function look(v)
    if type(v) ~= "table" then return end
    if getmetatable(v) == Tensor then
      found[#found + 1] = v
    elseif getmetatable(v) == nil then
      for _, value in pairs(v) do look(value) end
    end
  end
  look(list)
  table.sort(found, function(a, b) return a.number < b.number end)
  local tensors = {}
  for i, v in ipairs(found) do tensors[i] = made[v] end
  return tensors
end

--- The groups of a file. Tensors are numbered in the order of its text.
function golden_calls.load(path)
  local count = 0
  local function describe_tensor(text)
    count = count + 1
    return setmetatable({ text = text, number = count }, Tensor)
  end
  return assert(loadfile(path))(describe_tensor, describe_module, describe_function, none, math.huge, 0 / 0)
end

-- Replaying -----------------------------------------------------------------------------------------------------------

--- Gives parameter k, from 0, the values ((i i + 7 i + 3 k) mod 31 - 15) / 32.
function golden_calls.fill(parameters)
  torch.no_grad(function()
    for k, p in ipairs(parameters) do
      local i = torch.arange(p:numel(), { dtype = torch.float64 })
      p:copy_((((i * i + i * 7 + 3 * (k - 1)) % 31 - 15) / 32):reshape(p.shape))
    end
  end)
end

--- Tensors in results, in order; floats become such.
function golden_calls.flat(list, v)
  if torch.is_tensor(v) then
    list[#list + 1] = v
  elseif math.type(v) == "float" then
    list[#list + 1] = torch.tensor(v, { dtype = torch.float64 })
  elseif type(v) == "table" then
    for _, part in ipairs(v) do golden_calls.flat(list, part) end
  end
  return list
end

-- The tensors that `text` describes, false for "-"; and which of them require a gradient.
local function read(reader, text)
  local list, marked = {}, {}
  for part in (text or ""):gmatch "[^;]+" do
    local shape, mark, letter, sizes, place = {}, part:match "^(%*?)([%l-])([^@]*)@?(%d*)$"
    marked[#list + 1] = mark == "*"
    for size in sizes:gmatch "%d+" do shape[#shape + 1] = math.tointeger(size) end
    local dtype = letter ~= "-" and tostring(DTYPES[letter]):sub(7)
    if place ~= "" then reader.at[dtype] = math.tointeger(place) end
    list[#list + 1] = dtype and reader:take(dtype, shape)
  end
  return list, marked
end

local function gradient_of(t)
  local i = torch.arange(t:numel())
  return (((i * 3) % 7 - 3):double() / 4):to(t.dtype):reshape(t.shape)
end

local function state_of(module)
  local parts = {}
  for key, value in pairs(module:state_dict { index_base = 0 }) do
    parts[#parts + 1] = key .. ":" .. table.concat(value.shape, ",")
  end
  table.sort(parts)
  return table.concat(parts, " ")
end

local function sorted(text)
  local words = {}
  for word in text:gmatch "%S+" do words[#words + 1] = word end
  table.sort(words)
  return table.concat(words, " ")
end

-- The sum of all parameters, each times 1, 2, 3, …, and that of their amounts.
local function start_of(parameters)
  local sum, amount = 0, 0
  for _, p in ipairs(parameters) do
    local x = p:detach():double():reshape(-1)
    local i = torch.arange(1, x:numel() + 1, { dtype = torch.float64 })
    sum, amount = sum + (x * i):sum():item(), amount + (x:abs() * i):sum():item()
  end
  return sum, amount
end

-- What is wrong with a new module, or nil.
local function module_differs(case, module)
  if case.start then
    local after = torch.rand(1):item()
    if math.abs(after - case.after) > 1e-6 then
      return ("draws %.8g after its constructor, expected %.8g"):format(after, case.after)
    end
    local start, amount = start_of(module:parameters())
    local near = math.abs(start - case.start) <= 1e-6 * amount + 1e-7 * math.abs(case.start)
    if not near then
      return ("starts with a sum of %.8g, expected %.8g"):format(start, case.start)
    end
  end
  local text = tostring(module)
  if text ~= case.text then return ("prints\n%s\nexpected\n%s"):format(text, case.text) end
  local state, wanted = state_of(module), sorted(case.state or "")
  if state ~= wanted then return ("has the state %q, expected %q"):format(state, wanted) end
end

-- What is wrong with a refusal, or nil.
local function refusal_differs(message, wanted)
  if not wanted then return ("raises %q"):format(message) end
  if not golden_table.says(message, wanted) then return ("says %q, PyTorch says %q"):format(message, wanted) end
end

local function tensors_differ(word, tensors, wanted, marked)
  if #tensors ~= #wanted then return ("gives %d %ss, expected %d"):format(#tensors, word, #wanted) end
  for k, t in ipairs(tensors) do
    local wrong = golden_table.differs(t, wanted[k], true)
    if not wrong and marked and t.requires_grad ~= marked[k] then
      wrong = marked[k] and "requires no gradient" or "requires a gradient, expected none"
    end
    if wrong then return ("%s %d %s"):format(word, k, wrong) end
  end
end

-- Arguments and parameters that should have been left alone, or written to otherwise.
local function changes_differ(before, tensors, wanted)
  for k, t in ipairs(tensors) do
    local wrong
    if wanted[k] then wrong = golden_table.differs(t, wanted[k], true)
    elseif t:detach():contiguous():tobytes() ~= before[k] then wrong = "was written to" end
    if wrong then return ("tensor %d of the call %s"):format(k, wrong) end
  end
end

local function gradients_differ(case, outs, leaves, wanted)
  local with, given = {}, {}
  for _, t in ipairs(outs) do
    if t.requires_grad then with[#with + 1], given[#given + 1] = t, gradient_of(t) end
  end
  if #with > 0 then
    local ok, message = pcall(torch.autograd.backward, with, given)
    if not ok then return refusal_differs("backward: " .. message, case.fails) end
  end
  if case.fails then return ("backward is not refused, PyTorch says %q"):format(case.fails) end
  if #wanted ~= #leaves then return ("%d tensors take a gradient, expected %d"):format(#leaves, #wanted) end
  for k, g in ipairs(wanted) do
    local got = leaves[k].grad
    local wrong
    if g and got == nil then
      wrong = "is missing"
    elseif g then
      wrong = golden_table.differs(got, g, true)
    elseif got ~= nil and got:abs():sum():item() ~= 0 then
      wrong = "is there, expected none"
    end
    if wrong then return ("gradient %d %s"):format(k, wrong) end
  end
end

local function running(module)
  local list = {}
  for name, buffer in module:named_buffers() do
    if name:find "running" or name:find "tracked" then list[#list + 1] = buffer end
  end
  return list
end

local function new_call(dtype, jitter)
  return setmetatable({ dtype = dtype, tensors = {}, count = 0, jitter = jitter }, Call)
end

--- The new module of a call; raises what its constructor raises.
function golden_calls.construct(group, case)
  torch.manual_seed(7)
  return (nn[group.name](table.unpack(new_call(torch.float32):decode_list(case.make))))
end

-- Calls the steps of a container; returns it, or the one that was made of it.
local function take_steps(case, module)
  for _, step in ipairs(case.steps) do
    local arguments = new_call(torch.float32):decode_list(step)
    if step[1] == "slice" then
      module = module[{ arguments[2], arguments[3] }]
    elseif step[1] == "set" then
      module[arguments[2]] = arguments[3]
    elseif step[1] == "+" then
      module = module + arguments[2]
    elseif step[1] == "*" then
      module = module * arguments[2]
    else
      module[step[1]](module, table.unpack(arguments, 2))
    end
  end
  return module
end

--- A call ready to be made: its function, arguments, leaves that take a gradient and all its tensors, of both
-- the parameters last. jitter: floats that take a gradient move a little.
function golden_calls.prepare(group, case, dtype, module, jitter)
  local call = new_call(dtype, jitter)
  if module then
    module:to(dtype)
    golden_calls.fill(module:parameters())
    module:train(not case.eval)
  end
  local arguments = call:decode_list(case.args)
  local tensors, leaves = in_order(case.args, call.tensors), {}
  if module then table.move(module:parameters(), 1, #module:parameters(), #tensors + 1, tensors) end
  for _, t in ipairs(tensors) do
    if t.requires_grad then leaves[#leaves + 1] = t end
  end
  return module or SPACES[group.space][group.name], arguments, leaves, tensors
end

-- What is wrong with a call, or nil.
local function replay(group, case, reader)
  local wanted, marked = read(reader, case.out)
  local gradients, buffers, changed = read(reader, case.grads), read(reader, case.buffers), read(reader, case.changed)
  local module
  if group.space == "nn" then
    local made, result = pcall(golden_calls.construct, group, case)
    if not made then return refusal_differs(result, case.err) end
    module = case.steps and take_steps(case, result) or result
    local wrong = case.text and module_differs(case, module)
    if wrong then return wrong end
    if case.steps or not case.args then
      return case.err and ("is not refused, PyTorch says %q"):format(case.err) or nil
    end
  end
  local f, arguments, leaves, tensors = golden_calls.prepare(group, case, DTYPES[case.dtype], module)
  local before = {}
  for k, t in ipairs(tensors) do before[k] = t:detach():contiguous():tobytes() end
  if case.inplace then arguments[1] = arguments[1]:clone() end
  torch.manual_seed(case.seed or 11)
  local results
  local ok, message = pcall(function()
    for _ = 1, case.calls or 1 do results = table.pack(f(table.unpack(arguments))) end
  end)
  if not ok then return refusal_differs(message, case.err) end
  if case.err then return ("is not refused, PyTorch says %q"):format(case.err) end
  if case.inplace and not rawequal(results[1], arguments[1]) then return "does not give its tensor back" end
  local outs = golden_calls.flat({}, { table.unpack(results, 1, results.n) })
  return tensors_differ("result", outs, wanted, marked)
    or changes_differ(before, tensors, changed)
    or (case.grads or case.fails) and gradients_differ(case, outs, leaves, gradients)
    or tensors_differ("buffer", case.buffers and running(module) or {}, buffers)
end

-- The call as text.
local function spelled(v)
  if v == none then return "none" end
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) ~= "table" then return tostring(v) end
  local kind = getmetatable(v)
  if kind == Tensor then return v.text end
  if kind == Function then return v.name end
  local parts = {}
  for _, part in ipairs(v) do parts[#parts + 1] = spelled(part) end
  for key, part in pairs(v) do
    if type(key) == "string" and not kind then parts[#parts + 1] = key .. " = " .. spelled(part) end
  end
  local inside = table.concat(parts, ", ")
  return kind == Module and v.name .. "(" .. inside .. ")" or "{" .. inside .. "}"
end

--- The call as one would write it.
function golden_calls.text(group, case)
  local function list(v) return spelled(v):sub(2, -2) end
  local text = group.space .. "." .. group.name
  if case.make then text = text .. "(" .. list(case.make) .. ")" end
  if case.steps then text = text .. " " .. list(case.steps) end
  return text .. (case.args and "(" .. list(case.args) .. ")" or "") .. " " .. case.dtype
end

-- Passes over the values of a call.
local function pass(case, reader)
  for _, key in ipairs { "out", "grads", "buffers", "changed" } do read(reader, case[key]) end
end

--- Replays the calls of a group, or each `every`th of them; bad(text) is told what is wrong.
function golden_calls.replay(group, pool, bad, every)
  local reader = golden_table.reader(pool)
  for k, case in ipairs(group) do
    if k % (every or 1) ~= 0 then
      pass(case, reader)
      goto continue
    end
    local ok, wrong = pcall(replay, group, case, reader)
    if not ok then wrong = "cannot be replayed: " .. tostring(wrong) end
    if wrong then bad(golden_calls.text(group, case) .. ": " .. wrong) end
    ::continue::
  end
end

return golden_calls
