--- PyTorch's .pt and .pth files: the tensors, tables and plain values that torch.save wrote.
--
--     state = torch.load("model.pth")                      -- name -> tensor, as state_dict() gives it
--     model:load_state_dict(state, {index_base = 0})       -- its names count from 0
--
-- A .pt file is a pickle, a program for a stack machine (unpickle.lua), and the tensors' data: in a zip archive, or one
-- after the other in files from before PyTorch 1.6. Only the few Python names are known that tensors and plain values
-- need; no other code is called, whatever the file says, and the rest is refused by name. Sizes are checked against the
-- file before a tensor is made. Tensors that share memory in the file share it here. Source: torch.serialization.

local core = require "moontorch.core"
local bytes = require "moontorch.utils.bytes"
local zip = require "moontorch.utils.zip"
local unpickle = require "moontorch.utils.unpickle"
local location = require "moontorch.utils.location"
local ordered = require "moontorch.nn.ordered"

local pickle = {}

local Global, Tuple, Storage = unpickle.Global, unpickle.Tuple, {}
local is, bad, named, plain = unpickle.is, unpickle.bad, unpickle.named, unpickle.plain

-- Tensors -------------------------------------------------------------------------------------------------------------

local storages = {
  DoubleStorage = "float64", FloatStorage = "float32", HalfStorage = "float16", BFloat16Storage = "bfloat16",
  LongStorage = "int64", IntStorage = "int32", ShortStorage = "int16", CharStorage = "int8", ByteStorage = "uint8",
  BoolStorage = "bool",
}

-- The elements of a storage as a 1-d tensor where map_location wants it, read once.
local function elements(self, storage)
  local key = storage.key
  local known = self.storages[key]
  if not known then
    local s, at, size = self.find(self, storage)
    local width = storage.dtype.itemsize
    if storage.count > size // width then
      bad(self, "the storage '%s' should hold %d elements of %s, but its data has %d bytes", key, storage.count,
        tostring(storage.dtype), size)
    end
    local t = bytes.tensor(s, storage.dtype, storage.count, at, self.order)
    known = { dtype = storage.dtype, tensor = self.place(t, storage.location) }
    self.storages[key] = known
  end
  if known.dtype ~= storage.dtype then bad(self, "the storage '%s' is used with two dtypes", key) end
  return known.tensor
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

-- Does a tensor reach past `count` elements? Nothing overflows: it stops at the end.
local function reaches_past(count, offset, shape, stride)
  local last = offset
  for d, size in ipairs(shape) do
    if size > 1 then
      if stride[d] > 0 and size - 1 > (count - last) // stride[d] then return true end
      last = last + (size - 1) * stride[d]
    end
  end
  return last >= count
end

local function rebuild_tensor(self, args)
  local storage, offset = args[1], args[2]
  if not is(storage, Storage) then bad(self, "a tensor is built from %s instead of a storage", named(storage)) end
  if math.type(offset) ~= "integer" or offset < 0 then bad(self, "a tensor's offset is %s", named(offset)) end
  local shape, stride = sizes_of(self, args[3], "shape"), sizes_of(self, args[4], "strides")
  if #shape ~= #stride then bad(self, "a tensor has %d sizes and %d strides", #shape, #stride) end
  local needs_grad, dtype = args[5] == true, storage.dtype
  if needs_grad and not dtype.is_floating_point then
    bad(self, "a tensor is %s and cannot require a gradient", tostring(dtype))
  end
  if type(args[7]) == "table" and (args[7].neg or args[7].conj) then
    core.raise(self.owner, "%s: it holds a tensor whose sign is lazy; save x.resolve_neg().resolve_conj()", self.name)
  end
  local empty = false
  for _, size in ipairs(shape) do empty = empty or size == 0 end
  if not empty and reaches_past(storage.length, offset, shape, stride) then
    bad(self, "a tensor of shape [%s] with strides [%s] from element %d reaches past its storage '%s' of %d elements",
      table.concat(shape, ", "), table.concat(stride, ", "), offset, storage.key, storage.length)
  end
  if self.looking then return core.empty(0, { dtype = dtype, device = "cpu" }) end
  local base = elements(self, storage)
  if empty then
    base = core.empty(shape, { dtype = base.dtype, device = base.device })
  else
    base = core.as_strided(base, shape, stride, storage.first + offset):detach()
  end
  if needs_grad then base.requires_grad = true end
  return base
