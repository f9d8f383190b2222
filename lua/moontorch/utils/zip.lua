--- zip archives, as far as .npz and .pt files use them: entries that are stored or deflated, zip64 sizes.
--
-- A file is never trusted: the central directory must lie inside of it, entries inside of it too and apart from each
-- other, names must be new, and no entry may unpack to more than deflate can make of its bytes. Source: PKWARE's
-- APPNOTE.TXT.

local core = require "moontorch.core"
local files = require "moontorch.utils.bytes"

local zip = {}

local function bad(owner, name, format, ...)
  core.raise(owner, "%s is no valid zip file: " .. format, name, ...)
end

-- Deflate makes at most 1,032 bytes of one.
local MOST_RATIO = 1032

-- The record that ends the directory, with the longest comment.
local LONGEST_END = 22 + 65535

-- The place after which the comment stands, of the record that ends the directory.
local function find_end(bytes)
  for at = #bytes - 21, math.max(1, #bytes - LONGEST_END + 1), -1 do
    if bytes:byte(at) == 0x50 and bytes:sub(at, at + 3) == "PK\5\6" and string.unpack("<I2", bytes, at + 20)
      == #bytes - at - 21 then
      return at
    end
  end
end

local function no_end(owner, name)
  bad(owner, name, "it has no directory at its end (truncated, or another format)")
end

--- The archive in a source of bytes, which is read only if its end is one of an archive.
function zip.read_archive(source)
  if not find_end(files.tail(source, LONGEST_END)) then no_end(source.owner, source.name) end
  return zip.open(files.read(source), source.owner, source.name)
end

-- The directory: first byte (from 0), length, number of entries.
local function directory_of(bytes, owner, name)
  local at = find_end(bytes)
  if not at then no_end(owner, name) end
  local count, size, first = string.unpack("<I2I4I4", bytes, at + 10)
  if (count == 0xFFFF or size == 0xFFFFFFFF or first == 0xFFFFFFFF) and at > 20 and bytes:sub(at - 20, at - 17)
    == "PK\6\7" then
    local record = string.unpack("<i8", bytes, at - 12)
    if record < 0 or record > #bytes - 56 or bytes:sub(record + 1, record + 4) ~= "PK\6\6" then
      bad(owner, name, "its zip64 directory does not lie inside the file")
    end
    count, size, first = string.unpack("<i8i8i8", bytes, record + 33)
  end
  if first < 0 or size < 0 or first > #bytes or size > #bytes - first or count < 0 or count > size // 46 then
    bad(owner, name, "its directory (%d entries, %d bytes from byte %d) does not fit a file of %d bytes", count, size,
      first, #bytes)
  end
  return first, size, count
end

-- Sizes and place of an entry that are too large for 32 bits stand in its extra field.
local function wide(entry, extra)
  local at = 1
  while at + 3 <= #extra do
    local kind, n = string.unpack("<I2I2", extra, at)
    if at + 3 + n > #extra then return false end
    if kind == 1 then
      local field = extra:sub(at + 4, at + 3 + n)
      local position = 1
      for _, key in ipairs { "size", "packed", "offset" } do
        if entry[key] == 0xFFFFFFFF then
          if position + 7 > #field then return false end
          entry[key], position = string.unpack("<i8", field, position)
        end
      end
    end
    at = at + 4 + n
  end
  return true
end

local function read_entry(bytes, at, last, owner, name)
  if at + 45 > last or bytes:sub(at, at + 3) ~= "PK\1\2" then
    bad(owner, name, "an entry of its directory is damaged")
  end
  local flags, method, _, _, crc, packed, size, name_length, extra_length, comment, _, _, _, offset =
    string.unpack("<I2I2I2I2I4I4I4I2I2I2I2I2I4I4", bytes, at + 8)
  local following = at + 46 + name_length + extra_length + comment
  if following - 1 > last then bad(owner, name, "an entry of its directory is damaged") end
  local entry = {
    name = bytes:sub(at + 46, at + 45 + name_length), flags = flags, method = method, crc = crc, packed = packed,
    size = size, offset = offset,
  }
  if not wide(entry, bytes:sub(at + 46 + name_length, at + 45 + name_length + extra_length)) then
    bad(owner, name, "the entry '%s' has a damaged extra field", entry.name)
  end
  return entry, following
end

-- Where the data of an entry starts (from 0).
local function locate(bytes, entry, owner, name)
  local at = entry.offset
  if at < 0 or entry.packed < 0 or entry.size < 0 or at > #bytes - 30 or bytes:sub(at + 1, at + 4) ~= "PK\3\4" then
    bad(owner, name, "the entry '%s' does not lie inside the file", entry.name)
  end
  local name_length, extra_length = string.unpack("<I2I2", bytes, at + 27)
  local start = at + 30 + name_length + extra_length
  if start > #bytes or entry.packed > #bytes - start then
    bad(owner, name, "the entry '%s' does not lie inside the file", entry.name)
  end
  return start
end

-- Entries that lie in one another could unpack to far more than deflate allows the whole file.
local function check_overlaps(list, owner, name)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted, function(a, b) return a.offset < b.offset end)
  for i = 2, #sorted do
    local before, entry = sorted[i - 1], sorted[i]
    if entry.offset < before.start + before.packed then
      bad(owner, name, "the entries '%s' and '%s' overlap", before.name, entry.name)
    end
  end
