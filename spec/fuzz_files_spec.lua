--- Files that were changed at random, for every reader: each is read, or refused by an error that names the reader, the
-- file and a position; nothing crashes, hangs, or takes memory that the file's length cannot justify. FUZZ_SEED picks
-- other changes; FUZZ_SECONDS is how long each reader is tried (without it, a fixed number of files), FUZZ_READER the
-- only one that is tried.
local torch = require "moontorch"
local samples = require "spec.support.samples"
local mutate = require "spec.support.mutate"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")

local utils = torch.utils
local seed = os.getenv("FUZZ_SEED") or "1"
local seconds = tonumber(os.getenv("FUZZ_SECONDS") or "")
local only = os.getenv("FUZZ_READER")
local FILES = 400
local SLOWEST = 30

-- The name of the file in messages.
local NAME = "a changed file"

local function golden(name) return near.read(here .. "/golden/files/" .. name) end

-- Files ---------------------------------------------------------------------------------------------------------------

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

local folder, remove = near.folder()
local path = folder .. "/changed"

-- What `write` leaves in a file.
local function made(write)
  write(path)
  return near.read(path)
end

-- A reader of files rather than strings.
local function from_file(read)
  return function(s)
    near.write(path, s)
    return read(path)
  end
end

local picture = torch.arange(4 * 6 * 5):remainder(251):to(torch.uint8):reshape(4, 6, 5)
local saved = { a = { 1, 2.5, "x", true }, w = torch.ones(3, 2), v = torch.arange(4), n = torch.none }
saved.view, saved.self = saved.w:t(), saved

local bytes, either, entry = mutate.bytes, mutate.either, mutate.entry