end

local function rebuild_parameter(self, args)
  local t = args[1]
  if not core.is_tensor(t) then bad(self, "a parameter is built from %s", named(t)) end
  local needs_grad = args[2] ~= false
  if needs_grad and not t:is_floating_point() then
    bad(self, "a parameter is %s and cannot require a gradient", tostring(t.dtype))
  end
  return core.parameter(t, needs_grad)
end

-- A tensor with attributes of its own, which are not read: (function, class, arguments, attributes).
local function rebuild_from_type(self, args)
  local f, class, inner = args[1], args[2], args[3]
  if not is(f, Global) or not f.rebuilds or not is(class, Global) or not class.is_tensor_class then
    self.refuse(self, named(is(f, Global) and f.rebuilds and class or f))
  end
  if not is(inner, Tuple) or inner.n < f.call[1] then bad(self, "it calls %s without its arguments", f.name) end
  local t = f.call[2](self, inner)
  if class.name == "torch.nn.parameter.Parameter" and not core.is_parameter(t) then
    t = rebuild_parameter(self, { t, t.requires_grad })
  end
  return t
end

-- NumPy's numbers -----------------------------------------------------------------------------------------------------

-- numpy.dtype objects while the program runs: a code such as "f8", and the order of bytes, which the state brings.
local NumpyType = {}

function NumpyType.build(self, to, state)
  if not is(state, Tuple) or type(state[2]) ~= "string" then bad(self, "a numpy.dtype is made of %s", named(state)) end
  to.order = state[2]
end

local formats = { i1 = "i1", i2 = "i2", i4 = "i4", i8 = "i8", u1 = "I1", u2 = "I2", u4 = "I4", f4 = "f", f8 = "d" }

local function numpy_scalar(self, args)
  local kind, s = args[1], args[2]
  if not is(kind, NumpyType) then bad(self, "a NumPy number is of type %s", named(kind)) end
  local format = formats[kind.code]
  if kind.code ~= "b1" and not format then
    core.raise(self.owner, "%s: it holds a NumPy value of type %s; save float(x), int(x) or str(x)", self.name,
      kind.code)
  end
  local width = format and string.packsize(format) or 1
  if type(s) ~= "string" or #s ~= width then
    bad(self, "a NumPy number of type %s is made of %s", kind.code, named(s))
  end
  if not format then return s ~= "\0" end
  return (string.unpack((kind.order == ">" and ">" or "<") .. format, s))
end

-- Names ---------------------------------------------------------------------------------------------------------------

local function ordered_dict(self, args)
  local result = unpickle.dictionary(self)
  if args.n == 0 then return result end
  if type(args[1]) ~= "table" or is(args[1], Global) then bad(self, "an OrderedDict is made of %s", named(args[1])) end
  for _, pair in ipairs(args[1]) do
    if type(pair) ~= "table" or pair[1] == nil or pair[2] == nil then
      bad(self, "an OrderedDict is made of what is no list of pairs")
    end
    unpickle.put(self, result, pair[1], pair[2])
  end
  return result
end

local function counter(self, args)
  local result = unpickle.dictionary(self)
  if args.n == 0 then return result end
  if not ordered.is(args[1]) then bad(self, "a Counter is made of %s", named(args[1])) end
  for key, value in pairs(args[1]) do unpickle.put(self, result, key, value) end
  return result
end

local function set(self, args)
  local result = unpickle.set(self)
  if args.n == 0 then return result end
  if type(args[1]) ~= "table" then bad(self, "a set is made of %s", named(args[1])) end
  unpickle.add(self, result, args[1])
  return result
end

local function encoded(self, args)
  if type(args[1]) ~= "string" or args[2] ~= "latin1" or not utf8.len(args[1]) then
    bad(self, "bytes are made of %s", named(args[1]))
  end
  return (args[1]:gsub(utf8.charpattern, function(c)
    local code = utf8.codepoint(c)
    if code > 255 then bad(self, "bytes are made of the character %d", code) end
    return string.char(code)
  end))
end

