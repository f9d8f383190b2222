--- safetensors files: tensors by name, readable by Python's safetensors and by everything else that knows the format.
--
-- Layout: 8 bytes with the header's length (little-endian), the header (JSON: name -> dtype, shape, data_offsets; and
-- __metadata__, strings by name), padded with spaces so that the data starts at a multiple of 8; then the data without
-- holes. A file is never trusted: lengths, offsets, shapes and names are checked against the file's size before a
-- tensor is made. A file is replaced only when the new one is complete on the disk. Source: the format's description
-- at github.com/huggingface/safetensors.

local core = require "moontorch.core"
local files = require "moontorch.utils.bytes"
local json = require "moontorch.utils.json"
local ordered = require "moontorch.nn.ordered"
local arguments = require "moontorch.arguments"

local safetensors = {}

-- The format's own limit for a header.
local HEADER_LIMIT = 100000000
local MOST_DIMS = 16

-- dtype in the file -> name here, bytes of an element.
local types = {
  F64 = { "float64", 8 }, F32 = { "float32", 4 }, F16 = { "float16", 2 }, BF16 = { "bfloat16", 2 },
  I64 = { "int64", 8 }, I32 = { "int32", 4 }, I16 = { "int16", 2 }, I8 = { "int8", 1 }, U8 = { "uint8", 1 },
  BOOL = { "bool", 1 }, C64 = { "complex64", 8 },
}

local codes = {}
for code, entry in pairs(types) do codes["torch." .. entry[1]] = code end

-- Writing -------------------------------------------------------------------------------------------------------------

local function check_metadata(metadata)
  for key, value in pairs(metadata) do
    if type(key) ~= "string" or type(value) ~= "string" then
      core.raise("save_file", "metadata must be a table from string to string, but entry %s is %s", tostring(key),
        arguments.type_name(value))
    end
    if not utf8.len(key) or not utf8.len(value) then core.raise("save_file", "metadata must be UTF-8") end
  end
end