-- Fields of a CSV file: what separates them put in, taken out, doubled.
local function csv_text(s, stream)
  local marks = { ",", '"', '""', "\n", "\r\n", "\r", ";", " ", "\t", "1e999", "nan", "0x1", "\0", "\xEF\xBB\xBF" }
  local at = 1 + stream.below(#s + 1)
  local mark = marks[1 + stream.below(#marks)]
  return s:sub(1, at - 1) .. mark:rep(stream.below(20) == 0 and 2000 or 1) .. s:sub(at)
end

-- name: parser, name in messages, the files, how they are changed, the most bytes that a byte of the file may become.
local readers = {
  idx = { function(s) return utils.idx.parse(s, NAME) end, "idx.",
    { idx_file(8, { 2, 3 }, "abcdef"), idx_file(0x0D, { 2, 1 }, ("\0"):rep(8)) }, either(bytes, mutate.idx), 16 },
  gzip = { function(s)
    local result, reason = torch.inflate(s, 1 << 20)
    if not result then error(("f.lua:1: inflate(): %s: %s"):format(NAME, reason), 0) end
  end, "inflate", { golden "ramp.gz" }, bytes, 1032 * 3 },
  ["idx.gz"] = { from_file(utils.idx.read), "idx.", { golden "images.idx.gz" }, bytes, 1032 * 8 },
  safetensors = { function(s) return utils.safetensors.load(s, NAME) end, "load_file", { safetensors_file() },
    either(bytes, mutate.safetensors), 64 },
  save = { from_file(torch.load), "load", { made(function(p) torch.save(saved, p) end) },
    either(bytes, mutate.safetensors), 128 },
  load = { from_file(torch.load), "load", { golden "views.pt", golden "theirs/checkpoint_legacy_2.pt" }, bytes, 512 },
  csv = { function(s)
    utils.csv.parse(s, nil, NAME)
    utils.csv.parse_numbers(s, { header = true, missing = 0 }, NAME)
  end, "csv.", { 'a,"b ""c"" d",e\r\n1,2,3\r\n4,"5",6e3\n', "x\n1\nNA\n-2.5\n" }, either(bytes, csv_text), 256 },
  text = { function(s)
    local v = utils.text.Vocabulary(s)
    assert(v:decode(v:encode(s)) == s)
  end, "Vocabulary", { "hello wörld\n€ 𝄞" }, bytes, 512 },
  npy = { function(s) return utils.npy.parse(s, NAME) end, "npy.load", { golden "c_lf4.npy", golden "c_bi2.npy",
    golden "fortran.npy", golden "c_b1.npy" }, either(bytes, mutate.npy), 64 },
  npz = { function(s) return utils.npy.parse_npz(s, NAME) end, "npy.load", { golden "stored.npz",
    golden "deflated.npz" }, either(bytes, mutate.directory, mutate.overlapping, entry(mutate.bytes),
    entry(mutate.npy, ".npy")), 1032 * 4 },
  png = { function(s) return utils.image.decode(s, nil, NAME) end, "image.decode", { utils.image.encode_png(picture),
    utils.image.encode_png(picture:narrow(1, 1, 1)), golden "palette_alpha.png", golden "interlaced.png",
    golden "gray16.png", golden "gray1.png" }, either(bytes, mutate.png, mutate.png), 1032 * 32 },
  jpeg = { function(s) return utils.image.decode(s, nil, NAME) end, "image.decode", { golden "ramp.jpg",
    golden "progressive.jpg", golden "gray.jpg", golden "cmyk.jpg" }, either(bytes, mutate.jpeg), 4096 * 8 },
  pickle = { function(s) return utils.pickle.load(s, NAME) end, "pickle.load_file", { golden "values.pt",
    golden "views.pt", golden "protocol4.pt", golden "theirs/spelled_0.pt", golden "theirs/checkpoint_zip_5.pt",
    golden "theirs/numpy_2.pt", golden "theirs/attributes.pt" }, either(bytes, mutate.directory, mutate.overlapping,
    entry(mutate.bytes, "data.pkl"), entry(mutate.pickle, "data.pkl"), entry(mutate.pickle, "data.pkl")), 512 },
  legacy_pickle = { function(s) return utils.pickle.load(s, NAME) end, "pickle.load_file", {
    golden "theirs/old_mlp.pth", golden "theirs/checkpoint_legacy_1.pt", golden "theirs/checkpoint_legacy_2.pt",
    golden "theirs/checkpoint_legacy_4.pt" }, either(bytes, mutate.legacy_pickle, mutate.legacy_pickle), 512 },
}

-- Memory --------------------------------------------------------------------------------------------------------------

-- Where the system tells: the most memory that the process has held since `reset`, in bytes.
local function resident(reset)
  if reset then
    local file = io.open("/proc/self/clear_refs", "w")
    if not file or not file:write("5") then return nil end
    file:close()
  end
  local file = io.open("/proc/self/status")
  local kilobytes = file and file:read("a"):match("VmHWM:%s*(%d+)")
  if file then file:close() end
  return kilobytes and tonumber(kilobytes) * 1024
end

-- Runs f(s): the most memory that it took, Lua's or the library's, and the process's, in bytes; then what pcall gives.
-- While it runs nothing is collected, so Lua's memory is all that was ever taken and not given back at once.
local function measured(f, s)
  torch.reset_peak_memory()
  local native, process = torch.memory().in_use, resident(true)
  collectgarbage("stop")
  local lua = collectgarbage("count")
  local good, message = pcall(f, s)
  lua = (collectgarbage("count") - lua) * 1024
  collectgarbage("restart")
  return math.max(lua, torch.memory().peak - native), process and resident() - process or 0, good, message
end

-- The process is seen from outside: its heap grows in steps, and a sanitizer keeps what was freed.
local SLACK, PROCESS_SLACK = 1 << 18, 48 << 20
-- What a reader takes for itself, for the figures that are printed.
local FIXED = 1 << 14

local worst

local function try(name, reader, number)
  local parse, owner, files, change, ratio = table.unpack(reader)
  local stream = samples.stream(("%s %s %d"):format(seed, name, number))
  local s = change(files[1 + stream.below(#files)], stream)
  local where = ("FUZZ_SEED=%s %s file %d (%d bytes)"):format(seed, name, number, #s)
  local started = torch.clock()
  local taken, process, good, message = measured(parse, s)
  local took = torch.clock() - started
  if not good then
    if type(message) ~= "string" then error(where .. ": the error is no string", 0) end
    local named = message:find(NAME, 1, true) or message:find(path, 1, true) or name == "text"
    if not message:find(owner, 1, true) or not message:find("^[^:\n]+:%d+: ") or not named then
      error(where .. ": " .. message, 0)
    end
    if #message > 20000 + 2 * #s then error(("%s: a message of %d bytes"):format(where, #message), 0) end
  end
  if taken > ratio * #s + SLACK then error(("%s took %d bytes"):format(where, taken), 0) end
  if process > ratio * #s + PROCESS_SLACK then error(("%s took %d bytes of the process"):format(where, process), 0) end
  if took > SLOWEST then error(("%s took %.1f seconds"):format(where, took), 0) end
  worst.taken = math.max(worst.taken, (taken - FIXED) / #s)
  worst.process = math.max(worst.process, process)
  worst.took = math.max(worst.took, took)
  return good
end

describe("changed files are read or refused:", function()
  teardown(function() remove() end)
  for name, reader in pairs(readers) do
    if not only or only == name then
      it(name, function()
        for _, s in ipairs(reader[3]) do reader[1](s) end -- the files themselves are good
        local read, refused, number = 0, 0, 0
        worst = { taken = 0, process = 0, took = 0 }
        local stop = seconds and torch.clock() + seconds
        while stop and torch.clock() < stop or not stop and number < FILES do
          number = number + 1
          if try(name, reader, number) then read = read + 1 else refused = refused + 1 end
          if number % 50 == 0 then collectgarbage() end
        end
        assert.is_true(refused > 0)
        if seconds then
          print(("%-12s %7d read, %7d refused; at most %.0f bytes for a byte, %.0f KB of the process, %.2f s"):format(
            name, read, refused, worst.taken, worst.process / 1024, worst.took))
        end
      end)
    end
  end
end)