local function bytes_of(self, args)
  if args.n > 0 and type(args[1]) ~= "string" then bad(self, "bytes are made of %s", named(args[1])) end
  return args[1] or ""
end

local function device(self, args)
  if type(args[1]) ~= "string" or (args.n > 1 and math.type(args[2]) ~= "integer") then
    bad(self, "a device is made of %s", named(args[1]))
  end
  local ok, found = pcall(core.device, args[1], args[2])
  if not ok then
    core.raise(self.owner, "%s: a value is the device '%s', which does not exist here", self.name, args[1])
  end
  return found
end

local function numpy_type(self, args)
  if type(args[1]) ~= "string" then bad(self, "a numpy.dtype is made of %s", named(args[1])) end
  return setmetatable({ code = args[1]:gsub("^[<>|=]", ""), order = args[1]:sub(1, 1) }, NumpyType)
end

-- What a file may name: `call`, the least number of arguments and the function; `rebuilds` marks those that make a
-- tensor.
local names = {
  ["torch._utils._rebuild_tensor_v2"] = { call = { 4, rebuild_tensor }, rebuilds = true },
  ["torch._utils._rebuild_tensor"] = { call = { 4, rebuild_tensor }, rebuilds = true },
  ["torch._utils._rebuild_parameter"] = { call = { 1, rebuild_parameter }, rebuilds = true },
  ["torch._utils._rebuild_parameter_with_state"] = { call = { 1, rebuild_parameter }, rebuilds = true },
  ["torch._tensor._rebuild_from_type_v2"] = { call = { 3, rebuild_from_type } },
  ["torch.Tensor"] = { is_tensor_class = true },
  ["torch.nn.parameter.Parameter"] = { is_tensor_class = true },
  ["torch.nn.parameter.Buffer"] = { is_tensor_class = true },
  ["collections.OrderedDict"] = { call = { 0, ordered_dict } },
  ["collections.Counter"] = { call = { 0, counter } },
  ["builtins.set"] = { call = { 0, set } },
  ["builtins.frozenset"] = { call = { 0, set } },
  ["builtins.bytes"] = { call = { 0, bytes_of } },
  ["builtins.bytearray"] = { call = { 0, bytes_of } },
  ["_codecs.encode"] = { call = { 2, encoded } },
  ["torch.Size"] = { call = { 1, function(self, args) return core.Size(sizes_of(self, args[1], "size")) end } },
  ["torch.device"] = { call = { 1, device } },
  ["torch.serialization._get_layout"] = { call = { 1, function(_, args) return args[1] end } },
  ["numpy.dtype"] = { call = { 1, numpy_type } },
  ["numpy._core.multiarray.scalar"] = { call = { 2, numpy_scalar } },
  ["numpy.core.multiarray.scalar"] = { call = { 2, numpy_scalar } },
}
for name, entry in pairs(names) do entry.name = name; setmetatable(entry, Global) end

local hints = {
  ["torch._utils._rebuild_sparse_tensor"] = "It holds a sparse tensor; save x:to_dense()",
  ["torch._utils._rebuild_tensor_v3"] = "It holds a tensor of a dtype that does not exist here (such as uint16 or "
    .. "float8_e4m3fn); save x.to(torch.float32) or x.to(torch.int32)",
  ["torch._utils._rebuild_qtensor"] = "It holds a quantized tensor; save x.dequantize()",
  ["torch._utils._rebuild_meta_tensor_no_storage"] = "It holds a tensor on the meta device, which has no data",
  ["torch.storage.UntypedStorage"] = "It holds a tensor of a dtype that does not exist here, or a bare storage",
  ["numpy.core.multiarray._reconstruct"] = "It holds a NumPy array; save torch.from_numpy(x)",
  ["numpy._core.multiarray._reconstruct"] = "It holds a NumPy array; save torch.from_numpy(x)",
  ["collections.defaultdict"] = "It holds a defaultdict; save dict(x)",
  ["argparse.Namespace"] = "It holds a Namespace; save vars(x)",
  ["pathlib.PosixPath"] = "It holds a path; save str(x)",
  ["builtins.complex"] = "It holds a complex number; save [x.real, x.imag]",
}
hints["pathlib._local.PosixPath"] = hints["pathlib.PosixPath"]