-- What will be written: an array of {name, tensor, code, width}, widest elements first, so that each is aligned.
local function plan(tensors, owner)
  local list = {}
  for name, tensor in pairs(tensors) do
    if type(name) ~= "string" or name == "__metadata__" then
      core.raise(owner, "expected names as keys, but got %s", tostring(name))
    end
    if not utf8.len(name) then core.raise(owner, "the name %q is not UTF-8", name) end
    if not core.is_tensor(tensor) then
      core.raise(owner, "Key `%s` is invalid, expected Tensor but received %s", name,
        arguments.type_name(tensor))
    end
    local code = codes[tostring(tensor.dtype)]
    if not code then
      core.raise(owner, "'%s' has dtype %s, which safetensors files cannot hold", name, tostring(tensor.dtype))
    end
    list[#list + 1] = { name = name, tensor = tensor, code = code, width = types[code][2] }
  end
  table.sort(list, function(a, b)
    if a.width ~= b.width then return a.width > b.width end
    if a.code ~= b.code then return a.code < b.code end
    return a.name < b.name
  end)
  return list
end

local function header_of(list, metadata)
  local parts, at = {}, 0
  if metadata and next(metadata) ~= nil then
    local names, entries = {}, {}
    for key in pairs(metadata) do names[#names + 1] = key end
    table.sort(names)
    for i, key in ipairs(names) do entries[i] = json.quote(key) .. ":" .. json.quote(metadata[key]) end
    parts[1] = '"__metadata__":{' .. table.concat(entries, ",") .. "}"
  end
  for _, item in ipairs(list) do
    local size = item.tensor:numel() * item.width
    parts[#parts + 1] = string.format('%s:{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}', json.quote(item.name),
      item.code, table.concat(item.tensor.shape, ","), at, at + size)
    at = at + size
  end
  local header = "{" .. table.concat(parts, ",") .. "}"
  return header .. (" "):rep(-#header % 8)
end

local save_arguments = arguments.signature("save_file", {
  { "tensors", "dict" }, { "filename", "string" }, { "metadata", "dict?" },
})

--- What save_file does, for other functions: `owner` is the one that messages name, `name` its argument.
function safetensors.write(tensors, filename, metadata, owner, name)
  local list = plan(tensors, owner)
  local header = header_of(list, metadata)
  if #header > HEADER_LIMIT then core.raise(owner, "the header would have %d bytes, too many", #header) end
  local pieces = { string.pack("<I8", #header), header }
  for _, item in ipairs(list) do pieces[#pieces + 1] = files.of(item.tensor) end
  files.write(filename, pieces, owner, name)
end

--- Writes the tensors of a table (name -> Tensor, such as a state_dict) to a file. `metadata`: strings by name. The
-- file is replaced only when the new one is whole and on the disk.
function safetensors.save_file(...)
  local tensors, filename, metadata = save_arguments(...)
  if metadata then check_metadata(metadata) end
  safetensors.write(tensors, filename, metadata, "save_file", "filename")
end

-- Reading -------------------------------------------------------------------------------------------------------------

local function bad(source, format, ...)
  core.raise(source.owner, "%s is no valid safetensors file: " .. format, source.name, ...)
end

local function is_object(v)
  return type(v) == "table" and type(v.keys) == "table" and type(v.values) == "table"
end

-- The mark of metadata that was read, by which load_state_dict knows them from its keywords.
local Metadata = { __name = "metadata" }

local function read_metadata(source, object)
  local metadata = setmetatable({}, Metadata)
  if not is_object(object) then bad(source, "__metadata__ is no object") end
  for key, value in pairs(object.values) do
    if type(value) ~= "string" then bad(source, "__metadata__ entry '%s' is no string", key) end
    metadata[key] = value
  end
  return metadata
end

local fields = { dtype = true, shape = true, data_offsets = true }

-- One entry of the header, checked by itself: {name, dtype, width, shape, first, last}.
local function read_entry(source, key, object, data_size)
  if not is_object(object) then bad(source, "the entry '%s' is no object", key) end
  for _, field in ipairs(object.keys) do
    if not fields[field] then bad(source, "the entry '%s' has an unknown field '%s'", key, field) end
  end
  local dtype, shape, offsets = object.values.dtype, object.values.shape, object.values.data_offsets
  local entry = type(dtype) == "string" and types[dtype]
  if not entry then bad(source, "'%s' has the unknown dtype %s", key, tostring(dtype)) end
  if type(shape) ~= "table" or is_object(shape) then bad(source, "'%s' has no shape", key) end
  if #shape > MOST_DIMS then
    core.raise(source.owner, "%s: '%s' has %d dimensions; at most %d are possible", source.name, key, #shape, MOST_DIMS)
  end
  if type(offsets) ~= "table" or #offsets ~= 2 or math.type(offsets[1]) ~= "integer" or
    math.type(offsets[2]) ~= "integer" then
    bad(source, "'%s' has no data_offsets of two numbers", key)
  end
  local first, last = offsets[1], offsets[2]
  if first > last or last > data_size then
    bad(source, "the data of '%s' lies at %d to %d, but the file has %d bytes of data", key, first, last, data_size)
  end
  local bytes, empty = entry[2], false
  for _, size in ipairs(shape) do
    if math.type(size) ~= "integer" then bad(source, "the shape of '%s' holds something that is no size", key) end
    empty = empty or size == 0
  end
  for _, size in ipairs(shape) do
    if not empty then
      -- Both factors are below 2^53 and 2^63 / 2^53 apart: comparing before multiplying keeps from overflowing.
      if size > (last - first) // bytes then
        bad(source, "'%s' of shape [%s] and dtype %s does not fit its %d bytes of data", key, table.concat(shape, ", "),
          dtype, last - first)
      end
      bytes = bytes * size
    end
  end
  if empty then bytes = 0 end
  if bytes ~= last - first then
    bad(source, "'%s' of shape [%s] and dtype %s takes %d bytes, but has %d", key, table.concat(shape, ", "), dtype,
      bytes, last - first)
  end
  return { name = key, dtype = entry[1], width = entry[2], shape = shape, first = first, last = last }
end

-- All entries in the order of their data, which must follow each other without holes to the end of the file.
local function read_entries(source, header, data_size)
  local list, metadata = {}, setmetatable({}, Metadata)
  for _, key in ipairs(header.keys) do
    if key == "__metadata__" then
      metadata = read_metadata(source, header.values[key])
    else
      list[#list + 1] = read_entry(source, key, header.values[key], data_size)
    end
  end
  table.sort(list, function(a, b)
    if a.first ~= b.first then return a.first < b.first end
    if a.last ~= b.last then return a.last < b.last end
    return a.name < b.name
  end)
  local at = 0
  for _, entry in ipairs(list) do
    if entry.first ~= at then
      bad(source, "the data of '%s' starts at %d, where %d was expected: %s", entry.name, entry.first, at,
        entry.first < at and "it overlaps other data" or "there is a hole")
    end
    at = entry.last
  end
  if at ~= data_size then bad(source, "%d bytes of data belong to no tensor", data_size - at) end
  return list, metadata
end

local function make_tensor(source, entry, bytes, start)
  local dtype = core[entry.dtype]
  if dtype == nil then
    core.raise(source.owner, "%s: '%s' has dtype torch.%s, which this build does not have", source.name, entry.name,
      entry.dtype)
  end
  local count = (entry.last - entry.first) // entry.width
  if count == 0 then return core.empty(entry.shape, { dtype = dtype, device = "cpu" }) end
  local offset = start + entry.first
  if entry.dtype == "bool" then
    if bytes:sub(offset + 1, offset + count):find("[^\0\1]") then
      bad(source, "'%s' holds a boolean that is neither 0 nor 1", entry.name)
    end
  end
  return files.tensor(bytes, dtype, count, offset, "<"):reshape(entry.shape)
end

-- The header's length, of a file of `size` bytes that starts with `head`.
local function header_length(source, head, size)
  if #head < 8 then bad(source, "it has %d bytes, and the header's length alone takes 8", #head) end
  local length = string.unpack("<i8", head)
  if length < 0 or length > HEADER_LIMIT then bad(source, "it gives its header's length as %d bytes", length) end
  if length > size - 8 then
    bad(source, "it is truncated: the header has %d bytes, but only %d follow", length, size - 8)
  end
  if head:sub(9, 9) ~= "{" then bad(source, "the header does not start with '{'") end
  return length
end

-- The header is checked before the data is read.
local function read(source)
  local head, size = files.head(source, 9)
  local start = 8 + header_length(source, head, size)
  local header, reason = json.read(files.head(source, start):sub(9, start))
  if not header then bad(source, "%s", reason) end
  local list, metadata = read_entries(source, header, size - start)
  local bytes = files.read(source)
  if #bytes ~= size then bad(source, "its length changed while it was read") end
  local result = ordered.new()
  for _, entry in ipairs(list) do result[entry.name] = make_tensor(source, entry, bytes, start) end
  return result, metadata
end

--- The tensors in a source of bytes (see utils/bytes), and the metadata.
function safetensors.read(source) return files.naming(source, read) end

--- The tensors in a string that holds a whole safetensors file: a table by name in the order of the data, and the
-- metadata. `name` is what messages call it.
function safetensors.load(bytes, name)
  return safetensors.read(files.string(bytes, "load_file", name))
end

--- The tensors of a file (name -> Tensor) and its metadata; `model:load_state_dict(load_file(path))` takes both as they
-- are. The file is given by its path or open. Errors name it and what is wrong with it.
function safetensors.load_file(filename)
  return safetensors.read(files.file(filename, "load_file", "filename"))
end

return safetensors
