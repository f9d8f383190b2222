--- PyTorch's .pt and .pth files: the tensors, tables and plain values that torch.save wrote.
--
--     state = torch.utils.pickle.load_file("model.pth")    -- name -> tensor, as state_dict() gives it
--
-- A .pt file is a zip archive of tensor data and a pickle, a program for a stack machine. This interpreter knows only
-- the instructions and the few Python names that tensors and plain values need; it calls no other code, whatever the
-- file says, and refuses the rest by name. Sizes are checked against the archive before a tensor is made. Tensors that
-- share memory in the file share it here; all come to the cpu. Source: Python's pickletools, torch.serialization.

local core = require "moontorch.core"
local bytes = require "moontorch.utils.bytes"
local zip = require "moontorch.utils.zip"
local ordered = require "moontorch.nn.ordered"
local arguments = require "moontorch.arguments"

local pickle = {}

local OWNER = "pickle.load_file"

local function bad(self, format, ...)
  core.raise(OWNER, "%s is no valid .pt file: " .. format, self.name, ...)
end

-- Values ------------------------------------------------------------------------------------------------------------

local none = core.none
-- What a Python name stands for while the program runs. Tuples are arrays of their own kind, so that a list is none.
local Global, Tuple, Storage = {}, {}, {}

local MARK = {}
-- How deep tuples may lie in one another.
local DEPTH = 1000

local function is(v, kind) return type(v) == "table" and getmetatable(v) == kind end

local function named(v)
  if is(v, Global) then return v.name end
  if is(v, Tuple) then return "a tuple" end
  if v == none then return "None" end
  return arguments.type_name(v)
end

-- A tuple becomes a plain array once it is part of what the caller gets, the same one wherever it stands: a file of a
-- few bytes could otherwise grow without end.
local function plain(v)
  if not is(v, Tuple) then return v end
  if v.plain then return v.plain end
  local list = {}
  for i = 1, v.n do list[i] = plain(v[i]) end
  v.plain = list
  return list
end

-- Rebuilding ----------------------------------------------------------------------------------------------------------

local storages = {
  DoubleStorage = "float64", FloatStorage = "float32", HalfStorage = "float16", BFloat16Storage = "bfloat16",
  LongStorage = "int64", IntStorage = "int32", ShortStorage = "int16", CharStorage = "int8", ByteStorage = "uint8",
  BoolStorage = "bool",
}

-- The elements of a storage as a 1-d tensor, read once.
local function elements(self, storage)
  local key = storage.key
  local known = self.storages[key]
  if known then
    if known.dtype ~= storage.dtype then bad(self, "the storage '%s' is used with two dtypes", key) end
    return known
  end
  local entry = self.archive.by_name[self.prefix .. "data/" .. key]
  if not entry then bad(self, "it has no data for the storage '%s'", key) end
  local width = storage.dtype.itemsize
  if storage.count > entry.size // width then
    bad(self, "the storage '%s' should hold %d elements of %s, but its data has %d bytes", key, storage.count,
      tostring(storage.dtype), entry.size)
  end
  local t = bytes.tensor(zip.read(self.archive, entry), storage.dtype, storage.count, 0, self.order)
  self.storages[key] = t
  return t
end

local function sizes_of(self, v, what)
  if not is(v, Tuple) then bad(self, "a tensor's %s is %s instead of a tuple", what, named(v)) end
  local list = {}
  for i = 1, v.n do
    if math.type(v[i]) ~= "integer" or v[i] < 0 then bad(self, "a tensor's %s has the entry %s", what, named(v[i])) end
    list[i] = v[i]
  end
  return list
end

local function rebuild_tensor(self, args)
  local storage, offset = args[1], args[2]
  if not is(storage, Storage) then bad(self, "a tensor is built from %s instead of a storage", named(storage)) end
  if math.type(offset) ~= "integer" or offset < 0 then bad(self, "a tensor's offset is %s", named(offset)) end
  local shape, stride = sizes_of(self, args[3], "shape"), sizes_of(self, args[4], "strides")
  if #shape ~= #stride then bad(self, "a tensor has %d sizes and %d strides", #shape, #stride) end
  local base = elements(self, storage)
  -- The last element that the tensor reaches, kept from overflowing by stopping at the storage's end.
  local last, empty = offset, false
  for d, size in ipairs(shape) do empty = empty or size == 0 end
  for d, size in ipairs(shape) do
    if not empty and size > 1 then
      if stride[d] > 0 and size - 1 > (storage.count - last) // stride[d] then last = storage.count end
      if last < storage.count then last = last + (size - 1) * stride[d] end
    end
  end
  if not empty and last >= storage.count then
    bad(self, "a tensor of shape [%s] with strides [%s] from element %d reaches past its storage '%s' of %d elements",
      table.concat(shape, ", "), table.concat(stride, ", "), offset, storage.key, storage.count)
  end
  if empty then return core.empty(shape, { dtype = storage.dtype }) end
  local t = core.as_strided(base, shape, stride, offset):detach()
  if args[5] == true then t.requires_grad = true end
  return t