local function refuse(self, name)
  local remedy = hints[name]
    or "If it holds a whole model, save its numbers in Python instead: torch.save(model.state_dict(), path)"
  core.raise(self.owner, "%s: Weights only load failed: Unsupported global: GLOBAL %s was not an allowed global by "
    .. "default. Nothing in a file is ever executed; only tensors and plain values are read. %s", self.name, name,
    remedy)
end

local function global(self, module, name)
  if module == "__builtin__" then module = "builtins" end
  local full = module .. "." .. name
  if module == "torch" then
    if storages[name] then return setmetatable({ name = full, dtype = core[storages[name]] }, Global) end
    local dtype = name:match("^%l+%d*$") and core[name]
    if core.is_dtype(dtype) then return dtype end
  end
  return names[full] or refuse(self, full)
end

-- A storage: ("storage", type, key, location, count), and in old files a part of another: (key, first, count).
local function persistent(self, id)
  if not is(id, Tuple) or id.n < 5 or id.n > 6 or id[1] ~= "storage" then
    if is(id, Tuple) and id[1] == "module" then refuse(self, named(id[2])) end
    bad(self, "it refers to %s outside of it", named(id))
  end
  local kind, key, place, count, part = id[2], id[3], id[4], id[5], id[6]
  if not is(kind, Global) or not kind.dtype then refuse(self, named(kind)) end
  if type(key) ~= "string" or type(place) ~= "string" or math.type(count) ~= "integer" or count < 0 then
    bad(self, "a storage is described by %s, %s, %s", named(key), named(place), named(count))
  end
  local storage = setmetatable({ dtype = kind.dtype, key = key, count = count, location = place, first = 0,
    length = count }, Storage)
  if is(part, Tuple) then
    local first, length = part[2], part[3]
    if math.type(first) ~= "integer" or math.type(length) ~= "integer" or first < 0 or length < 0 or first > count
      or length > count - first then
      bad(self, "a part of the storage '%s' lies at %s", key, named(first))
    end
    storage.first, storage.length = first, length
  end
  if self.looking then self.looking[key] = storage end
  return storage
end

-- Files ---------------------------------------------------------------------------------------------------------------

local function finished(self, v)
  v = plain(v)
  if is(v, Global) or is(v, Storage) or is(v, NumpyType) then
    core.raise(self.owner, "%s holds %s, which is no value by itself", self.name, v.name or "a bare storage")
  end
  return v
end

local function find_entry(self, storage)
  local entry = self.archive.by_name[self.prefix .. "data/" .. storage.key]
  if not entry then bad(self, "it has no data for the storage '%s'", storage.key) end
  return zip.find(self.archive, entry)
end

local function read_zip(self)
  local archive = zip.read_archive(self.source)
  self.archive, self.find = archive, find_entry
  for _, entry in ipairs(archive.list) do
    entry.unchecked = entry.crc == 0 -- torch.save can be told to write no checksums
    local prefix = entry.name:match("^(.*)data%.pkl$")
    if prefix and (prefix == "" or prefix:sub(-1) == "/") and self.prefix == nil then
      self.prefix, self.code = prefix, zip.read(archive, entry)
    end
  end
  if self.prefix == nil then
    local arrays = archive.list[1] and archive.list[1].name:find("%.npy$")
    bad(self, arrays and "it has no data.pkl, but NumPy's arrays: torch.utils.npy.load(path) reads them"
      or "it has no data.pkl")
  end
  if archive.by_name[self.prefix .. "constants.pkl"] then
    core.raise(self.owner, "%s is a TorchScript archive, which holds a program; save the model's state_dict instead",
      self.name)
  end
  local order = archive.by_name[self.prefix .. "byteorder"]
  if order and zip.read(archive, order) == "big" then self.order = ">" end
  return finished(self, unpickle.run(self))
end

-- The number that files from before PyTorch 1.6 start with, as protocols from 2 spell it, and as 0 and 1 do.
local MAGIC, SPELLED_MAGIC = "\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "L119547037146038801333356L\n."
local LEGACY_VERSION = 1001

