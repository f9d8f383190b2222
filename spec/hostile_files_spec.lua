--- Files that are none, or mean harm, for every reader: each is refused at once by an error that names the file and
-- what is wrong with it, and no more memory is taken than the file can justify.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local zip = require "moontorch.utils.zip"
local utils = torch.utils
local refuses = near.refuses

local readers = {
  ["idx.read"] = utils.idx.read, ["npy.load"] = utils.npy.load, ["csv.load"] = utils.csv.load,
  ["csv.read"] = utils.csv.read, ["image.read"] = utils.image.read, ["load_file"] = utils.safetensors.load_file,
  ["pickle.load_file"] = utils.pickle.load_file, load = torch.load,
}

-- A good file for each; of the others it is text.
local golden = {
  ["idx.read"] = "images.idx.gz", ["npy.load"] = "c_lf4.npy", ["image.read"] = "ramp.jpg", load = "values.pt",
  ["load_file"] = "ours/mlp.safetensors", ["pickle.load_file"] = "theirs/old_mlp.pth",
}

-- How a file from before PyTorch 1.6 starts: its number, and in what stands for its version.
local MAGIC = "\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


-- f(...) must end within the time, and take no more memory than the bound: Lua's, with nothing collected meanwhile, and
-- the library's.
local function within(bytes, f)
  collectgarbage()
  collectgarbage("stop")
  torch.reset_peak_memory()
  local lua, native, started = collectgarbage("count"), torch.memory().in_use, torch.clock()
  local good, message = pcall(f)
  local took, clock = (collectgarbage("count") - lua) * 1024, torch.clock() - started
  collectgarbage("restart")
  assert(good, message)
  took = math.max(took, torch.memory().peak - native)
  assert.is_true(took <= bytes, took .. " bytes")
  assert.is_true(clock < 20, clock .. " seconds")
end

describe("every reader", function()
  local folder, remove
  setup(function() folder, remove = near.folder() end)
  teardown(function() remove() end)

  for name, read in pairs(readers) do
    local path
    before_each(function() path = folder .. "/file of " .. name end)
    after_each(function() os.execute("rm -f '" .. path .. "'") end)

    it(name .. " refuses what is no file", function()
      refuses(function() read(path) end, name, path, "No such file or directory")
      refuses(function() read(folder) end, name, folder, "it is a directory")
      refuses(function() read("/dev/zero") end, name, "/dev/zero: it is a device")
      refuses(function() read("a\0b") end, name, "embedded null byte")
      assert(os.execute("mkfifo '" .. path .. "'"))
      refuses(function() read(path) end, name, path, "FIFO")
    end)

    it(name .. " takes open files, from where they stand", function()
      local good, again = golden[name] or "1,2\n3,4\n", folder .. "/again"
      if golden[name] then good = near.read(here .. "/golden/files/" .. good) end
      local function saved(value)
        torch.save({ value }, again)
        return near.read(again)
      end
      near.write(path, "before" .. good)
      local file = assert(io.open(path, "rb"))
      file:seek("set", 6)
      local got = saved(read(file))
      assert.equal("file", io.type(file))
      near.write(path, good)
      assert.equal(saved(read(path)), got)
      if not name:find("^csv") then refuses(function() read(file) end, name .. "(): the open file") end -- at its end
      file:close()
      refuses(function() read(file) end, name .. "(): ", "I/O operation on closed file")
      local pipe = assert(io.popen("cat '" .. path .. "'"))
      assert.equal(got, saved(read(pipe)))
      pipe:close()
      local writable = assert(io.open(path, "wb"))
      refuses(function() read(writable) end, name .. "(): cannot read the open file: ", "Bad file descriptor")
      writable:close()
    end)

    it(name .. " refuses what may not be read", function()
      near.write(path, "1,2\n")
      assert(os.execute("chmod 0 '" .. path .. "'"))
      local file = io.open(path)
      if file then file:close() return end -- root reads everything
      refuses(function() read(path) end, name, path, "Permission denied")
    end)

    if not name:find("^csv") then
      it(name .. " refuses empty files, and the beginnings of other formats", function()
        for _, s in ipairs { "", "\0", "PK\3\4", "\31\139\8", "\147NUMPY", "\137PNG\r\n\26\n", "\255\216\255",
          "\0\0\8\1\255\255\255\255", ("\0"):rep(100), ("\255"):rep(100), MAGIC } do
          near.write(path, s)
          refuses(function() read(path) end, name .. "(): ", path)
        end
      end)

      it(name .. " refuses a huge file without reading it", function()
        for _, start in ipairs { "", "\0\0\8\1\0\0\0\5", "\147NUMPY\1\0\5\0{}   ", "\2\0\0\0\0\0\0\0{}",
          "PK\3\4", "\137PNG\r\n\26\n", "\255\216\255", MAGIC, MAGIC .. "\x80\2M\xe8\3." } do
          near.write(path, start)
          assert(os.execute("truncate -s 64G '" .. path .. "'"))
          within(1 << 20, function() refuses(function() read(path) end, name .. "(): ", path) end)
        end
      end)
    end
  end

  it("gives an empty table of an empty CSV file", function()
    local path = folder .. "/empty.csv"
    near.write(path, "")
    assert.same({}, utils.csv.read(path))
    assert.equal(0, utils.csv.load(path):numel())
  end)
end)

