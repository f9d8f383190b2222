--- NumPy's files: one array in a .npy, several by name in a .npz.
--
--     x = torch.utils.npy.load("x.npy")            -- a tensor
--     t = torch.utils.npy.load("several.npz")      -- a table: name -> tensor
--     torch.utils.npy.save("x.npy", x)
--     torch.utils.npy.savez("several.npz", {x = x, y = y})
--
-- Arrays in Fortran order are a transposed view, big-endian ones are converted. A file is never trusted: header and
-- length must agree to the byte before a tensor is made; arrays of Python objects are refused. Source:
-- numpy.lib.format.

local core = require "moontorch.core"
local bytes = require "moontorch.utils.bytes"
local zip = require "moontorch.utils.zip"
local ordered = require "moontorch.nn.ordered"
local arguments = require "moontorch.arguments"

local npy = {}

-- NumPy's code -> dtype.
local dtypes = {
  b1 = "bool", i1 = "int8", u1 = "uint8", i2 = "int16", i4 = "int32", i8 = "int64", f2 = "float16", f4 = "float32",
  f8 = "float64",
}
local codes = {}
for code, name in pairs(dtypes) do codes[name] = code end

-- What NumPy has and a tensor cannot hold.
local others = {
  u2 = "uint16", u4 = "uint32", u8 = "uint64", c8 = "complex64", c16 = "complex128", f16 = "longdouble", O = "object",
  U = "str", S = "bytes", M8 = "datetime64", m8 = "timedelta64", V = "void",
}

local HEADER_LIMIT = 1 << 20
local MOST_DIMS = 16

local function bad(name, format, ...)
  core.raise("npy.load", "%s is no valid .npy file: " .. format, name, ...)
end

local function refuse_dtype(name, descr)
  local what = others[descr:match("^[<>|=]?(.+)$") or ""] or others[descr:match("^[<>|=]?(%a)") or ""]
  local remedy = what == "object" and "it holds Python objects, which would have to be executed"
    or "convert it in Python first, for instance x.astype('int64') or x.astype('float32')"
  core.raise("npy.load", "%s: can't convert an array of type '%s'%s to a tensor; the supported types are: float64, "
    .. "float32, float16, int64, int32, int16, int8, uint8, and bool. %s", name, descr, what and " (" .. what .. ")"
    or "", remedy)
end

