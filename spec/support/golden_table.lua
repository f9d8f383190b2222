--- Replays spec/golden/table.lua: every sample of the op table in every dtype, against PyTorch's results, gradients and
-- messages. Inputs are built anew from the samples; a checksum tells when they are no longer those PyTorch was given.
--
-- The table:
--   torch      PyTorch's version; messages: its messages, each once
--   [k]        { schema, call, call, ... }, a call being { sample, checksum, "run run run ..." }
-- A run is spelled dtype, layout, form and outcome without blanks:
--   dtype      d float64  s float32  h float16  b bfloat16  q int64  i int32  t int16  c int8  u uint8  o bool
--   layout     c contiguous  t first and last dim swapped in memory  s every second element  e expanded
--              x contiguous, with special values among the numbers
--   form       f torch.op(...)  m x:op(...)  i x:op_(...)
--   outcome    !n      refused with message n; !0 refused because of the types of arguments
--              =       as the same sample's run in this dtype that is contiguous and not in place, gradients included;
--                      in place the result has the dtype of its tensor
--              :r;r/g  results and gradients. A result is a dtype's letter and sizes, s3,4 (its values are the next
--                      ones in table.safetensors), ~s3,4 if values are not compared, or #number, #true; [r;r] is an
--                      array. g has a sign for each float tensor: 1 a gradient follows, 0 has none, - none asked for.
-- Values stand in table.safetensors by dtype, one after the other in the order of runs: results, then gradients.
local torch = require "moontorch"
local samples = require "spec.support.samples"

local golden_table = {}

local LETTERS = {
  float64 = "d", float32 = "s", float16 = "h", bfloat16 = "b", int64 = "q", int32 = "i", int16 = "t", int8 = "c",
  uint8 = "u", bool = "o",
}
local NAMES = {}
for name, letter in pairs(LETTERS) do NAMES[letter] = name end

local FLOATS = { "float32", "float64", "float16", "bfloat16" }
local WHOLE = { "int64", "int32", "int16", "int8", "uint8", "bool" }

-- Building inputs ----------------------------------------------------------------------------------------------------

