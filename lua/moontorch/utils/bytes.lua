--- What the readers and writers of files share: sources of bytes, errors that name the file, tensors from bytes, files
-- written whole or not at all.
--
-- A reader looks at the head of its source before it reads the rest, so a file that is none costs nothing.

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

-- Raises unless `path` is an open file or can name one; a zero byte would cut the name short. `name` is the argument's.
local function check_path(path, owner, name)
  local state = io.type(path)
  if state == "file" then return end
  if state == "closed file" then core.raise(owner, "argument '%s': I/O operation on closed file", name or "path") end
  if type(path) ~= "string" then
    core.raise(owner, "argument '%s' must be str, not %s; a path or an open file", name or "path",
      arguments.type_name(path))
  end
  if path:find("\0", 1, true) then core.raise(owner, "argument '%s': embedded null byte", name or "path") end
end

-- Sources: what is read -----------------------------------------------------------------------------------------------

--- A source of bytes: the file at a path, of which nothing is read yet, or what an open file holds from where it
-- stands. `owner` is the function that messages name, `argument` its argument; they call the file `source.name`.
function bytes.file(path, owner, argument)
  check_path(path, owner, argument)
  if type(path) == "string" then return { path = path, owner = owner, name = path } end
  local good, s, failure = pcall(path.read, path, "a")
  if not good then s, failure = nil, s end
  if not s then core.raise(owner, "cannot read the open file: %s", failure or "unknown error") end
  return { bytes = s, owner = owner, name = "the open file" }
end

--- A source of the bytes of a string, which messages call `name`.
function bytes.string(s, owner, name)
  if type(s) ~= "string" then core.raise(owner, "expected a string, but got %s", arguments.type_name(s)) end
  return { bytes = s, owner = owner, name = tostring(name or "the string") }
end

-- At most `count` bytes of a source from `first` (from 0) on, and how many it has.
local function part(source, first, count)
  if source.bytes then
    local s = source.bytes
    if first == 0 and count >= #s then return s, #s end
    return s:sub(first + 1, first + count), #s
  end
  local good, s, more = pcall(core.read_file, source.path, first, count)
  if not good then core.raise(source.owner, "cannot read %s: %s", source.name, tostring(s)) end
  if not s then core.raise(source.owner, "cannot open the file: %s", more) end
  return s, more
end

--- All bytes of a source.
function bytes.read(source) return (part(source, 0, math.maxinteger)) end

--- The first `n` bytes of a source (or all, when there are fewer), and how many it has: enough to refuse a file before
-- it is read.
function bytes.head(source, n) return part(source, 0, n) end

--- The last `n` bytes of a source, or all.
function bytes.tail(source, n)
  local _, size = part(source, 0, 0)
  return (part(source, math.max(0, size - n), n))
end

-- An error of the caller's own function, on its way through `naming`.
local Foreign = {}

local function checked(good, ...)
  if good then return ... end
  error(setmetatable({ (...) }, Foreign), 0)
end

--- f(...), a function that the caller gave: what it raises passes through `naming` as it is.
function bytes.foreign(f, ...) return checked(pcall(f, ...)) end

local function named(source, good, ...)
  if good then return ... end
  local message, name = ..., source.name:gsub("\0", "\\0") -- where a message would end
  if type(message) == "table" and getmetatable(message) == Foreign then error(message[1], 0) end
  if type(message) ~= "string" or message:find(name, 1, true) then error(message, 0) end
  message = message:gsub("^[^\n]-:%d+: ", "", 1)
  local prefix = source.owner .. "(): "
  if message:sub(1, #prefix) == prefix then message = message:sub(#prefix + 1) end
  core.raise(source.owner, "%s: %s", name, message)
end

--- f(source, ...), which reads the source; whatever it raises names that, even where a file makes a function fail that
-- knows nothing of it.
function bytes.naming(source, f, ...) return named(source, pcall(f, source, ...)) end

-- Files that are written ----------------------------------------------------------------------------------------------

-- Writes the pieces to an open file, where it stands. Its buffer may tell of a failure only at the end.
local function write_open(file, pieces)
  for _, piece in ipairs(pieces) do
    local ok, reason = file:write(type(piece) == "string" and piece or piece:tobytes())
    if not ok then return nil, reason end
  end
  return file:flush()
end

--- Replaces a file by the pieces (strings and contiguous tensors), only when all are on the disk: whatever fails, the
-- file is as it was, and nothing is left beside it. Every writer of files goes through here. An open file is written
-- to where it stands. `owner` is the function that messages name, `name` its argument.
function bytes.write(path, pieces, owner, name)
  check_path(path, owner, name)
  if type(path) ~= "string" then
    local ok, reason = write_open(path, pieces)
    if not ok then core.raise(owner, "cannot write to the open file: %s", reason) end
    return
  end
  local ok, reason, remedy = core.write_file_atomic(path, pieces)
  if ok then return end
  if remedy:find("folder first", 1, true) then
    reason = ("Parent directory %s does not exist"):format(path:match("^(.*)/[^/]*$") or "")
  end
  core.raise(owner, "cannot write '%s': %s. Nothing was changed%s", path, reason, remedy == "" and "" or "; " .. remedy)
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
  if count == 0 then return core.empty(0, { dtype = dtype, device = "cpu" }) end
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
