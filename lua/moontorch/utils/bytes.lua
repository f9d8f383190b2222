--- What the readers of binary files share: a whole file as a string, tensors from bytes, files written whole or not at
-- all.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local bytes = {}

local little_endian = string.pack("=I2", 1) == "\1\0"

--- Elements of `width` bytes with their bytes in reverse.
function bytes.swapped(s, width)
  if width == 1 then return s end
  local replacement = {}
  for i = width, 1, -1 do replacement[#replacement + 1] = "%" .. i end
  return (s:gsub(("(.)"):rep(width), table.concat(replacement)))
end

-- core.read_file, whose failures are told in the name of `owner`.
local function read(path, owner, ...)
  if type(path) ~= "string" then
    core.raise(owner, "argument 'path' (position 1) must be a string, not %s", arguments.type_name(path))
  end
  local good, s, more = pcall(core.read_file, path, ...)
  if not good then core.raise(owner, "cannot read %s: %s", path, tostring(s)) end
  if not s then core.raise(owner, "cannot open the file: %s", more) end
  return s, more
end

--- A regular file's bytes. `owner` is the function that messages name.
function bytes.read(path, owner)
  return (read(path, owner))
end

--- The first `n` bytes of a file (or all, when there are fewer), and its length: enough to refuse it before it is read.
function bytes.head(path, n, owner)
  return read(path, owner, 0, n)
end

--- The last `n` bytes of a file, or all.
function bytes.tail(path, n, owner)
  local _, size = read(path, owner, 0, 0)
  return (read(path, owner, math.max(0, size - n), n))
end

--- Replaces a file by the pieces (strings and contiguous tensors), only when all are on the disk.
function bytes.write(path, pieces, owner)
  if type(path) ~= "string" then
    core.raise(owner, "argument 'path' must be a string, not %s", arguments.type_name(path))
  end
  local ok, reason = core.write_file_atomic(path, pieces)
  if not ok then core.raise(owner, "cannot write %s: %s", path, tostring(reason)) end
end

-- What f returned, or its error under the file's name: what a file makes fail in a function that knows nothing of it.
local function named(owner, name, good, ...)
  if good then return ... end
  local message = ...
  if type(message) ~= "string" or message:find(name, 1, true) then error(message, 0) end
  core.raise(owner, "%s: %s", name, (message:gsub("^[^\n]-:%d+: ", "", 1)))
end

--- f(...), which reads the file `name`; whatever it raises names that file.
function bytes.naming(owner, name, f, ...)
  name = name:gsub("\0", "\\0") -- where a message would end
  return named(owner, name, pcall(f, ...))
end

--- The number of elements of a shape, or nil when it is more than `most`.
function bytes.count(shape, most)
  for _, size in ipairs(shape) do
    if size == 0 then return 0 end
  end
  local n = 1
  for _, size in ipairs(shape) do
    if size > most // n then return nil end
    n = n * size
  end
  return n
end

--- A new tensor of `count` elements from byte `offset` (from 0) of `s`, which must hold them. `order` "<" or ">" is
-- theirs.
function bytes.tensor(s, dtype, count, offset, order)
  if count == 0 then return core.empty(0, { dtype = dtype }) end
  local width = dtype.itemsize
  if width > 1 and order ~= (little_endian and "<" or ">") then
    s, offset = bytes.swapped(s:sub(offset + 1, offset + count * width), width), 0
  end
  return core.frombuffer(s, { dtype = dtype, count = count, offset = offset })
end

--- The elements of a tensor in little-endian order: what `bytes.write` takes.
function bytes.of(tensor)
  tensor = tensor:detach():cpu():contiguous()
  if little_endian then return tensor end
  return bytes.swapped(tensor:tobytes(), tensor.dtype.itemsize)
end

return bytes
