--- The stack machine that a pickle is a program for, without a way to run anything.
--
-- It builds numbers, strings, lists, dictionaries, tuples and sets. What a Python name stands for, and what data beside
-- the program an identifier means, its user decides: `self.global(self, full_name)` and `self.persistent(self, id)`
-- return a value or raise. A Global with the field `call` ({least number of arguments, function(self, arguments)}) may
-- be called, one with `build` (function(self, value, state)) takes state; nothing else may. All protocols from 0 to 5
-- are read. No step costs more than the bytes it takes from the program allow, and nothing recurses into the data.
-- Source: Python's pickletools.

local core = require "moontorch.core"
local ordered = require "moontorch.nn.ordered"
local arguments = require "moontorch.arguments"

local unpickle = {}

local none = core.none
-- What a Python name stands for while the program runs. Tuples are arrays of their own kind, so that a list is none.
local Global, Tuple = {}, {}
unpickle.Global, unpickle.Tuple = Global, Tuple

local MARK = {}

--- Is `v` of this kind (a table that stands for its metatable)?
local function is(v, kind) return type(v) == "table" and getmetatable(v) == kind end
unpickle.is = is

--- Raises that the file is damaged. `self` has `owner`, the function that messages name, and `name`, the file.
local function bad(self, format, ...)
  core.raise(self.owner, "%s is no valid .pt file: " .. format, self.name, ...)
end
unpickle.bad = bad

--- What messages call a value.
local function named(v)
  if is(v, Global) then return v.name end
  if is(v, Tuple) then return "a tuple" end
  if v == none then return "None" end
  return arguments.type_name(v)
end
unpickle.named = named

--- The value as the caller gets it: a tuple becomes an array, once, however often it is used; a file of a few bytes
-- could otherwise grow without end. The outer ones wait on a list with the entry that they have come to, so that no
-- nesting is too deep and each entry is looked at once.
local function plain(v)
  if not is(v, Tuple) then return v end
  if v.plain then return v.plain end
  local waiting, lists, at, depth = { v }, { {} }, { 0 }, 1
  while depth > 0 do
    local tuple, list, i = waiting[depth], lists[depth], at[depth] + 1
    local entry = tuple[i]
    if i > tuple.n then
      tuple.plain, waiting[depth] = list, nil
      depth = depth - 1
    elseif is(entry, Tuple) and not entry.plain then
      depth = depth + 1
      waiting[depth], lists[depth], at[depth] = entry, {}, 0
    else
      list[i], at[depth] = is(entry, Tuple) and entry.plain or entry, i
    end
  end
  return v.plain
end
unpickle.plain = plain

-- The stack -----------------------------------------------------------------------------------------------------------

local function push(self, v)
  local n = self.top + 1
  self.stack[n], self.top = v, n
end

local function pop(self)
  local n = self.top
  local v = self.stack[n]
  if n == 0 or v == MARK then bad(self, "its program takes a value where there is none") end
  self.stack[n], self.top = nil, n - 1
  return v
end

local function peek(self)
  local v = self.stack[self.top]
  if self.top == 0 or v == MARK then bad(self, "its program takes a value where there is none") end
  return v
end

-- The values above the last mark, as a tuple.
local function pop_mark(self)
  local at = self.top
  while at > 0 and self.stack[at] ~= MARK do at = at - 1 end
  if at == 0 then bad(self, "its program refers to a mark that was not set") end
  local list = setmetatable({ n = self.top - at }, Tuple)
  for i = 1, list.n do
    list[i] = self.stack[at + i]
    self.stack[at + i] = nil
  end
  self.stack[at], self.top = nil, at - 1
  return list
end

local function tuple(self, n)
  local list = setmetatable({ n = n }, Tuple)
  for i = n, 1, -1 do list[i] = pop(self) end
  push(self, list)
end

-- The program's bytes -------------------------------------------------------------------------------------------------

