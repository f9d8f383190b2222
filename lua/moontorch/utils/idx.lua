--- Reader of IDX files, the format of MNIST: big-endian numbers in an n-dimensional array, gzipped or not.
--
--     images = torch.utils.idx.read("train-images-idx3-ubyte.gz")   -- uint8, [60000, 28, 28]
--
-- Layout: two zero bytes, a type byte, the number of dims, one 32-bit size a dim, the data (source: LeCun, The MNIST
-- database). A file is never trusted: header and length must agree to the byte before a tensor is made.

local core = require "moontorch.core"
local bytes_of = require "moontorch.utils.bytes"

local idx = {}

-- Type byte -> dtype, bytes of an element.
local types = {
  [0x08] = { "uint8", 1 }, [0x09] = { "int8", 1 }, [0x0B] = { "int16", 2 }, [0x0C] = { "int32", 4 },
  [0x0D] = { "float32", 4 }, [0x0E] = { "float64", 8 },
}

-- The most bytes that a file may unpack to, unless the caller says otherwise.
local LIMIT = 4 << 30

-- A header is no longer: 255 dims.
local LONGEST_HEADER = 4 + 4 * 255
local MOST_DIMS = 16

local little_endian = string.pack("=I2", 1) == "\1\0"

-- Big-endian elements of `width` bytes in this machine's order.
local function host_order(bytes, width)
  if width == 1 or not little_endian then return bytes end
  local pattern, replacement = {}, {}
  for i = 1, width do
    pattern[i] = "(.)"
    replacement[i] = "%" .. (width + 1 - i)
  end
  return (bytes:gsub(table.concat(pattern), table.concat(replacement)))
end

-- The parts of an IDX header: its type, bytes of an element, sizes, where the data starts, the length that the whole
-- file should have. `length` is the one it has, nil when that is not known yet; `bytes` may be its beginning. Messages
-- start with `name`.
local function read_header(bytes, name, length)
  if #bytes < 4 then
    core.raise("idx.read", "%s: the file ends inside its header: %d bytes, at least 4 are needed", name, #bytes)
  end
  local zero, kind, dims = string.unpack(">I2BB", bytes)
  local entry = types[kind]
  if zero ~= 0 or entry == nil then
    core.raise("idx.read", "%s is no IDX file: it starts with %02x %02x %02x %02x; expected 00 00, a type (08, 09, 0b "
      .. "to 0e), and the number of dims", name, bytes:byte(1, 4))
  end
  if dims == 0 then core.raise("idx.read", "%s: the header says that the array has no dims", name) end
  local start = 4 + 4 * dims
  if #bytes < start then
    core.raise("idx.read", "%s: the file ends inside its header: %d bytes, %d are needed for %d dims", name, #bytes,
      start, dims)
  end
  if dims > MOST_DIMS then
    core.raise("idx.read", "%s has %d dimensions; at most %d are possible", name, dims, MOST_DIMS)
  end
  local sizes, expected, empty = {}, entry[2], false
  for d = 1, dims do
    sizes[d] = string.unpack(">I4", bytes, 1 + 4 * d)
    empty = empty or sizes[d] == 0
  end
  for d = 1, empty and 0 or dims do
    expected = expected * sizes[d]
    -- Sizes are below 2^32: stopping at the file's length keeps the product from overflowing.
    if expected > (length or LIMIT) then
      if not length then return entry[1], entry[2], sizes, start, math.maxinteger end
      core.raise("idx.read", "%s is truncated: the header promises [%s] elements of torch.%s, but only %d bytes of "
        .. "data follow", name, table.concat(sizes, ", "), entry[1], length - start)
    end
  end
  if empty then expected = 0 end
  if length and length - start ~= expected then
    core.raise("idx.read", "%s is %s: the header promises [%s] elements of torch.%s, %d bytes of data, but %d follow",
      name, length - start < expected and "truncated" or "too long", table.concat(sizes, ", "), entry[1], expected,
      length - start)
  end
  return entry[1], entry[2], sizes, start, start + expected
end

local function parse(bytes, name)
  local dtype, width, sizes, start = read_header(bytes, name, #bytes)
  if core[dtype] == nil then
    core.raise("idx.read", "%s holds torch.%s, which this build does not have", name, dtype)
  end
  local count = (#bytes - start) // width
  if count == 0 then return core.empty(sizes, { dtype = core[dtype] }) end
  if width > 1 then
    bytes, start = host_order(bytes:sub(start + 1), width), 0
  end
  return core.frombuffer(bytes, { dtype = core[dtype], count = count, offset = start }):reshape(sizes)
end

--- The tensor in a string that holds a whole, unpacked IDX file. `name` is what messages call it.
function idx.parse(bytes, name)
  if type(bytes) ~= "string" then core.raise("idx.parse", "expected a string, but got %s", type(bytes)) end
  name = name or "the string"
  return bytes_of.naming("idx.read", name, parse, bytes, name)
end

-- What a gzipped file unpacks to, at most `limit` bytes, and no more than the header inside of it promises.
local function unpack_gzip(path, packed, limit)
  local function inflate(most, cut)
    local good, s, reason = pcall(core.inflate, packed, most, cut)
    if not good then s, reason = nil, s end
    if not s then core.raise("idx.read", "cannot unpack %s: %s", path, tostring(reason)) end
    return s
  end
  local _, _, sizes, _, promised = read_header(inflate(LONGEST_HEADER, true), path)
  if promised > limit then
    core.raise("idx.read", "%s unpacks to more than %d bytes: its header promises [%s] elements", path, limit,
      table.concat(sizes, ", "))
  end
  return inflate(promised)
end

--- The tensor in an IDX file, gzipped or not (told by its first bytes, not by its name). Keyword: `limit`, the most
-- bytes that the file may unpack to (4 GiB). Errors name the file and what is wrong with it.
function idx.read(path, options)
  if type(path) ~= "string" then core.raise("idx.read", "expected a path, but got %s", type(path)) end
  local limit = options and options.limit or LIMIT
  local head, length = bytes_of.head(path, LONGEST_HEADER, "idx.read")
  local packed = head:sub(1, 2) == "\31\139"
  if not packed then read_header(head, path, length) end
  local bytes = bytes_of.read(path, "idx.read")
  if packed then bytes = unpack_gzip(path, bytes, limit) end
  return idx.parse(bytes, path)
end

return idx
