--- Reader of IDX files, the format of MNIST: big-endian numbers in an n-dimensional array, gzipped or not.
--
--     images = torch.utils.idx.read("train-images-idx3-ubyte.gz")   -- uint8, [60000, 28, 28]
--
-- Layout: two zero bytes, a type byte, the number of dims, one 32-bit size a dim, the data (source: LeCun, The MNIST
-- database). A file is never trusted: header and length must agree to the byte before a tensor is made.

local core = require "moontorch.core"
local raw = require "moontorch.utils.bytes"

local idx = {}

-- Type byte -> dtype, bytes of an element.
local types = {
  [0x08] = { "uint8", 1 }, [0x09] = { "int8", 1 }, [0x0B] = { "int16", 2 }, [0x0C] = { "int32", 4 },
  [0x0D] = { "float32", 4 }, [0x0E] = { "float64", 8 },
}

-- The most bytes that a file may unpack to, unless the caller says otherwise.
local LIMIT = 4 << 30

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

-- The parts of an IDX string: its type, sizes, where the data starts. Raises with `name` in front.
local function read_header(bytes, name)
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
  local sizes, expected, empty = {}, entry[2], false
  for d = 1, dims do
    sizes[d] = string.unpack(">I4", bytes, 1 + 4 * d)
    empty = empty or sizes[d] == 0
  end
  for d = 1, empty and 0 or dims do
    expected = expected * sizes[d]
    -- Sizes are below 2^32: stopping at the file's length keeps the product from overflowing.
    if expected > #bytes then
      core.raise("idx.read", "%s is truncated: the header promises [%s] elements of torch.%s, but only %d bytes of "
        .. "data follow", name, table.concat(sizes, ", "), entry[1], #bytes - start)
    end
  end
  if empty then expected = 0 end
  if #bytes - start ~= expected then
    core.raise("idx.read", "%s is %s: the header promises [%s] elements of torch.%s, %d bytes of data, but %d follow",
      name, #bytes - start < expected and "truncated" or "too long", table.concat(sizes, ", "), entry[1], expected,
      #bytes - start)
  end
  return entry[1], entry[2], sizes, start
end

--- The tensor in a string that holds a whole, unpacked IDX file. `name` is what messages call it.
function idx.parse(bytes, name)
  if type(bytes) ~= "string" then core.raise("idx.parse", "expected a string, but got %s", type(bytes)) end
  name = name or "the string"
  local dtype, width, sizes, start = read_header(bytes, name)
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

-- What a gzipped file unpacks to, at most `limit` bytes.
local function unpack_gzip(path, packed, limit)
  if core.inflate then
    local ok, bytes, reason = pcall(core.inflate, packed, limit)
    if not ok then bytes, reason = nil, bytes end
    if not bytes then core.raise("idx.read", "cannot unpack %s: %s", path, tostring(reason)) end
    return bytes
  end
  if path:find("\0", 1, true) then core.raise("idx.read", "a path cannot hold a zero byte") end
  local pipe, failure = io.popen("gzip -dc < '" .. path:gsub("'", "'\\''") .. "' 2>/dev/null", "r")
  if not pipe then core.raise("idx.read", "cannot unpack %s: %s", path, failure or "gzip does not start") end
  local bytes = pipe:read(limit + 1) or ""
  local done = pipe:close()
  if #bytes > limit then core.raise("idx.read", "%s unpacks to more than %d bytes", path, limit) end
  if not done then core.raise("idx.read", "cannot unpack %s: gzip says that it is damaged or truncated", path) end
  return bytes
end

--- The tensor in an IDX file, gzipped or not (told by its first bytes, not by its name). Keyword: `limit`, the most
-- bytes that the file may unpack to (4 GiB). Errors name the file and what is wrong with it.
function idx.read(path, options)
  if type(path) ~= "string" then core.raise("idx.read", "expected a path, but got %s", type(path)) end
  local limit = options and options.limit or LIMIT
  local bytes = raw.read(path, "idx.read")
  if bytes:sub(1, 2) == "\31\139" then bytes = unpack_gzip(path, bytes, limit) end
  return idx.parse(bytes, path)
end

return idx