-- The header's Python dictionary: three entries in any order, nothing else.
local function read_header(name, text)
  local at = 1
  local function skip(pattern)
    local value, following = text:match("^%s*(" .. pattern .. ")()", at)
    if value then at = following end
    return value
  end
  local function need(pattern)
    return skip(pattern) or bad(name, "its header cannot be read at byte %d: %q", at, text:sub(at, at + 20))
  end
  local fields = {}
  need("{")
  while not skip("}") do
    local key = need("'[%a_]+'"):sub(2, -2)
    need(":")
    if fields[key] ~= nil then bad(name, "its header gives '%s' twice", key) end
    if key == "descr" then
      if text:match("^%s*%[", at) then
        core.raise("npy.load", "%s: it holds records (a structured dtype), which no tensor can hold; save its fields "
          .. "one by one", name)
      end
      fields.descr = need("'[^']*'"):sub(2, -2)
    elseif key == "fortran_order" then
      fields.fortran_order = need("%a+")
    elseif key == "shape" then
      need("%(")
      local shape = {}
      while not skip("%)") do
        local size = math.tointeger(tonumber(need("%d+")))
        if size == nil then bad(name, "a size of its shape is too large") end
        shape[#shape + 1] = size
        skip("L")
        if not skip(",") then
          need("%)")
          break
        end
      end
      fields.shape = shape
    else
      bad(name, "its header has an unknown entry '%s'", key)
    end
    if not skip(",") then
      need("}")
      break
    end
  end
  if text:find("%S", at) then bad(name, "something follows its header's dictionary") end
  return fields
end

local function check_fields(name, fields)
  for _, key in ipairs { "descr", "fortran_order", "shape" } do
    if fields[key] == nil then bad(name, "its header has no '%s'", key) end
  end
  if fields.fortran_order ~= "True" and fields.fortran_order ~= "False" then
    bad(name, "fortran_order is %s, which is neither True nor False", fields.fortran_order)
  end
  if #fields.shape > MOST_DIMS then
    core.raise("npy.load", "%s has %d dimensions; at most %d are possible", name, #fields.shape, MOST_DIMS)
  end
  local order, code = fields.descr:match("^([<>|=])(%a%d+)$")
  if not order or not dtypes[code] then refuse_dtype(name, fields.descr) end
  return core[dtypes[code]], (order == ">") and ">" or "<"
end

-- Where the header stands: its first byte and its length. `s` may be the beginning of a file of `size` bytes.
local function find_header(s, size, name)
  if s:sub(1, 6) ~= "\147NUMPY" then bad(name, "it does not start with \\x93NUMPY") end
  if #s < 12 then bad(name, "it is truncated: %d bytes", #s) end
  local major = s:byte(7)
  if major < 1 or major > 3 then bad(name, "its version is %d.%d; 1.0, 2.0 and 3.0 are known", s:byte(7, 8)) end
  local length, first = string.unpack(major == 1 and "<I2" or "<I4", s, 9)
  if length > size - first + 1 or length > HEADER_LIMIT then
    bad(name, "it is truncated: the header has %d bytes, but only %d follow", length, size - first + 1)
  end
  return first, length
end

-- What the header at the beginning of `s` says of a file of `size` bytes: shape, dtype, byte order, whether it is in
-- Fortran order, where its data starts (from 0), how many elements there are.
local function read_layout(s, size, name)
  local first, length = find_header(s, size, name)
  local fields = read_header(name, s:sub(first, first + length - 1))
  local dtype, order = check_fields(name, fields)
  local start, width, shape = first - 1 + length, dtype.itemsize, fields.shape
  local room = size - start
  local count = bytes.count(shape, room // width)
  if not count or count * width ~= room then
    bad(name, "the header promises [%s] elements of %s, but %d bytes follow", table.concat(shape, ", "),
      tostring(dtype), room)
  end
  return { shape = shape, dtype = dtype, order = order, fortran = fields.fortran_order == "True", start = start,
    count = count }
end

local function parse(s, name)
  local layout = read_layout(s, #s, name)
  local shape = layout.shape
  local t = bytes.tensor(s, layout.dtype, layout.count, layout.start, layout.order)
  if not layout.fortran or #shape < 2 then return t:reshape(shape) end
  local reversed, dims = {}, {}
  for d = #shape, 1, -1 do
    reversed[#reversed + 1], dims[#dims + 1] = shape[d], d
  end
  return t:reshape(reversed):permute(dims)
end

local function parse_whole(source) return parse(bytes.read(source), source.name) end

--- The tensor in a string that holds a whole .npy file. `name` is what messages call it.
function npy.parse(s, name)
  return bytes.naming(bytes.string(s, "npy.load", name), parse_whole)
end

local function parse_archive(source)
  local archive, name = zip.read_archive(source), source.name
  local result = ordered.new()
  for _, entry in ipairs(archive.list) do
    local key = entry.name:match("^(.*)%.npy$")
    if key == nil then core.raise("npy.load", "%s: the entry '%s' is no .npy file", name, entry.name) end
    result[key] = parse(zip.read(archive, entry), name .. ": " .. entry.name)
  end
  return result
end

--- The tensors in a string that holds a whole .npz file: a table by name, in the file's order.
function npy.parse_npz(s, name)
  return bytes.naming(bytes.string(s, "npy.load", name), parse_archive)
end

local function parse_any(source)
  local head, size = bytes.head(source, 12)
  local start = head:sub(1, 4)
  if start == "PK\3\4" or start == "PK\5\6" then return parse_archive(source) end
  local first, length = find_header(head, size, source.name)
  read_layout(bytes.head(source, first + length - 1), size, source.name)
  return parse_whole(source)
end

--- The tensor in a .npy file, or a table of those in a .npz file (told by its first bytes, not by its name). The file
-- is given by its path or open.
function npy.load(path)
  return bytes.naming(bytes.file(path, "npy.load"), parse_any)
end

local function header_of(tensor, owner, name)
  local code = codes[tensor.dtype.name]
  if not code then
    core.raise(owner, "Got unsupported ScalarType %s%s: NumPy has no such type; save x:float()", tensor.dtype.type_name,
      name and " for '" .. name .. "'" or "")
  end
  local order = tensor.dtype.itemsize == 1 and "|" or "<"
  local shape = table.concat(tensor.shape, ", ")
  if tensor.ndim == 1 then shape = shape .. "," end
  local text = ("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }"):format(order, code, shape)
  local length = -(10 + #text + 1) % 64 + #text + 1
  return "\147NUMPY\1\0" .. string.pack("<I2", length) .. text .. (" "):rep(length - #text - 1) .. "\n"
end

local function check_tensor(v, owner, what)
  if not core.is_tensor(v) then core.raise(owner, "%s must be Tensor, not %s", what, arguments.type_name(v)) end
end

--- Writes one tensor as a .npy file, in C order.
function npy.save(path, tensor)
  check_tensor(tensor, "npy.save", "argument 'tensor' (position 2)")
  bytes.write(path, { header_of(tensor, "npy.save"), bytes.of(tensor) }, "npy.save")
end

--- Writes a table of tensors by name as a .npz file, stored without packing.
function npy.savez(path, tensors)
  if type(tensors) ~= "table" then
    core.raise("npy.savez", "argument 'tensors' (position 2) must be a table, not %s", arguments.type_name(tensors))
  end
  local names = {}
  for key, tensor in pairs(tensors) do
    if type(key) ~= "string" then core.raise("npy.savez", "expected names as keys, but got %s", tostring(key)) end
    check_tensor(tensor, "npy.savez", "'" .. key .. "'")
    names[#names + 1] = key
  end
  table.sort(names)
  local entries = {}
  for i, key in ipairs(names) do
    local data = bytes.of(tensors[key])
    entries[i] = { key .. ".npy", { header_of(tensors[key], "npy.savez", key),
      type(data) == "string" and data or data:tobytes() } }
  end
  bytes.write(path, zip.pack(entries), "npy.savez")
end

return npy