end

local function rebuild_parameter(self, args)
  if not core.is_tensor(args[1]) then bad(self, "a parameter is built from %s", named(args[1])) end
  return core.parameter(args[1], args[2] ~= false)
end

-- Calls that a file may make: the name of the function, the least number of arguments.
local calls = {
  ["torch._utils._rebuild_tensor_v2"] = { 4, rebuild_tensor },
  ["torch._utils._rebuild_tensor"] = { 4, rebuild_tensor },
  ["torch._utils._rebuild_parameter"] = { 1, rebuild_parameter },
  ["collections.OrderedDict"] = { 0, function(self, args)
    local result = ordered.new()
    if args.n > 0 then
      if type(args[1]) ~= "table" then bad(self, "an OrderedDict is made of %s", named(args[1])) end
      for _, pair in ipairs(args[1]) do
        if type(pair) ~= "table" or pair[1] == nil or pair[1] == none or type(pair[1]) == "table" then
          bad(self, "an OrderedDict is made of what is no list of pairs")
        end
        result[pair[1]] = plain(pair[2])
      end
    end
    return result
  end },
  ["torch.Size"] = { 1, function(self, args) return core.Size(sizes_of(self, args[1], "size")) end },
  ["torch.device"] = { 1, function(self, args)
    if type(args[1]) ~= "string" or (args.n > 1 and math.type(args[2]) ~= "integer") then
      bad(self, "a device is made of %s", named(args[1]))
    end
    local ok, device = pcall(core.device, args[1], args[2])
    if not ok then
      core.raise(OWNER, "%s: a value is the device '%s', which does not exist here", self.name, args[1])
    end
    return device
  end },
}

local hints = {
  ["torch._utils._rebuild_sparse_tensor"] = "it holds a sparse tensor; save x:to_dense()",
  ["torch._utils._rebuild_qtensor"] = "it holds a quantized tensor; save x.dequantize()",
  ["torch.storage.UntypedStorage"] = "it holds a tensor of a dtype that does not exist here, or a bare storage",
  ["numpy.core.multiarray.scalar"] = "it holds a NumPy number; save float(x) or int(x)",
  ["numpy._core.multiarray.scalar"] = "it holds a NumPy number; save float(x) or int(x)",
  ["numpy.core.multiarray._reconstruct"] = "it holds a NumPy array; save torch.from_numpy(x)",
  ["numpy._core.multiarray._reconstruct"] = "it holds a NumPy array; save torch.from_numpy(x)",
}

local function refuse_global(self, name)
  local remedy = hints[name]
    or "if it holds a whole model, save its numbers in Python instead: torch.save(model.state_dict(), path)"
  core.raise(OWNER, "%s: Weights only load failed: Unsupported global: GLOBAL %s was not an allowed global by default. "
    .. "Nothing in a file is ever executed; only tensors and plain values are read. %s", self.name, name, remedy)
end

local function global(self, module, name)
  if module == "__builtin__" then module = "builtins" end
  local full = module .. "." .. name
  if module == "torch" then
    if storages[name] then return setmetatable({ name = full, dtype = core[storages[name]] }, Global) end
    local dtype = core[name]
    if name:match("^%l+%d*$") and type(dtype) == "userdata" and pcall(function() return dtype.itemsize end)
      and not core.is_tensor(dtype) then
      return dtype
    end
  end
  if not calls[full] then refuse_global(self, full) end
  return setmetatable({ name = full, call = calls[full] }, Global)
end

local function persistent(self, id)
  if not is(id, Tuple) or id.n ~= 5 or id[1] ~= "storage" then bad(self, "it refers to %s outside of it", named(id)) end
  local kind, key, location, count = id[2], id[3], id[4], id[5]
  if not is(kind, Global) or not kind.dtype then refuse_global(self, named(kind)) end
  if type(key) ~= "string" or type(location) ~= "string" or math.type(count) ~= "integer" or count < 0 then
    bad(self, "a storage is described by %s, %s, %s", named(key), named(location), named(count))
  end
  return setmetatable({ dtype = kind.dtype, key = key, count = count }, Storage)
end

-- The machine ---------------------------------------------------------------------------------------------------------

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

-- Makes `list` a tuple of n values.
local function as_tuple(self, list, n)
  local depth = 0
  for i = 1, n do
    if is(list[i], Tuple) and list[i].depth > depth then depth = list[i].depth end
  end
  if depth == DEPTH then
    core.raise(OWNER, "%s: tuples are nested too deeply: at most %d lie in one another", self.name, DEPTH)
  end
  list.n, list.depth = n, depth + 1
  return setmetatable(list, Tuple)
