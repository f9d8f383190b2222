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

--- A file's bytes; of an open one those from where it stands. `owner` is the function that messages name, `name` its
-- argument.
function bytes.read(path, owner, name)
  check_path(path, owner, name)
  local file, reason = path, nil
  if type(path) == "string" then file, reason = io.open(path, "rb") end
  if not file then core.raise(owner, "cannot open the file: %s", reason) end
  local s, failure = file:read("a")
  if file ~= path then file:close() end
  if not s then core.raise(owner, "cannot read %s: %s", tostring(path), failure or "unknown error") end
  return s
end

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
