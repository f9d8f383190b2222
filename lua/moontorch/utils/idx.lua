--- Reader of IDX files, the format of MNIST: big-endian numbers in an n-dimensional array, gzipped or not.
--
--     images = torch.utils.idx.read("train-images-idx3-ubyte.gz")   -- uint8, [60000, 28, 28]
--
-- Layout: two zero bytes, a type byte, the number of dims, one 32-bit size a dim, the data (source: LeCun, The MNIST
-- database). A file is never trusted: header and length must agree to the byte before a tensor is made.

local core = require "moontorch.core"
local files = require "moontorch.utils.bytes"

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

-- The parts of an IDX header: its type, bytes of an element, sizes, where the data starts, the length that the whole
-- file should have. `length` is the one it has, nil when that is not known yet; `bytes` may be its beginning.
local function read_header(bytes, source, length)
  local owner, name = source.owner, source.name
  if #bytes < 4 then
    core.raise(owner, "%s: the file ends inside its header: %d bytes, at least 4 are needed", name, #bytes)
  end
  local zero, kind, dims = string.unpack(">I2BB", bytes)
  local entry = types[kind]
  if zero ~= 0 or entry == nil then
    core.raise(owner, "%s is no IDX file: it starts with %02x %02x %02x %02x; expected 00 00, a type (08, 09, 0b "
      .. "to 0e), and the number of dims", name, bytes:byte(1, 4))
  end
  if dims == 0 then core.raise(owner, "%s: the header says that the array has no dims", name) end
  local start = 4 + 4 * dims
  if #bytes < start then
    core.raise(owner, "%s: the file ends inside its header: %d bytes, %d are needed for %d dims", name, #bytes,
      start, dims)
  end
  if dims > MOST_DIMS then
    core.raise(owner, "%s has %d dimensions; at most %d are possible", name, dims, MOST_DIMS)
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
      core.raise(owner, "%s is truncated: the header promises [%s] elements of torch.%s, but only %d bytes of "
        .. "data follow", name, table.concat(sizes, ", "), entry[1], length - start)
    end
  end
  if empty then expected = 0 end
  if length and length - start ~= expected then
    core.raise(owner, "%s is %s: the header promises [%s] elements of torch.%s, %d bytes of data, but %d follow",
      name, length - start < expected and "truncated" or "too long", table.concat(sizes, ", "), entry[1], expected,
      length - start)
  end
  return entry[1], entry[2], sizes, start, start + expected
end

local function parse(source, bytes)
  local dtype, width, sizes, start = read_header(bytes, source, #bytes)
  if core[dtype] == nil then
    core.raise(source.owner, "%s holds torch.%s, which this build does not have", source.name, dtype)
  end
  return files.tensor(bytes, core[dtype], (#bytes - start) // width, start, ">"):reshape(sizes)
end

--- The tensor in a string that holds a whole, unpacked IDX file. `name` is what messages call it.
function idx.parse(bytes, name)
  return files.naming(files.string(bytes, "idx.parse", name), parse, bytes)
end

-- What a gzipped file unpacks to, at most `limit` bytes, and no more than the header inside of it promises.
local function unpack_gzip(source, packed, limit)
  local function inflate(most, cut)
    local good, s, reason = pcall(core.inflate, packed, most, cut)
    if not good then s, reason = nil, s end
    if not s then core.raise(source.owner, "cannot unpack %s: %s", source.name, tostring(reason)) end
    return s
  end
  local _, _, sizes, _, promised = read_header(inflate(LONGEST_HEADER, true), source)
  if promised > limit then
    core.raise(source.owner, "%s unpacks to more than %d bytes: its header promises [%s] elements", source.name, limit,
      table.concat(sizes, ", "))
  end
  return inflate(promised)
end

local function read(source, limit)
  local head, length = files.head(source, LONGEST_HEADER)
  if head:sub(1, 2) == "\31\139" then return parse(source, unpack_gzip(source, files.read(source), limit)) end
  read_header(head, source, length)
  return parse(source, files.read(source))
end

--- The tensor in an IDX file, gzipped or not (told by its first bytes, not by its name), given by its path or open.
-- Keyword: `limit`, the most bytes that the file may unpack to (4 GiB). Errors name the file and what is wrong with it.
function idx.read(path, options)
  return files.naming(files.file(path, "idx.read"), read, options and options.limit or LIMIT)
end

return idx