local function unpack(self, format)
  local size = string.packsize(format)
  if self.at + size - 1 > #self.code then bad(self, "its program is truncated") end
  local v = string.unpack(format, self.code, self.at)
  self.at = self.at + size
  return v
end

local function text(self, length)
  if length < 0 or length > #self.code - self.at + 1 then bad(self, "its program is truncated") end
  local s = self.code:sub(self.at, self.at + length - 1)
  self.at = self.at + length
  return s
end

local function line(self)
  local stop = self.code:find("\n", self.at, true)
  if not stop then bad(self, "its program is truncated") end
  local s = self.code:sub(self.at, stop - 1)
  self.at = stop + 1
  return s
end

local function too_large(self)
  core.raise(self.owner, "%s holds an integer that does not fit 64 bits", self.name)
end

local function integer(self, length)
  local s = text(self, length)
  if #s == 0 then return 0 end
  if #s > 8 then
    local sign = s:byte(8) >= 128 and "\255" or "\0"
    if s:sub(9):find("[^" .. sign .. "]") then too_large(self) end
    s = s:sub(1, 8)
  end
  return (string.unpack("<i" .. #s, s))
end

-- Numbers as protocol 0 spells them: I and L, with 00 and 01 for the booleans.
local function spelled_integer(self)
  local s = line(self)
  if s == "00" then return false end
  if s == "01" then return true end
  local digits = s:match("^(-?%d+)L?$")
  if not digits then bad(self, "it spells an integer %q", s) end
  return math.tointeger(tonumber(digits)) or too_large(self)
end

local function spelled_float(self)
  local s = line(self)
  local n = ({ inf = math.huge, ["-inf"] = -math.huge, nan = 0 / 0 })[s] or (s:find("^[%d.eE+-]+$") and tonumber(s))
  if not n then bad(self, "it spells a number %q", s) end
  return n + 0.0
end

local ESCAPES = { n = "\n", r = "\r", t = "\t", a = "\a", b = "\b", f = "\f", v = "\v" }

-- A string in quotes, as protocol 0 has it.
local function quoted(self)
  local s = line(self)
  local body = s:match("^'(.*)'$") or s:match('^"(.*)"$')
  if not body then bad(self, "it spells a string %q", s) end
  return (body:gsub("\\(x?)(.)(%x?)", function(x, c, d)
    if x == "x" then return (c:find("%x") and d ~= "") and string.char(tonumber(c .. d, 16)) or nil end
    return (ESCAPES[c] or c) .. d
  end))
end

-- A string whose characters beyond Latin-1 are escaped, as protocol 0 has it.
local function escaped(self)
  local s = line(self):gsub("[\128-\255]", function(c) return utf8.char(c:byte()) end)
  s = s:gsub("\\U(%x%x%x%x%x%x%x%x)", function(h)
    local code = tonumber(h, 16)
    if code > 0x10FFFF then bad(self, "it spells a string with the character %s", h) end
    return utf8.char(code)
  end)
  return (s:gsub("\\u(%x%x%x%x)", function(h) return utf8.char(tonumber(h, 16)) end))
end

-- Containers ----------------------------------------------------------------------------------------------------------

local function remember(self, i) self.memo[i] = peek(self) end
local function recall(self, i)
  local v = self.memo[i]
  if v == nil then bad(self, "its program recalls what it did not remember") end
  push(self, v)
end

local function number_line(self)
  return math.tointeger(tonumber(line(self):match("^%d+$"))) or bad(self, "its program remembers under no number")
end

--- A new dictionary that the program may fill.
function unpickle.dictionary(self)
  local d = ordered.new()
  self.kinds[d] = "dictionary"
  return d
end

--- A new set that the program may fill: a table whose keys are its values.
function unpickle.set(self)
  local s = {}
  self.kinds[s] = "set"
  return s
end

local function filled(self, kind, v, what)
  if type(v) ~= "table" or self.kinds[v] ~= kind then bad(self, "its program %s %s", what, named(v)) end
  return v
end

local function check_key(self, key, what)
  local kind = type(key)
  if (kind ~= "string" and kind ~= "number" and kind ~= "boolean") or key ~= key then
    core.raise(self.owner, "%s: a %s has %s as key; only strings, numbers and booleans are read", self.name, what,
      named(key))
  end
end

--- Puts an entry into a dictionary.
function unpickle.put(self, to, key, value)
  check_key(self, key, "dictionary")
  to[key] = plain(value)
end

--- Puts the values of an array or tuple into a set.
function unpickle.add(self, to, values)
  for _, value in ipairs(values) do
    check_key(self, value, "set")
    to[value] = true
  end
end

local function put_pairs(self, to, values)
  if values.n % 2 ~= 0 then bad(self, "its program sets a key without a value") end
  for i = 1, values.n, 2 do unpickle.put(self, to, values[i], values[i + 1]) end
end

local function new_list(self)
  local list = {}
  self.kinds[list] = "list"
  return list
end

local function append_all(self, to, values)
  for i = 1, values.n do to[#to + 1] = plain(values[i]) end
end

-- Calls ---------------------------------------------------------------------------------------------------------------

local function reduce(self)
  local args, f = pop(self), pop(self)
  if is(f, Global) and not f.call then self.refuse(self, f.name) end
  if not is(f, Global) then bad(self, "its program calls %s", named(f)) end
  if not is(args, Tuple) or args.n < f.call[1] then bad(self, "it calls %s without its arguments", f.name) end
  push(self, f.call[2](self, args))
end

local operations = {
  ["\x80"] = function(self)
    local version = unpack(self, "B")
    if version > 5 then bad(self, "its pickle has version %d; up to 5 are known", version) end
  end,
  ["\x95"] = function(self) unpack(self, "<i8") end, -- a frame: only a hint
  ["("] = function(self) push(self, MARK) end,
  ["0"] = function(self)
    if self.stack[self.top] == MARK then pop_mark(self) else pop(self) end
  end,
  ["1"] = function(self) pop_mark(self) end,
  ["2"] = function(self) push(self, peek(self)) end,
  ["N"] = function(self) push(self, none) end,
  ["\x88"] = function(self) push(self, true) end,
  ["\x89"] = function(self) push(self, false) end,
  ["I"] = function(self) push(self, spelled_integer(self)) end,
  ["L"] = function(self) push(self, spelled_integer(self)) end,
  ["J"] = function(self) push(self, unpack(self, "<i4")) end,
  ["K"] = function(self) push(self, unpack(self, "B")) end,
  ["M"] = function(self) push(self, unpack(self, "<I2")) end,
  ["\x8a"] = function(self) push(self, integer(self, unpack(self, "B"))) end,
  ["\x8b"] = function(self) push(self, integer(self, unpack(self, "<i4"))) end,
  ["F"] = function(self) push(self, spelled_float(self)) end,
  ["G"] = function(self) push(self, unpack(self, ">d")) end,
  ["S"] = function(self) push(self, quoted(self)) end,
  ["V"] = function(self) push(self, escaped(self)) end,
  ["X"] = function(self) push(self, text(self, unpack(self, "<I4"))) end,
  ["\x8c"] = function(self) push(self, text(self, unpack(self, "B"))) end,
  ["\x8d"] = function(self) push(self, text(self, unpack(self, "<i8"))) end,
  ["U"] = function(self) push(self, text(self, unpack(self, "B"))) end,
  ["T"] = function(self) push(self, text(self, unpack(self, "<i4"))) end,
  ["C"] = function(self) push(self, text(self, unpack(self, "B"))) end,
  ["B"] = function(self) push(self, text(self, unpack(self, "<I4"))) end,
  ["\x8e"] = function(self) push(self, text(self, unpack(self, "<i8"))) end,
  ["\x96"] = function(self) push(self, text(self, unpack(self, "<i8"))) end,
  [")"] = function(self) tuple(self, 0) end,
  ["\x85"] = function(self) tuple(self, 1) end,
  ["\x86"] = function(self) tuple(self, 2) end,
  ["\x87"] = function(self) tuple(self, 3) end,
  ["t"] = function(self) push(self, pop_mark(self)) end,
  ["]"] = function(self) push(self, new_list(self)) end,
  ["l"] = function(self)
    local values, list = pop_mark(self), new_list(self)
    append_all(self, list, values)
    push(self, list)
  end,
  ["a"] = function(self)
    local value = pop(self)
    local to = filled(self, "list", peek(self), "appends to")
    to[#to + 1] = plain(value)
  end,
  ["e"] = function(self)
    local values = pop_mark(self)
    append_all(self, filled(self, "list", peek(self), "appends to"), values)
  end,
  ["}"] = function(self) push(self, unpickle.dictionary(self)) end,
  ["d"] = function(self)
    local values, d = pop_mark(self), unpickle.dictionary(self)
    put_pairs(self, d, values)
    push(self, d)
  end,
  ["s"] = function(self)
    local value, key = pop(self), pop(self)
    unpickle.put(self, filled(self, "dictionary", peek(self), "sets an entry of"), key, value)
  end,
  ["u"] = function(self)
    local values = pop_mark(self)
    put_pairs(self, filled(self, "dictionary", peek(self), "sets an entry of"), values)
  end,
  ["\x8f"] = function(self) push(self, unpickle.set(self)) end,
  ["\x90"] = function(self)
    local values = pop_mark(self)
    unpickle.add(self, filled(self, "set", peek(self), "adds to"), values)
  end,
  ["\x91"] = function(self)
    local values, s = pop_mark(self), unpickle.set(self)
    unpickle.add(self, s, values)
    push(self, s)
  end,
  ["p"] = function(self) remember(self, number_line(self)) end,
  ["q"] = function(self) remember(self, unpack(self, "B")) end,
  ["r"] = function(self) remember(self, unpack(self, "<I4")) end,
  ["\x94"] = function(self)
    self.memoized = self.memoized + 1
    remember(self, self.memoized - 1)
  end,
  ["g"] = function(self) recall(self, number_line(self)) end,
  ["h"] = function(self) recall(self, unpack(self, "B")) end,
  ["j"] = function(self) recall(self, unpack(self, "<I4")) end,
  ["c"] = function(self)
    local module = line(self)
    push(self, self.global(self, module, line(self)))
  end,
  ["\x93"] = function(self)
    local name, module = pop(self), pop(self)
    if type(name) ~= "string" or type(module) ~= "string" then bad(self, "it names %s", named(name)) end
    push(self, self.global(self, module, name))
  end,
  ["Q"] = function(self) push(self, self.persistent(self, pop(self))) end,
  ["R"] = reduce,
  -- The attributes of a dictionary (a state_dict's _metadata) are not part of what is read.
  ["b"] = function(self)
    local state, to = pop(self), peek(self)
    local kind = type(to) == "table" and getmetatable(to)
    if type(kind) == "table" and rawget(kind, "build") then return kind.build(self, to, state) end
    filled(self, "dictionary", to, "sets the attributes of")
  end,
}

--- Runs the program in `self.code` from byte `self.at` to its end, after which `self.at` stands. `self` has the fields
-- of this file's head and `owner`, `name`, `refuse` (function(self, name), raises that a name is not allowed).
function unpickle.run(self)
  self.stack, self.top, self.memo, self.memoized = {}, 0, {}, 0
  self.kinds = setmetatable({}, { __mode = "k" })
  while true do
    local code = self.code:sub(self.at, self.at)
    self.at = self.at + 1
    if code == "." then break end
    local operation = operations[code]
    if operation == nil then
      if code == "" then bad(self, "its program has no end") end
      core.raise(self.owner, "%s: Weights only load failed: Unsupported operand %d: only tensors and plain values are "
        .. "read; save a state_dict in Python: torch.save(model.state_dict(), path)", self.name, code:byte())
    end
    operation(self)
  end
  return pop(self)
end

return unpickle
