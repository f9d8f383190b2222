--- Files that were changed at random, for every reader: each is read, or refused by an error with the reader's name and
-- a position; nothing crashes, and no memory is taken that the file's length cannot justify. FUZZ_SEED picks other
-- changes; FUZZ_SECONDS is how long each reader is tried (without it, a fixed number of files).
local torch = require "moontorch"
local samples = require "spec.support.samples"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local zip = require "moontorch.utils.zip"

local utils = torch.utils
local seed = os.getenv("FUZZ_SEED") or "1"
local seconds = tonumber(os.getenv("FUZZ_SECONDS") or "")
local FILES = 400

local function golden(name) return near.read(here .. "/golden/files/" .. name) end

-- Changing bytes ------------------------------------------------------------------------------------------------------

local extremes = { "\0", "\255", "\127", "\128", "\1", string.pack("<I4", 0x7FFFFFFF), string.pack("<I4", 0xFFFFFFFF),
  string.pack(">I4", 0x7FFFFFFF), string.pack("<i8", math.maxinteger), string.pack("<i8", -1),
  string.pack("<i8", 1 << 40), "0", "9", "999999999999999999999", "-", "(", "}", '"', "\n", ".", "R", "t", "\x85" }

local function splice(s, at, n, piece) return s:sub(1, at - 1) .. piece .. s:sub(at + n) end

local function change(s, stream)
  for _ = 1, 1 + stream.below(3) do
    local at, kind = 1 + stream.below(#s + 1), stream.below(7)
    local piece = extremes[1 + stream.below(#extremes)]
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

-- One entry of an archive changed, its checksum made right.
local function change_entry(s, stream)
  local archive = zip.open(s, "fuzz", "fuzz")
  local entries, chosen = {}, 1 + stream.below(#archive.list)
  for i, entry in ipairs(archive.list) do
    local data = zip.read(archive, entry)
    if entry.name:find("data%.pkl$") and stream.below(2) == 0 then chosen = i end
    entries[i] = { entry.name, { data } }
  end
  entries[chosen][2][1] = change(entries[chosen][2][1], stream)
  return table.concat(zip.pack(entries))
end

-- The checksums of a PNG's chunks made right, as far as the chunks go.
local function mend_png(s)
  local parts, at = { s:sub(1, 8) }, 9
  while at + 11 <= #s do
    local n = string.unpack(">I4", s, at)
    if at + 11 + n > #s then break end
    local body = s:sub(at + 4, at + 7 + n)
    parts[#parts + 1] = s:sub(at, at + 3) .. body .. string.pack(">I4", torch.crc32(body))
    at = at + 12 + n
  end
  return table.concat(parts) .. s:sub(at)
end

local function either(first, second)
  return function(s, stream)
    if stream.below(2) == 0 then return first(s, stream) end
    return second(s, stream)
  end
end

-- Readers -------------------------------------------------------------------------------------------------------------

local function idx_file(kind, sizes, body)
  local parts = { string.pack(">I2BB", 0, kind, #sizes) }
  for i, size in ipairs(sizes) do parts[i + 1] = string.pack(">I4", size) end
  return table.concat(parts) .. body
end

local function safetensors_file()
  local header = '{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},'
    .. '"y":{"dtype":"BOOL","shape":[3],"data_offsets":[16,19]}}'
  return string.pack("<s8", header) .. ("\1"):rep(19)
end

local picture = torch.arange(4 * 6 * 5):remainder(251):to(torch.uint8):reshape(4, 6, 5)
local function mended(s, stream) return mend_png(change(s, stream)) end

-- name: parser, name in messages, the files, how they are changed, the most bytes that a byte of the file may become.
local readers = {
  idx = { utils.idx.parse, "idx.", { idx_file(8, { 2, 3 }, "abcdef"), idx_file(0x0D, { 2, 1 }, ("\0"):rep(8)) },
    change, 2 },
  gzip = { function(s)
    local bytes, reason = torch.inflate(s, 1 << 20)
    if not bytes then error("f.lua:1: inflate(): " .. reason, 0) end
  end, "inflate", { golden "ramp.gz" }, change, 1032 },
  safetensors = { utils.safetensors.load, "load_file", { safetensors_file() }, change, 2 },
  csv = { function(s)
    utils.csv.parse(s)
    utils.csv.parse_numbers(s, { header = true, missing = 0 })
  end, "csv.", { 'a,"b ""c"" d",e\r\n1,2,3\r\n4,"5",6e3\n', "x\n1\nNA\n-2.5\n" }, change, 64 },
  npy = { utils.npy.parse, "npy.load", { golden "c_lf4.npy", golden "c_bi2.npy", golden "fortran.npy",
    golden "c_b1.npy" }, change, 4 },
  npz = { utils.npy.parse_npz, "npy.load", { golden "stored.npz", golden "deflated.npz" }, either(change, change_entry),
    1032 },
  png = { utils.image.decode, "image.decode", { utils.image.encode_png(picture),
    utils.image.encode_png(picture:narrow(1, 1, 1)), utils.image.encode_png(picture:narrow(1, 1, 3)) },
    either(change, mended), 1032 * 32 },
  jpeg = { utils.image.decode, "image.decode", { golden "ramp.jpg", golden "progressive.jpg", golden "gray.jpg" },
    change, 4096 * 3 },
  pickle = { utils.pickle.load, "pickle.load_file", { golden "values.pt", golden "views.pt", golden "protocol4.pt",
    golden "theirs/spelled_0.pt", golden "theirs/checkpoint_zip_5.pt", golden "theirs/numpy_2.pt",
    golden "theirs/attributes.pt" }, either(change, change_entry), 4 },
  legacy_pickle = { utils.pickle.load, "pickle.load_file", { golden "theirs/old_mlp.pth",
    golden "theirs/checkpoint_legacy_1.pt", golden "theirs/checkpoint_legacy_2.pt",
    golden "theirs/checkpoint_legacy_4.pt" }, change, 4 },
}

local function try(name, reader, number)
  local parse, owner, files, mutate, ratio = table.unpack(reader)
  local stream = samples.stream(("%s %s %d"):format(seed, name, number))
  local s = mutate(files[1 + stream.below(#files)], stream)
  torch.reset_peak_memory()
  local before = torch.memory().in_use
  local good, message = pcall(parse, s)
  local taken = torch.memory().peak - before
  local where = ("FUZZ_SEED=%s %s file %d (%d bytes)"):format(seed, name, number, #s)
  if not good then
    if type(message) ~= "string" then error(where .. ": the error is no string", 0) end
    local told = message:find(owner, 1, true) and message:find("^[^:]+:%d+: ")
    -- A tensor that cannot be made for want of room, or has too many dims, is told by the function that makes it.
    if not told and not message:find("%a%(%): ") then error(where .. ": " .. message, 0) end
  end
  if taken > ratio * #s + (1 << 18) then error(("%s took %d bytes"):format(where, taken), 0) end
  return good
end

describe("changed files are read or refused:", function()
  for name, reader in pairs(readers) do
    it(name, function()
      for _, s in ipairs(reader[3]) do reader[1](s) end -- the files themselves are good
      local read, refused, number = 0, 0, 0
      local stop = seconds and torch.clock() + seconds
      while stop and torch.clock() < stop or not stop and number < FILES do
        number = number + 1
        if try(name, reader, number) then read = read + 1 else refused = refused + 1 end
        if number % 50 == 0 then collectgarbage() end
      end
      assert.is_true(refused > 0)
      if seconds then print(("%-12s %6d read, %6d refused"):format(name, read, refused)) end
    end)
  end
end)