end

-- The values above the last mark, as a tuple.
local function pop_mark(self)
  local at = self.top
  while at > 0 and self.stack[at] ~= MARK do at = at - 1 end
  if at == 0 then bad(self, "its program refers to a mark that was not set") end
  local list, n = {}, self.top - at
  for i = 1, n do
    list[i] = self.stack[at + i]
    self.stack[at + i] = nil
  end
  self.stack[at], self.top = nil, at - 1
  return as_tuple(self, list, n)
end

local function tuple(self, n)
  local list = {}
  for i = n, 1, -1 do list[i] = pop(self) end
  push(self, as_tuple(self, list, n))
end

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

local function remember(self, i) self.memo[i] = peek(self) end
local function recall(self, i)
  local v = self.memo[i]
  if v == nil then bad(self, "its program recalls what it did not remember") end
  push(self, v)
end

local function dictionary(self, v)
  if type(v) ~= "table" or not self.dictionaries[v] then bad(self, "its program sets an entry of %s", named(v)) end
  return v
end

local function set(self, to, key, value)
  local kind = type(key)
  if (kind ~= "string" and kind ~= "number" and kind ~= "boolean") or key ~= key then
    core.raise(OWNER, "%s: a dictionary has %s as key; only strings, numbers and booleans are read", self.name,
      named(key))
  end
  to[key] = plain(value)
end