--- Names of the dtypes in which a sample is different from one dtype to the next.
function golden_table.dtypes(sample)
  local floats, whole = false, false
  local function look(item)
    if item.kind == "tensor" and samples.is_float(item) then floats = true end
    if item.kind == "tensor" and item.letter == "i" then whole = true end
    if item.kind == "list" then for _, part in ipairs(item.items) do look(part) end end
  end
  for k = 1, sample.n do look(sample[k]) end
  for _, item in pairs(sample.keywords) do look(item) end
  local list = {}
  if floats then table.move(FLOATS, 1, #FLOATS, 1, list) end
  if floats or whole then table.move(WHOLE, 1, #WHOLE, #list + 1, list) end
  return #list > 0 and list or { "float32" }
end

--- The sample's arguments in a dtype: integers follow only where there are none but whole numbers.
function golden_table.build(sample, name, dtype)
  return samples.build(sample, name, torch[dtype], not torch[dtype].is_floating_point)
end

local SPECIAL = { 1 / 0, 0 / 0, -0.0, -1 / 0, 0.0, 1e30, 1e-30, 0.5, -2.5, 1e5 }
local EXTREMES = {
  [torch.int64] = { math.mininteger, math.maxinteger }, [torch.int32] = { -1 << 31, (1 << 31) - 1 },
  [torch.int16] = { -1 << 15, (1 << 15) - 1 }, [torch.int8] = { -128, 127 }, [torch.uint8] = { 255, 128 },
}

--- args with infinities, NaN, zeros, very large and small numbers, or with the ends of an integer's range and 0, at
-- every second place of the tensors of that dtype; other ones in each tensor. Positions stay.
function golden_table.special(args, sample, dtype)
  dtype = torch[dtype]
  local values = dtype.is_floating_point and SPECIAL or EXTREMES[dtype]
  local turn, numbers = 0, {}
  for k = 1, sample.n do numbers[args[k] or false] = sample[k].letter ~= "x" end
  return samples.map(args, function(t)
    if t.dtype ~= dtype or t:numel() == 0 or numbers[t] == false then return t end
    turn = turn + 1
    local list = t:contiguous():view(-1):tolist()
    for k = turn % 2 + 1, #list, 2 do list[k] = values[(k // 2 + 3 * turn) % #values + 1] end
    if not dtype.is_floating_point then return torch.tensor(list, { dtype = dtype }):reshape(t.shape) end
    return torch.tensor(list, { dtype = torch.float64 }):reshape(t.shape):to(dtype)
  end)
end

--- Names of the keywords in order.
function golden_table.names(args)
  local names = {}
  for name in pairs(args.keywords) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- All tensors in args: of positional arguments, then of keywords by name.
function golden_table.tensors(args)
  local list = {}
  local function look(v)
    if torch.is_tensor(v) then list[#list + 1] = v end
    if type(v) == "table" and not getmetatable(v) then for _, part in ipairs(v) do look(part) end end
  end
  for k = 1, args.n do look(args[k]) end
  for _, name in ipairs(golden_table.names(args)) do look(args.keywords[name]) end
  return list
end

--- Eight digits that follow from all the numbers that the sample is made of.
function golden_table.checksum(sample, name)
  local sum = 5381
  for _, dtype in ipairs(golden_table.dtypes(sample)) do
    for _, t in ipairs(golden_table.tensors(golden_table.build(sample, name, dtype))) do
      local bytes = t:contiguous():tobytes()
      for k = 1, #bytes do sum = (sum * 33 + bytes:byte(k)) & 0xffffffff end
    end
  end
  return ("%08x"):format(sum)
end

-- Replaying ----------------------------------------------------------------------------------------------------------

-- Differences that count as equal, relative and absolute, by dtype of the result. Whole numbers are exact. 16-bit
-- floats may differ by two of their steps: PyTorch rounds on the way in some operators, moontorch only at the end.
local TOLERANCE = {
  [torch.float64] = { 1e-9, 1e-11 }, [torch.float32] = { 2e-5, 2e-6 }, [torch.float16] = { 2e-3, 1e-3 },
  [torch.bfloat16] = { 1.6e-2, 8e-3 },
}

local function equal_numbers(a, b, tolerance)
  if a == b then return true end
  if not tolerance or a ~= a or b ~= b then return tolerance and a ~= a and b ~= b end
  if math.abs(a) == math.huge or math.abs(b) == math.huge then return false end
  return math.abs(a - b) <= tolerance[1] * math.abs(b) + tolerance[2]
end

-- A value as text: Lua writes some NaN as -nan.
local function spelled(v) return v ~= v and "nan" or tostring(v) end

--- What is wrong with t where `wanted` is right, or nil. scaled: small elements beside large ones may differ by a part
-- of the largest.
function golden_table.differs(t, wanted, scaled)
  if not torch.is_tensor(t) then return ("is %s, not a tensor"):format(tostring(t)) end
  if t.dtype ~= wanted.dtype then return ("is %s, expected %s"):format(tostring(t.dtype), tostring(wanted.dtype)) end
  if t.shape ~= wanted.shape then return ("has %s, expected %s"):format(tostring(t.shape), tostring(wanted.shape)) end
  t, wanted = t:detach():contiguous(), wanted:detach():contiguous()
  if t:tobytes() == wanted:tobytes() then return nil end
  local a, b = t:view(-1):tolist(), wanted:view(-1):tolist()
  local tolerance = TOLERANCE[t.dtype]
  if scaled and tolerance then
    local largest = 1
    for k = 1, #b do
      local v = math.abs(b[k])
      if v > largest and v < math.huge then largest = v end
    end
    tolerance = { tolerance[1], tolerance[2] * largest }
  end
  for k = 1, #b do
    if not equal_numbers(a[k], b[k], tolerance) then
      return ("has %s at element %d, expected %s"):format(spelled(a[k]), k, spelled(b[k]))
    end
  end
end

local differs = golden_table.differs

-- Words that name dtypes: the two spell them differently (long int, int64; c10::Half, float16).
local DTYPE_WORDS = {}
for word in ("float double half bfloat long int short char byte bool uint unsigned signed torch"):gmatch("%a+") do
  DTYPE_WORDS[word] = true
end

-- The words of a message, without numbers, shapes, punctuation, names of dtypes and single letters.
local function words(message)
  local text = message:lower():gsub("%b[] or %b[]", " "):gsub("%b[]", " "):gsub("/", " or "):gsub("%f[%w]%d%w*", " ")
  local list = {}
  for word in text:gsub("c10::", ""):gsub("%d+", ""):gmatch("%a+") do
    if #word > 1 and not DTYPE_WORDS[word] then list[#list + 1] = word end
  end
  return " " .. table.concat(list, " ") .. " "
end

-- PyTorch's first sentence, without the name of a function or kernel in front and without the values at its end.
local function sentence(message)
  local text = message:gsub('^"[^"]*" not', "not"):gsub("^[%l_][%w_.]*:? *%b():? ", ""):gsub("^[%l_][%w_.]*: ", "")
  text = text:match("^(.-)%. ") or text
  return text:gsub(" %(while checking.*", ""):gsub(",? but got.*", ""):gsub(", got.*", "")
end

--- Do the words of PyTorch's message stand in ours, in their order?
function golden_table.says(ours, theirs)
  return words(ours):find(words(sentence(theirs)), 1, true) ~= nil
end

-- Of two faults in one call either may be named: a sample that is refused in its first dtype may be refused with that
-- message, or for its dtype, in all.
local function says_one_of(ours, messages, first_refused)
  if ours:find("not implemented for", 1, true) or ours:find("dtype must be a floating point", 1, true) then
    if first_refused then return true end
  end
  for message in pairs(messages) do
    if golden_table.says(ours, message) then return true end
  end
  return false
end

local LAYOUTS = { c = function(t) return t end, t = samples.swapped, s = samples.sliced, e = samples.expanded }

local function laid_out(args, layout)
  if layout == "c" then return args end
  return samples.map(args, function(t)
    if layout == "e" and not t.dtype.is_floating_point then return t end
    return (LAYOUTS[layout](t))
  end)
end

-- The gradient handed to backward: element i, counted from 0, is (3 i mod 7 - 3) / 4.
local function gradient_of(t)
  local values = {}
  for i = 0, t:numel() - 1 do values[i + 1] = ((3 * i) % 7 - 3) / 4 end
  if #values == 0 then return torch.zeros(t.shape, { dtype = t.dtype }) end
  return torch.tensor(values, { dtype = t.dtype }):reshape(t.shape)
end

local function flat(results)
  local list = {}
  for k = 1, results.n do
    if type(results[k]) == "table" then table.move(results[k], 1, #results[k], #list + 1, list)
    else list[#list + 1] = results[k] end
  end
  return list
end

local Reader = {}
Reader.__index = Reader

--- Reads the values in the order in which they were written.
function golden_table.reader(pool)
  return setmetatable({ pool = pool, at = {} }, Reader)
end

function Reader:take(name, shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  local dtype = torch[name]
  if n == 0 then return torch.zeros(shape, { dtype = dtype }) end
  local first = self.at[name] or 1
  self.at[name] = first + n
  return self.pool[name]:narrow(1, first, n):view(shape)
end

-- { tensor, unwritten } or { number } or { list } from the text of one result.
local function read_results(reader, text)
  local results = {}
  local function one(word)
    local unwritten, letter, sizes = word:match("^(~?)(%a)([%d,]*)$")
    if not letter then
      local v = word:sub(2)
      if v == "true" or v == "false" then return { value = v == "true" } end
      return { value = tonumber(v) }
    end
    local shape = {}
    for size in sizes:gmatch("%d+") do shape[#shape + 1] = math.tointeger(size) end
    if unwritten == "~" then return { shape = shape, dtype = torch[NAMES[letter]] } end
    return { tensor = reader:take(NAMES[letter], shape) }
  end
  local inside = text:match("^%[(.*)%]$")
  for word in (inside or text):gmatch("[^;]+") do results[#results + 1] = one(word) end
  results.list = inside ~= nil
  return results
end

-- What PyTorch gave for this run: { message }, or { results, marks, grads }. Grads are read for the leaves given.
local function read_outcome(reader, text, leaves)
  if text:sub(1, 1) == "!" then return { refused = math.tointeger(text:sub(2)) } end
  local results, marks = text:match("^:([^/]*)/?(.*)$")
  local o = { results = read_results(reader, results), marks = marks, grads = {} }
  local unwritten = results:find("~", 1, true)
  for k = 1, #marks do
    if marks:sub(k, k) == "1" and not unwritten then
      local shape = {}
      for d = 1, leaves[k].ndim do shape[d] = leaves[k]:size(d) end
      o.grads[k] = reader:take(tostring(leaves[k].dtype):sub(7), shape)
    end
  end
  return o
end

local function result_differs(got, wanted)
  if wanted.tensor then return differs(got, wanted.tensor) end
  if wanted.shape then
    if not torch.is_tensor(got) or got.dtype ~= wanted.dtype then return "is " .. tostring(got.dtype or got) end
    local shape = table.concat(got.shape, ",")
    return shape ~= table.concat(wanted.shape, ",") and "has shape " .. shape or nil
  end
  if type(got) ~= type(wanted.value) or not equal_numbers(got, wanted.value, TOLERANCE[torch.float32]) then
    return ("is %s, expected %s"):format(spelled(got), spelled(wanted.value))
  end
end

-- Calls in a form; results as PyTorch lists them.
local function call(op, form, args)
  torch.manual_seed(11)
  local list = table.move(args, 1, args.n, 1, {})
  local n = args.n
  if next(args.keywords) then
    n = n + 1
    list[n] = args.keywords
  end
  local f
  if form == "f" then f = torch[op]
  elseif form == "m" then f = list[1][op]
  else f = torch[op .. "_"] or list[1][op .. "_"] end
  return table.pack(f(table.unpack(list, 1, n)))
end

-- The results and gradients of one run in our own hands: { results, grads }, or nil and the message.
local function perform(op, form, args, marks)
  local leaves, k = {}, 0
  if form == "i" then args = samples.map(args, function(t) return t:clone() end) end
  local x = args[1]
  if marks ~= "" then
    -- By identity, since samples.map does not promise an order.
    local wanted = {}
    for _, t in ipairs(golden_table.tensors(args)) do
      if t.dtype.is_floating_point then
        k = k + 1
        if marks:sub(k, k) ~= "-" then
          local leaf = t:detach():requires_grad_()
          wanted[t], leaves[k] = leaf, leaf
        end
      end
    end
    args = samples.map(args, function(t) return wanted[t] or t end)
  end
  local ok, results = pcall(call, op, form, args)
  if not ok then return nil, results end
  if form == "i" and not rawequal(results[1], x) then return { results = results, other = true } end
  local grads = {}
  if marks ~= "" then
    local outs, given = {}, {}
    for _, r in ipairs(flat(results)) do
      if torch.is_tensor(r) and r.requires_grad then outs[#outs + 1], given[#given + 1] = r, gradient_of(r) end
    end
    if #outs == 0 then return nil, "no result requires a gradient" end
    local why
    ok, why = pcall(torch.autograd.backward, outs, given)
    if not ok then return nil, "backward: " .. tostring(why) end
    for n, leaf in pairs(leaves) do grads[n] = leaf.grad end
  end
  return { results = results, grads = grads }
end

-- What is wrong with ours where theirs is right, or nil.
local function outcome_differs(ours, theirs)
  local results = ours.results
  local wanted = theirs.results
  if wanted.list then
    if type(results[1]) ~= "table" or #results[1] ~= #wanted then
      return ("is %s, expected an array of %d"):format(tostring(results[1]), #wanted)
    end
    results = table.move(results[1], 1, #results[1], 1, { n = #wanted })
  end
  if results.n ~= #wanted then return ("gives %d results, expected %d"):format(results.n, #wanted) end
  for k = 1, #wanted do
    local wrong = result_differs(results[k], wanted[k])
    if wrong then return ("result %d %s"):format(k, wrong) end
  end
  for k = 1, #theirs.marks do
    local mark, g = theirs.marks:sub(k, k), ours.grads[k]
    if mark == "1" and theirs.grads[k] then
      local wrong = g == nil and "is missing" or g ~= nil and differs(g, theirs.grads[k])
      if wrong then return ("gradient %d %s"):format(k, wrong) end
    elseif mark == "0" and g ~= nil and g:abs():sum():item() ~= 0 then
      return ("gradient %d is there, expected none"):format(k)
    end
  end
end

-- Operators that may choose among equal elements: their positions are right if what stands there is.
local CHOOSES = { topk = true, kthvalue = true }

local function chose_equal(results, args)
  local x, values, index = args[1], results[1], results[2]
  local dim = args[3] or args.keywords.dim or -1
  local wide = index.ndim == x.ndim
  local there = x:gather(dim, wide and index or index:unsqueeze(dim))
  return differs(wide and there or there:squeeze(dim), values) == nil
end

-- What is wrong with one run, or nil.
local function judge(golden, op, form, args, theirs, messages, first_refused)
  local ours, message = perform(op, form, args, theirs.marks or "")
  if theirs.refused then
    local text = golden.messages[theirs.refused]
    if ours then return ("is not refused, PyTorch says %q"):format(text or "TypeError") end
    if text and not golden_table.says(message, text) and not says_one_of(message, messages, first_refused) then
      return ("says %q, PyTorch says %q"):format(message, text)
    end
    return nil
  end
  if not ours then return ("raises %q"):format(message) end
  if ours.other then return "does not give its tensor back" end
  if CHOOSES[op] and differs(ours.results[2], theirs.results[2].tensor) and chose_equal(ours.results, args) then
    ours.results[2] = theirs.results[2].tensor
    theirs = { results = theirs.results, marks = "" }  -- gradients go where the positions are
  end
  return outcome_differs(ours, theirs)
end

--- Replays the runs of one sample; calls bad(text, run) for each that fails.
function golden_table.replay(golden, op, case, reader, bad)
  local sample = samples.parse(case[1])[1]
  if golden_table.checksum(sample, op) ~= case[2] then
    bad("the sample generator gives other inputs than PyTorch was given: run `make golden-table`", "")
  end
  local known, messages = {}, {}
  for n in case[3]:gmatch("!(%d+)") do
    local text = golden.messages[math.tointeger(n)]
    if text then messages[text] = true end
  end
  for word in case[3]:gmatch("%S+") do
    local letter, layout, form, outcome = word:match("^(%a)(%a)(%a)(.+)$")
    local dtype = NAMES[letter]
    local args = golden_table.build(sample, op, dtype)
    args = layout == "x" and golden_table.special(args, sample, dtype) or laid_out(args, layout)
    local leaves = {}
    for _, t in ipairs(golden_table.tensors(args)) do
      if t.dtype.is_floating_point then leaves[#leaves + 1] = t end
    end
    local theirs
    if outcome == "=" then
      theirs = known[dtype]
      if form == "i" then
        theirs = { marks = "", grads = {}, results = { { tensor = theirs.results[1].tensor:to(args[1].dtype) } } }
      end
    else
      theirs = read_outcome(reader, outcome, leaves)
      if layout == "c" and form ~= "i" then known[dtype] = theirs end
    end
    local wrong = judge(golden, op, form, args, theirs, messages, case[3]:match "^%a%a%a!" ~= nil)
    if wrong then
      local pattern = form == "f" and "torch.%s" or form == "m" and "x:%s" or "x:%s_"
      bad(("%s of %s, %s%s: %s"):format(pattern:format(op), case[1], dtype,
        layout == "c" and "" or ", layout " .. layout, wrong), word)
    end
  end
end

return golden_table