end

--- The entries of an archive in a string: an array of them, and by name. `owner` and `name` are what messages call the
-- function and the file.
function zip.open(bytes, owner, name)
  local first, size, count = directory_of(bytes, owner, name)
  local list, by_name = {}, {}
  local at, last = first + 1, first + size
  for i = 1, count do
    local entry
    entry, at = read_entry(bytes, at, last, owner, name)
    if by_name[entry.name] then bad(owner, name, "it has two entries named '%s'", entry.name) end
    entry.start = locate(bytes, entry, owner, name)
    if entry.method == 0 and entry.packed ~= entry.size then
      bad(owner, name, "the entry '%s' is stored, but its sizes differ", entry.name)
    end
    if entry.size // MOST_RATIO > entry.packed then
      bad(owner, name, "the entry '%s' cannot unpack from %d to %d bytes", entry.name, entry.packed, entry.size)
    end
    list[i], by_name[entry.name] = entry, entry
  end
  check_overlaps(list, owner, name)
  return { bytes = bytes, owner = owner, name = name, list = list, by_name = by_name }
end

--- Where the unpacked bytes of an entry are: a string, the byte they start after, how many they are. What is stored is
-- not copied.
function zip.find(archive, entry)
  local owner, name = archive.owner, archive.name
  if entry.flags & 1 ~= 0 then core.raise(owner, "%s: the entry '%s' is encrypted", name, entry.name) end
  if entry.method == 0 then
    if not entry.unchecked and core.crc32(archive.bytes, entry.start, entry.packed) ~= entry.crc then
      bad(owner, name, "the checksum of the entry '%s' does not match: its data is damaged", entry.name)
    end
    return archive.bytes, entry.start, entry.packed
  end
  if entry.method ~= 8 then
    core.raise(owner, "%s: the entry '%s' is packed by method %d; only stored and deflated entries are read", name,
      entry.name, entry.method)
  end
  -- Deflated data with the checksum and size that the archive gives is a gzip file but for its ends.
  local packed = archive.bytes:sub(entry.start + 1, entry.start + entry.packed)
  local gzip = "\31\139\8\0\0\0\0\0\0\0" .. packed .. string.pack("<I4I4", entry.crc, entry.size & 0xFFFFFFFF)
  local result, reason = core.inflate(gzip, entry.size)
  if not result then bad(owner, name, "the entry '%s' cannot be unpacked: %s", entry.name, reason) end
  return result, 0, #result
end

--- The unpacked bytes of an entry.
function zip.read(archive, entry)
  local s, start, count = zip.find(archive, entry)
  return s:sub(start + 1, start + count)
end

--- The pieces of an archive whose entries are stored. `entries`: an array of {name, pieces}, pieces being strings.
function zip.pack(entries)
  local pieces, directory, at = {}, {}, 0
  for _, entry in ipairs(entries) do
    local data = table.concat(entry[2])
    local crc, size, large = core.crc32(data), #data, #data >= 0xFFFFFFFF
    local shown = large and 0xFFFFFFFF or size
    local extra = large and string.pack("<I2I2I8I8", 1, 16, size, size) or ""
    local header = string.pack("<I4I2I2I2I2I2I4I4I4I2I2", 0x04034b50, large and 45 or 20, 0x800, 0, 0, 0x21, crc, shown,
      shown, #entry[1], #extra) .. entry[1] .. extra
    local far = at >= 0xFFFFFFFF
    local wide_fields = (large and string.pack("<I8I8", size, size) or "") .. (far and string.pack("<I8", at) or "")
    local central = #wide_fields > 0 and string.pack("<I2s2", 1, wide_fields) or ""
    directory[#directory + 1] = string.pack("<I4I2I2I2I2I2I2I4I4I4I2I2I2I2I2I4I4", 0x02014b50, 45, 45, 0x800, 0, 0,
      0x21, crc, shown, shown, #entry[1], #central, 0, 0, 0, 0, far and 0xFFFFFFFF or at) .. entry[1] .. central
    pieces[#pieces + 1] = header
    pieces[#pieces + 1] = data
    at = at + #header + size
  end
  local index = table.concat(directory)
  pieces[#pieces + 1] = index
  local count, after = #entries, at + #index
  if count >= 0xFFFF or after >= 0xFFFFFFFF then
    pieces[#pieces + 1] = string.pack("<I4I8I2I2I4I4I8I8I8I8", 0x06064b50, 44, 45, 45, 0, 0, count, count, #index, at)
      .. string.pack("<I4I4I8I4", 0x07064b50, 0, after, 1)
  end
  pieces[#pieces + 1] = string.pack("<I4I2I2I2I2I4I4I2", 0x06054b50, 0, 0, math.min(count, 0xFFFF),
    math.min(count, 0xFFFF), math.min(#index, 0xFFFFFFFF), math.min(at, 0xFFFFFFFF), 0)
  return pieces
end

return zip