describe("archives", function()
  local zeros = near.read(here .. "/golden/files/deflated.npz")

  -- A directory that names one entry `n` times.
  local function overlapping(n)
    local first = zeros:find("PK\1\2", 1, true)
    local last = zeros:find("PK\5\6", first, true)
    local length = string.unpack("<I2", zeros, first + 28)
    local extra, comment = string.unpack("<I2I2", zeros, first + 30)
    local parts = {}
    for i = 1, n do
      local name = ("%0" .. length - 4 .. "d.npy"):format(i)
      parts[i] = zeros:sub(first, first + 45) .. name .. zeros:sub(first + 46 + length, first + 45 + length + extra
        + comment)
    end
    local directory = table.concat(parts)
    return zeros:sub(1, first - 1) .. directory .. zeros:sub(last, last + 7) .. string.pack("<I2I2I4", n, n, #directory)
      .. zeros:sub(last + 16)
  end

  it("whose entries overlap are refused: they would unpack to more than deflate allows", function()
    assert.is_true(utils.npy.parse_npz(overlapping(1))[("0"):rep(4) .. "1"] ~= nil)
    local bomb = overlapping(1000)
    within(1 << 21, function() refuses(function() utils.npy.parse_npz(bomb, "bomb") end, "bomb", "overlap") end)
  end)

  it("whose entries promise more than they hold are refused", function()
    local first = zeros:find("PK\1\2", 1, true)
    local lie = zeros:sub(1, first + 23) .. string.pack("<I4", 0x7FFFFFFF) .. zeros:sub(first + 28)
    within(1 << 20, function() refuses(function() utils.npy.parse_npz(lie, "lie") end, "lie", "cannot unpack") end)
  end)
end)

describe("gzipped IDX files", function()
  it("unpack to what their header promises, not more", function()
    local folder, remove = near.folder()
    local path = folder .. "/bomb.gz"
    local pipe = assert(io.popen("gzip -1 > '" .. path .. "'", "w"))
    pipe:write(string.pack(">I2BBI4", 0, 8, 1, 1000))
    for _ = 1, 64 do pipe:write(("\0"):rep(1 << 20)) end
    pipe:close()
    within(1 << 21, function() refuses(function() utils.idx.read(path) end, "bomb.gz", "more than 1008 bytes") end)
    pipe = assert(io.popen("gzip -1 > '" .. path .. "'", "w"))
    pipe:write(string.pack(">I2BBI4I4I4", 0, 8, 3, 60000, 6000, 6000))
    pipe:close()
    within(1 << 20, function()
      refuses(function() utils.idx.read(path) end, "bomb.gz", "its header promises [60000, 6000, 6000] elements")
    end)
    remove()
  end)
end)

describe("pickles", function()
  local function file(program)
    return table.concat(zip.pack { { "a/data.pkl", { "\x80\2" .. program .. "." } } })
  end

  it("whose tuples hold each other twice stay small", function()
    local s = file("K\1\x85q\0" .. ("h\0h\0\x86q\0"):rep(200) .. "]q\1h\0a")
    within(1 << 20, function()
      local value = utils.pickle.load(s)[1]
      assert.equal(value[1], value[2])
      for _ = 1, 200 do value = value[2] end
      assert.same({ 1 }, value)
    end)
  end)

  it("whose tuples and lists are nested without end, or stand side by side, are read in linear time", function()
    local n = os.getenv("GCSTRESS") and 1000 or 100000
    local depth, value = 0, utils.pickle.load(file("]" .. ("]"):rep(n) .. ("a"):rep(n)))
    while value do depth, value = depth + 1, value[1] end
    assert.equal(n + 1, depth)
    depth, value = 0, utils.pickle.load(file("N" .. ("\x85"):rep(n)))
    while value ~= torch.none do depth, value = depth + 1, value[1] end
    assert.equal(n, depth)
    within(1 << 26, function() value = utils.pickle.load(file("(" .. (")\x85"):rep(n) .. "t")) end)
    assert.equal(n, #value)
    assert.same({ {} }, value[n])
  end)
end)

describe("text", function()
  it("in CSV files takes linear time, blanks too", function()
    local blanks = (" "):rep(1000000)
    within(1 << 24, function() refuses(function() utils.csv.parse_numbers("1" .. blanks .. "x", nil, "f") end, "f") end)
    within(1 << 24, function()
      refuses(function() utils.csv.parse_numbers(blanks .. "," .. blanks, nil, "f") end, "f: row 1: field 1")
    end)
    assert.same({ { 1, 2 } }, utils.csv.parse_numbers(blanks .. "1" .. blanks .. ",\t2 \n"):tolist())
  end)
end)

describe("pictures", function()
  local function chunk(kind, body)
    return string.pack(">I4", #body) .. kind .. body .. string.pack(">I4", torch.crc32(kind .. body))
  end
  local x = torch.arange(12):to(torch.uint8):reshape(1, 3, 4)
  local png = utils.image.encode_png(x)
  local signature, header = png:sub(1, 8), png:sub(9, 33)

  it("with damaged or endless chunks that hold no pixels are read", function()
    local text = chunk("zTXt", "k\0\0not packed") .. chunk("iCCP", "p\0\0neither") .. chunk("tEXt", "a\0b")
    assert.is_true(utils.image.decode(signature .. header .. text:rep(2000) .. png:sub(34)):equal(x))
  end)

  it("whose headers promise more than their bytes can hold are refused", function()
    for _, sides in ipairs { { 1 << 24, 1 }, { 1, 1 << 24 }, { 1 << 24, 1 << 24 }, { 0, 1 }, { 0x7FFFFFFF, 1 } } do
      local sizes = string.pack(">I4I4BBBBB", sides[1], sides[2], 8, 6, 0, 0, 0)
      local lie = signature .. chunk("IHDR", sizes) .. png:sub(34)
      within(1 << 20, function() refuses(function() utils.image.decode(lie, nil, "lie") end, "lie cannot be read") end)
    end
    local jpeg = near.read(here .. "/golden/files/progressive.jpg")
    local at = jpeg:find("\255\194", 1, true)
    local lie = jpeg:sub(1, at + 4) .. string.pack(">I2I2", 60000, 60000) .. jpeg:sub(at + 9)
    within(1 << 20, function() refuses(function() utils.image.decode(lie, nil, "lie") end, "lie", "promises 60000") end)
  end)

  it("of a thousand scans are refused", function()
    local jpeg = near.read(here .. "/golden/files/progressive.jpg")
    local first = jpeg:find("\255\218", 1, true)
    local second = jpeg:find("\255[\192-\199\218\217]", first + 2)
    local slow = jpeg:sub(1, second - 1) .. jpeg:sub(first, second - 1):rep(1000) .. jpeg:sub(second)
    refuses(function() utils.image.decode(slow, nil, "slow") end, "slow", "cannot be read")
  end)
end)