local function append(self, to, value)
  if type(to) ~= "table" or not self.lists[to] then bad(self, "its program appends to %s", named(to)) end
  to[#to + 1] = plain(value)
end

local function new_dictionary(self)
  local d = ordered.new()
  self.dictionaries[d] = true
  return d
end

local function reduce(self)
  local args, f = pop(self), pop(self)
  if not is(f, Global) or not f.call then
    if is(f, Global) then refuse_global(self, f.name) end
    bad(self, "its program calls %s", named(f))
  end
  if not is(args, Tuple) or args.n < f.call[1] then bad(self, "it calls %s without its arguments", f.name) end
  local result = f.call[2](self, args)
  if f.name == "collections.OrderedDict" then self.dictionaries[result] = true end
  push(self, result)
end

local function integer(self, length)
  local s = text(self, length)
  if #s == 0 then return 0 end
  if #s > 8 then
    local sign = s:byte(8) >= 128 and "\255" or "\0"
    if s:sub(9):find("[^" .. sign .. "]") then
      core.raise(OWNER, "%s holds an integer that does not fit 64 bits", self.name)
    end
    s = s:sub(1, 8)
  end
  return (string.unpack("<i" .. #s, s))
end

local operations = {
  ["\x80"] = function(self)
    local version = unpack(self, "B")
    if version > 5 then bad(self, "its pickle has version %d; up to 5 are known", version) end
  end,
  ["\x95"] = function(self) unpack(self, "<i8") end, -- a frame: only a hint
  ["("] = function(self) push(self, MARK) end,
  ["0"] = function(self) pop(self) end,
  ["2"] = function(self) push(self, peek(self)) end,
  ["N"] = function(self) push(self, none) end,
  ["\x88"] = function(self) push(self, true) end,
  ["\x89"] = function(self) push(self, false) end,
  ["J"] = function(self) push(self, unpack(self, "<i4")) end,
  ["K"] = function(self) push(self, unpack(self, "B")) end,
  ["M"] = function(self) push(self, unpack(self, "<I2")) end,
  ["\x8a"] = function(self) push(self, integer(self, unpack(self, "B"))) end,
  ["\x8b"] = function(self) push(self, integer(self, unpack(self, "<i4"))) end,
  ["G"] = function(self) push(self, unpack(self, ">d")) end,
  ["X"] = function(self) push(self, text(self, unpack(self, "<I4"))) end,
  ["\x8c"] = function(self) push(self, text(self, unpack(self, "B"))) end,
  ["\x8d"] = function(self) push(self, text(self, unpack(self, "<i8"))) end,
  ["U"] = function(self) push(self, text(self, unpack(self, "B"))) end,
  ["T"] = function(self) push(self, text(self, unpack(self, "<i4"))) end,
  ["C"] = function(self) push(self, text(self, unpack(self, "B"))) end,
  ["B"] = function(self) push(self, text(self, unpack(self, "<I4"))) end,
  [")"] = function(self) tuple(self, 0) end,
  ["\x85"] = function(self) tuple(self, 1) end,
  ["\x86"] = function(self) tuple(self, 2) end,
  ["\x87"] = function(self) tuple(self, 3) end,
  ["t"] = function(self) push(self, pop_mark(self)) end,
  ["]"] = function(self)
    local list = {}
    self.lists[list] = true
    push(self, list)
  end,
  ["a"] = function(self)
    local value = pop(self)
    append(self, peek(self), value)
  end,
  ["e"] = function(self)
    local values = pop_mark(self)
    local to = peek(self)
    for i = 1, values.n do append(self, to, values[i]) end
  end,
  ["}"] = function(self) push(self, new_dictionary(self)) end,
  ["s"] = function(self)
    local value, key = pop(self), pop(self)
    set(self, dictionary(self, peek(self)), key, value)
  end,
  ["u"] = function(self)
    local values = pop_mark(self)
    local to = dictionary(self, peek(self))
    if values.n % 2 ~= 0 then bad(self, "its program sets a key without a value") end
    for i = 1, values.n, 2 do set(self, to, values[i], values[i + 1]) end
  end,
  ["q"] = function(self) remember(self, unpack(self, "B")) end,
  ["r"] = function(self) remember(self, unpack(self, "<I4")) end,
  ["\x94"] = function(self)
    self.memoized = self.memoized + 1
    remember(self, self.memoized - 1)
  end,
  ["h"] = function(self) recall(self, unpack(self, "B")) end,
  ["j"] = function(self) recall(self, unpack(self, "<I4")) end,
  ["c"] = function(self)
    local module = line(self)
    push(self, global(self, module, line(self)))
  end,
  ["\x93"] = function(self)
    local name, module = pop(self), pop(self)
    if type(name) ~= "string" or type(module) ~= "string" then bad(self, "it names %s", named(name)) end
    push(self, global(self, module, name))
  end,
  ["Q"] = function(self) push(self, persistent(self, pop(self))) end,
  ["R"] = reduce,
  -- The attributes of an OrderedDict (a state_dict's _metadata) are not part of what is read.
  ["b"] = function(self)
    pop(self)
    dictionary(self, peek(self))
  end,
}

local function run(self)
  while true do
    local code = self.code:sub(self.at, self.at)
    self.at = self.at + 1
    if code == "." then break end
    local operation = operations[code]
    if operation == nil then
      if code == "" then bad(self, "its program has no end") end
      core.raise(OWNER, "%s: Weights only load failed: Unsupported operand %d: only tensors and plain values are read; "
        .. "save a state_dict in Python: torch.save(model.state_dict(), path)", self.name, code:byte())
    end
    operation(self)
  end
  local result = plain(pop(self))
  if is(result, Global) or is(result, Storage) then
    core.raise(OWNER, "%s holds %s, which is no value by itself", self.name, result.name or "a bare storage")
  end
  return result
end

-- Files ---------------------------------------------------------------------------------------------------------------

local function check_start(s, name)
  if s:sub(1, 2) ~= "PK" then
    core.raise(OWNER, "%s is no zip archive, which torch.save writes since PyTorch 1.6; if it is older, load and save "
      .. "it again in Python", name)
  end
end

local function load(s, name)
  check_start(s, name)
  local archive = zip.open(s, OWNER, name)
  local self = { name = name, archive = archive, storages = {}, stack = {}, top = 0, memo = {}, memoized = 0, at = 1,
    dictionaries = setmetatable({}, { __mode = "k" }), lists = setmetatable({}, { __mode = "k" }), order = "<" }
  for _, entry in ipairs(archive.list) do
    entry.unchecked = entry.crc == 0 -- torch.save can be told to write no checksums
    local prefix = entry.name:match("^(.*)data%.pkl$")
    if prefix and (prefix == "" or prefix:sub(-1) == "/") and self.prefix == nil then
      self.prefix, self.code = prefix, zip.read(archive, entry)
    end
  end
  if self.prefix == nil then bad(self, "it has no data.pkl") end
  if archive.by_name[self.prefix .. "constants.pkl"] then
    core.raise(OWNER, "%s is a TorchScript archive, which holds a program; save the model's state_dict instead", name)
  end
  local order = archive.by_name[self.prefix .. "byteorder"]
  if order and zip.read(archive, order) == "big" then self.order = ">" end
  return run(self)
end

--- What is in a string that holds a whole .pt file. `name` is what messages call it.
function pickle.load(s, name)
  if type(s) ~= "string" then core.raise(OWNER, "expected a string, but got %s", arguments.type_name(s)) end
  name = name or "the string"
  return bytes.naming(OWNER, name, load, s, name)
end

--- What torch.save wrote: tables of tensors and plain values; a dictionary keeps its order, None is torch.none, lists
-- and tuples are arrays. Integer keys are as in the file, from 0 in an optimiser's state.
function pickle.load_file(path)
  check_start(bytes.head(path, 2, OWNER), path)
  return pickle.load(zip.read_file(path, OWNER), path)
end

return pickle
