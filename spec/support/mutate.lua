--- Changes to files for fuzzing: of bytes, and of the structure that a format has, with lengths and checksums made
-- right again so that a reader looks further than its first check.
--
-- Every change is a function (s, stream) that returns another string; `stream` is one of spec.support.samples.
local torch = require "moontorch"
local zip = require "moontorch.utils.zip"

local mutate = {}

-- Bytes ---------------------------------------------------------------------------------------------------------------

local extremes = { "\0", "\255", "\127", "\128", "\1", string.pack("<I4", 0x7FFFFFFF), string.pack("<I4", 0xFFFFFFFF),
  string.pack(">I4", 0x7FFFFFFF), string.pack("<i8", math.maxinteger), string.pack("<i8", -1),
  string.pack("<i8", 1 << 40), "0", "9", "999999999999999999999", "-", "(", "}", '"', "\n", ".", "R", "t", "\x85" }

local function splice(s, at, n, piece) return s:sub(1, at - 1) .. piece .. s:sub(at + n) end
local function pick(list, stream) return list[1 + stream.below(#list)] end

--- One to three bytes or runs of bytes changed, cut out, or put in.
function mutate.bytes(s, stream)
  for _ = 1, 1 + stream.below(3) do
    local at, kind = 1 + stream.below(#s + 1), stream.below(7)
    local piece = pick(extremes, stream)
    if kind == 0 and at <= #s then
      s = splice(s, at, 1, string.char(s:byte(at) ~ (1 << stream.below(8))))
    elseif kind == 1 then
      s = splice(s, at, #piece, piece)
    elseif kind == 2 then
      s = splice(s, at, 0, piece)
    elseif kind == 3 then
      s = splice(s, at, 1 + stream.below(8), "")
    elseif kind == 4 then
      s = splice(s, at, 0, s:sub(at, at + stream.below(32)))
    elseif kind == 5 and stream.below(4) == 0 then
      s = s:sub(1, at - 1)
    else
      s = splice(s, at, 1, string.char(stream.below(256)))
    end
  end
  return s
end

--- One of the changes, by turns.
function mutate.either(...)
  local changes = { ... }
  return function(s, stream) return pick(changes, stream)(s, stream) end
end

-- A list of pieces changed: one taken out, doubled, moved, or given to `change`, which returns another piece.
local function pieces(list, stream, change)
  for _ = 1, 1 + stream.below(3) do
    if #list == 0 then return list end
    local at, kind = 1 + stream.below(#list), stream.below(6)
    if kind == 0 then
      table.remove(list, at)
    elseif kind == 1 then
      table.insert(list, 1 + stream.below(#list), list[at])
    elseif kind == 2 then
      table.insert(list, 1 + stream.below(#list), table.remove(list, at))
    else
      list[at] = change(list[at], stream, list)
    end
  end
  return list
end

-- Sizes as they stand in files.
local numbers = { 0, 1, 2, 3, 7, 8, 16, 17, 255, 256, 4096, 65535, 0x7FFFFFFF, 0xFFFFFFFF }
local function size(stream, width)
  local v = pick(numbers, stream)
  if stream.below(4) == 0 then v = stream.below(64) end
  return width >= 8 and v or v & ((1 << (8 * width)) - 1)
end

-- Headers that are text -----------------------------------------------------------------------------------------------

local words = { "0", "1", "2", "3", "4", "16", "17", "65535", "4294967296", "9007199254740991", "9223372036854775807",
  "99999999999999999999", "-1", "1.5", "1e9", "{", "}", "[", "]", "(", ")", ",", ":", "true", "null", '""', "''",
  '"F64"', '"BOOL"', "'<f8'", "'|b1'", "'|O'", "True", "\\u0000", "\255" }

-- Text in tokens: names, numbers, strings, single characters.
local function tokens(s)
  local list, at = {}, 1
  while at <= #s do
    local stop
    for _, pattern in ipairs { '^"[^"]*"()', "^'[^']*'()", "^[%w_]+()", "^%s+()", "^.()" } do
      stop = s:match(pattern, at)
      if stop then break end
    end
    list[#list + 1] = s:sub(at, stop - 1)
    at = stop
  end
  return list
end

local function change_token(token, stream)
  if stream.below(3) > 0 then return pick(words, stream) end
  if stream.below(8) == 0 then return ("["):rep(stream.below(2000)) end
  return mutate.bytes(token, stream)
end

--- Tokens of a text changed.
function mutate.text(s, stream) return table.concat(pieces(tokens(s), stream, change_token)) end

--- The header of a safetensors file changed, its length made right; the data stays.
function mutate.safetensors(s, stream)
  local header, at = string.unpack("<s8", s)
  return string.pack("<s8", mutate.text(header, stream)) .. s:sub(at)
end

--- The header of a .npy file of version 1 changed, its length made right.
function mutate.npy(s, stream)
  local header, at = string.unpack("<s2", s, 9)
  return s:sub(1, 8) .. string.pack("<s2", mutate.text(header, stream):sub(1, 65535)) .. s:sub(at)
end

--- A size or the type in the header of an IDX file changed.
function mutate.idx(s, stream)
  if stream.below(4) == 0 then return splice(s, 3, 1, string.char(stream.below(16))) end
  if stream.below(4) == 0 then return splice(s, 4, 1, string.char(stream.below(20))) end
  return splice(s, 5 + 4 * stream.below(s:byte(4)), 4, string.pack(">I4", size(stream, 4)))
end

-- zip -----------------------------------------------------------------------------------------------------------------

local function entries_of(s)
  local archive, entries = zip.open(s, "fuzz", "fuzz"), {}
  for i, entry in ipairs(archive.list) do entries[i] = { entry.name, { zip.read(archive, entry) } } end
  return entries
end

--- One entry of an archive given to `change`, its checksum made right. An entry whose name has `wanted` in it is
-- preferred.
function mutate.entry(change, wanted)
  return function(s, stream)
    local entries = entries_of(s)
    local chosen = 1 + stream.below(#entries)
    for i, entry in ipairs(entries) do
      if wanted and entry[1]:find(wanted, 1, true) and stream.below(4) > 0 then chosen = i end
    end
    local entry = entries[chosen]
    local fits = not wanted or entry[1]:find(wanted, 1, true)
    entry[2][1] = (fits and change or mutate.bytes)(entry[2][1], stream)
    return table.concat(zip.pack(entries))
  end
end

-- Fields of a zip's records: offset (from 0) and width.
local records = {
  ["PK\1\2"] = { { 8, 2 }, { 10, 2 }, { 16, 4 }, { 20, 4 }, { 24, 4 }, { 28, 2 }, { 30, 2 }, { 32, 2 }, { 42, 4 } },
  ["PK\3\4"] = { { 6, 2 }, { 8, 2 }, { 14, 4 }, { 18, 4 }, { 22, 4 }, { 26, 2 }, { 28, 2 } },
  ["PK\5\6"] = { { 8, 2 }, { 10, 2 }, { 12, 4 }, { 16, 4 }, { 20, 2 } },
}

--- Fields of the records of an archive changed: sizes, places, counts, methods.
function mutate.directory(s, stream)
  local found = {}
  for mark, fields in pairs(records) do
    local at = s:find(mark, 1, true)
    while at do
      found[#found + 1] = { at, fields }
      at = s:find(mark, at + 4, true)
    end
  end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  for _ = 1, 1 + stream.below(2) do
    local record = pick(found, stream)
    local field = pick(record[2], stream)
    local at, format = record[1] + field[1], "<I" .. field[2]
    if at + field[2] - 1 <= #s then
      local v = stream.below(3) == 0 and size(stream, field[2])
        or string.unpack(format, s, at) + stream.below(9) - 4 & (1 << 8 * field[2]) - 1
      s = splice(s, at, field[2], string.pack(format, v))
    end
  end
  return s
end

--- A second directory entry for the data of another: what a zip bomb is made of.
function mutate.overlapping(s, stream)
  local first = s:find("PK\1\2", 1, true)
  local last = s:find("PK\5\6", first, true)
  local count, length = string.unpack("<I2I4", s, last + 10)
  local name, extra, comment = string.unpack("<I2I2I2", s, first + 28)
  local record = s:sub(first, first + 45 + name + extra + comment)
  local copies, n = {}, 1 + stream.below(40)
  for i = 1, n do
    copies[i] = record:sub(1, 46) .. (("%0" .. name .. "d"):format(i)):sub(-name) .. record:sub(47 + name)
  end
  copies = table.concat(copies)
  return s:sub(1, last - 1) .. copies .. s:sub(last, last + 7)
    .. string.pack("<I2I2I4", count + n, count + n, length + #copies) .. s:sub(last + 16)
end

-- pickle --------------------------------------------------------------------------------------------------------------

-- What follows an instruction: bytes of a number, bytes of a length, "\n" for lines.
local fixed = { ["\x80"] = 1, ["\x95"] = 8, J = 4, K = 1, M = 2, G = 8, q = 1, r = 4, h = 1, j = 4 }
local counted = { ["\x8a"] = 1, ["\x8b"] = 4, X = 4, ["\x8c"] = 1, ["\x8d"] = 8, U = 1, T = 4, C = 1, B = 4,
  ["\x8e"] = 8, ["\x96"] = 8 }
local lines = { c = 2, i = 2, I = 1, L = 1, F = 1, S = 1, V = 1, P = 1, p = 1, g = 1 }

-- The instructions of the first `programs` pickles in s (all that there are), and what follows them.
local function instructions(s, programs)
  local list, at = {}, 1
  while at <= #s and programs ~= 0 do
    local code, stop = s:sub(at, at), at
    if fixed[code] then
      stop = at + fixed[code]
    elseif counted[code] then
      stop = at + counted[code] + string.unpack("<I" .. counted[code], s, at + 1)
    elseif lines[code] then
      for _ = 1, lines[code] do stop = s:find("\n", stop + 1, true) or #s end
    end
    list[#list + 1] = s:sub(at, stop)
    at = stop + 1
    if programs and code == "." then programs = programs - 1 end
  end
  return list, s:sub(at)
end

local codes = { "(", "0", "2", "N", "\x88", "\x89", ")", "\x85", "\x86", "\x87", "t", "]", "a", "e", "}", "s", "u", "R",
  "b", "Q", "\x93", "\x94", ".", "K\1", "J\255\255\255\127", "J\0\0\0\128", "K\0", "h\0", "q\0", "h\1",
  "G\127\248\0\0\0\0\0\0",
  "\x8a\8\255\255\255\255\255\255\255\127", "X\1\0\0\0a", "ctorch\nFloatStorage\n", "ctorch\nBoolStorage\n",
  "ctorch\nLongStorage\n", "ctorch\nSize\n", "ctorch\ndevice\n", "ccollections\nOrderedDict\n",
  "ctorch._utils\n_rebuild_parameter\n", "ctorch._utils\n_rebuild_tensor_v2\n", "cos\nsystem\n", "1", "l", "d", "\x8f",
  "\x90", "\x91", "I01\n", "I-9\n", "L99999999999999999999L\n", "F1e999\n", "S'a\\xff'\n", "Va\\u20ac\n", "p0\n",
  "g0\n", "\x8e\1\0\0\0\0\0\0\0a", "\x96\0\0\0\0\0\0\0\127", "cbuiltins\nset\n", "ccollections\nCounter\n",
  "c_codecs\nencode\n", "cbuiltins\nbytes\n", "cnumpy\ndtype\n", "cnumpy._core.multiarray\nscalar\n",
  "ctorch._tensor\n_rebuild_from_type_v2\n", "ctorch\nTensor\n", "ctorch.nn.parameter\nParameter\n" }

local function change_instruction(code, stream)
  local kind = stream.below(3)
  if fixed[code:sub(1, 1)] and kind == 0 then
    local width = fixed[code:sub(1, 1)]
    return code:sub(1, 1) .. string.pack("<I" .. width, size(stream, width))
  end
  if kind == 1 then return pick(codes, stream) end
  if kind == 2 and stream.below(20) == 0 then return pick(codes, stream):rep(1 + stream.below(3000)) end
  return pick(codes, stream) .. code
end

--- Instructions of a pickle changed.
function mutate.pickle(s, stream)
  return table.concat(pieces(instructions(s), stream, change_instruction))
end

--- Instructions of the five pickles that a file from before PyTorch 1.6 starts with changed; their data stay.
function mutate.legacy_pickle(s, stream)
  local list, data = instructions(s, 5)
  return table.concat(pieces(list, stream, change_instruction)) .. data
end

-- PNG -----------------------------------------------------------------------------------------------------------------

local function png_chunk(kind, body)
  return string.pack(">I4", #body) .. kind .. body .. string.pack(">I4", torch.crc32(kind .. body))
end

local function adler(s)
  local a, b = 1, 0
  for i = 1, #s do
    a = (a + s:byte(i)) % 65521
    b = (b + a) % 65521
  end
  return b << 16 | a
end

-- Bytes as zlib data that is not packed.
local function zlib(s)
  local parts = { "\x78\1" }
  for at = 1, math.max(#s, 1), 65535 do
    local part = s:sub(at, at + 65534)
    parts[#parts + 1] = string.pack("<BI2I2", at + 65535 > #s and 1 or 0, #part, ~#part & 0xFFFF) .. part
  end
  return table.concat(parts) .. string.pack(">I4", adler(s))
end

local kinds = { "IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "iCCP", "sBIT", "bKGD", "pHYs", "tEXt",
  "zTXt", "iTXt", "tIME", "acTL", "fcTL", "fdAT", "aaAa", "AAAA" }

local function change_chunk(chunk, stream)
  local kind, body = chunk:sub(5, 8), chunk:sub(9, -5)
  if kind == "IHDR" and stream.below(2) == 0 then
    local field = stream.below(7)
    if field < 2 then
      body = splice(body, 1 + 4 * field, 4, string.pack(">I4", size(stream, 4)))
    else
      body = splice(body, 7 + field, 1, string.char(stream.below(20)))
    end
  elseif kind == "IDAT" and stream.below(2) == 0 then
    local raw = {}
    for i = 1, stream.below(400) do raw[i] = string.char(stream.below(stream.below(2) == 0 and 5 or 256)) end
    body = zlib(table.concat(raw))
  elseif stream.below(3) == 0 then
    kind = pick(kinds, stream)
  else
    body = mutate.bytes(body, stream)
  end
  local made = png_chunk(kind, body)
  if stream.below(8) == 0 then made = png_chunk(pick(kinds, stream), mutate.bytes(body, stream)) .. made end
  return made
end

--- Chunks of a PNG file changed, their lengths and checksums made right.
function mutate.png(s, stream)
  local list, at = {}, 9
  while at + 11 <= #s do
    local n = string.unpack(">I4", s, at)
    list[#list + 1] = s:sub(at, at + 11 + n)
    at = at + 12 + n
  end
  return s:sub(1, 8) .. table.concat(pieces(list, stream, change_chunk))
end

-- JPEG ----------------------------------------------------------------------------------------------------------------

-- Segments of a JPEG; the coded data after a start of scan belongs to it.
local function segments(s)
  local list, at = {}, 1
  while at < #s do
    local following
    local marker = s:byte(at + 1)
    if marker == 0xD8 or marker == 0xD9 then
      following = at + 2
    else
      following = at + 2 + string.unpack(">I2", s, at + 2)
      if marker == 0xDA then
        following = s:find("\255[^\0\208-\215]", following) or #s + 1
      end
    end
    list[#list + 1] = s:sub(at, following - 1)
    at = following
  end
  return list
end

local function change_segment(segment, stream)
  local marker = segment:byte(2)
  if marker == 0xD8 or marker == 0xD9 then return segment end
  local kind = stream.below(4)
  if marker >= 0xC0 and marker <= 0xC2 and kind < 2 and #segment > 9 then -- sizes, sampling, components of a frame
    if kind == 0 then return splice(segment, 6 + 2 * stream.below(2), 2, string.pack(">I2", size(stream, 2))) end
    return splice(segment, 10 + stream.below(#segment - 9), 1, string.char(stream.below(256)))
  end
  if kind == 0 then return segment:sub(1, 1) .. string.char(0xC0 + stream.below(64)) .. segment:sub(3) end
  local body = mutate.bytes(segment:sub(5), stream)
  if marker == 0xDA then return segment:sub(1, 4) .. body end
  return segment:sub(1, 2) .. string.pack(">I2", #body + 2 & 0xFFFF) .. body
end

--- Segments of a JPEG file changed, their lengths made right.
function mutate.jpeg(s, stream)
  local list = segments(s)
  local first = table.remove(list, 1)
  return first .. table.concat(pieces(list, stream, change_segment))
end

return mutate