-- Where the first pickle of such a file ends, or nil.
local function after_magic(s)
  if s:sub(1, #SPELLED_MAGIC) == SPELLED_MAGIC then return #SPELLED_MAGIC + 1 end
  if s:byte(1) ~= 0x80 then return nil end
  local at = s:byte(3) == 0x95 and 12 or 3
  if s:sub(at, at + #MAGIC - 1) == MAGIC then return at + #MAGIC end
end

local function find_data(self, storage)
  local place = self.data[storage.key]
  if not place then bad(self, "it has no data for the storage '%s'", storage.key) end
  return self.code, place[1], place[2]
end

-- Where the data of each storage lies: the list of their keys, then for each the number of its elements and these.
local function locate_data(self, known)
  local keys = unpickle.run(self)
  if type(keys) ~= "table" or is(keys, Tuple) then bad(self, "its list of storages is %s", named(keys)) end
  local data = {}
  for _, key in ipairs(keys) do
    local storage = known[key]
    if not storage or data[key] then bad(self, "its list of storages has '%s'", tostring(key)) end
    if self.at + 7 > #self.code then bad(self, "it is truncated: the data of the storage '%s' is missing", key) end
    local count = string.unpack("<i8", self.code, self.at)
    local width, left = storage.dtype.itemsize, #self.code - self.at - 7
    if count < 0 or count > left // width then
      bad(self, "it is truncated: the storage '%s' should hold %d elements of %s, but %d bytes follow", key, count,
        tostring(storage.dtype), left)
    end
    data[key] = { self.at + 7, count * width }
    self.at = self.at + 8 + count * width
  end
  return data
end

local function check_version(self)
  local version = unpickle.run(self)
  if version ~= LEGACY_VERSION then bad(self, "its version is %s; %d is known", named(version), LEGACY_VERSION) end
end

-- The data stand behind the program, so it runs twice: to find out which storages there are, then to make the tensors.
local function read_legacy(self, head, at)
  self.code, self.at = head, at
  check_version(self)
  self.code, self.looking, self.find = bytes.read(self.source), {}, find_data
  unpickle.run(self) -- the machine that wrote it; data are little-endian whatever it was
  local start = self.at
  finished(self, unpickle.run(self))
  self.data = locate_data(self, self.looking)
  self.looking = nil
  self.at = start
  return finished(self, unpickle.run(self))
end

-- So many bytes tell whether a file is one, and of an old one its version.
local HEAD = 64

local function read(source, place)
  local self = { source = source, name = source.name, owner = source.owner, at = 1, order = "<", storages = {},
    global = global, persistent = persistent, refuse = refuse, place = place }
  local head = bytes.head(source, HEAD)
  local at = after_magic(head)
  if at then return read_legacy(self, head, at) end
  if head:sub(1, 2) ~= "PK" then
    core.raise(self.owner, "%s is no file of torch.save: it is neither a zip archive nor does it start as files from "
      .. "before PyTorch 1.6 do", self.name)
  end
  return read_zip(self)
end

--- Does a source of bytes (see utils/bytes) start as the files do that this reads?
function pickle.recognizes(source)
  local head = bytes.head(source, HEAD)
  return head:sub(1, 4) == "PK\3\4" or after_magic(head) ~= nil
end

--- What is in a source. `place`, a function(tensor, saved device), returns where each storage shall be.
function pickle.read(source, place) return bytes.naming(source, read, place) end

-- pickle.read with the keywords of load and load_file.
local function read_with(source, options)
  local map = location.check(options and options.map_location, source.owner)
  return pickle.read(source, function(t, saved)
    return map == nil and t or location.placed(t, map, saved, source.owner)
  end)
end

--- What is in a string that holds a whole .pt file. `name` is what messages call it. Keyword: map_location as for
-- torch.load (all tensors come to the cpu unless it is given).
function pickle.load(s, name, options)
  return read_with(bytes.string(s, "pickle.load_file", name), options)
end

--- What torch.save wrote, in a file given by its path or open: tables of tensors and plain values; a dictionary keeps
-- its order, None is torch.none, lists and tuples are arrays, sets are tables with their values as keys, NumPy's
-- numbers are numbers. Integer keys are as in the file, from 0 in an optimiser's state. Keyword: map_location.
function pickle.load_file(path, options)
  return read_with(bytes.file(path, "pickle.load_file"), options)
end

return pickle
