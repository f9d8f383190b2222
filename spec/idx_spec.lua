--- The IDX reader: every element type, gzip, and files that are truncated or lie.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local idx = torch.utils.idx
local refuses = near.refuses

local function file(kind, sizes, body)
  local parts = { string.pack(">I2BB", 0, kind, #sizes) }
  for i, size in ipairs(sizes) do parts[i + 1] = string.pack(">I4", size) end
  return table.concat(parts) .. body
end

describe("idx.parse", function()
  local kinds = {
    { 0x08, "uint8", ">BBBBBB", { 0, 1, 2, 127, 128, 255 } },
    { 0x09, "int8", ">bbbbbb", { 0, 1, -2, 127, -128, -1 } },
    { 0x0B, "int16", ">i2i2i2i2i2i2", { 0, 1, -2, 300, -32768, 32767 } },
    { 0x0C, "int32", ">i4i4i4i4i4i4", { 0, 1, -2, 300, -70000, 70000 } },
    { 0x0D, "float32", ">ffffff", { 0.0, 1.5, -2.25, 1e10, -0.0, math.huge } },
    { 0x0E, "float64", ">dddddd", { 0.0, 1.1, -2.2, 1e100, -0.0, -math.huge } },
  }
  for _, kind in ipairs(kinds) do
    it("reads " .. kind[2], function()
      local bytes = file(kind[1], { 2, 3 }, string.pack(kind[3], table.unpack(kind[4])))
      if torch[kind[2]] == nil then return refuses(function() idx.parse(bytes) end, kind[2]) end
      local t = idx.parse(bytes)
      assert.equal(torch[kind[2]], t.dtype)
      assert.same({ 2, 3 }, { table.unpack(t.shape) })
      if kind[2] ~= "float32" then
        assert.same(kind[4], t:flatten():tolist())
      else
        near.check(kind[4], t:flatten(), 1e-6)
      end
    end)
  end

  it("reads arrays without elements", function()
    assert.same({ 0, 5 }, { table.unpack(idx.parse(file(8, { 0, 5 }, "")).shape) })
    local big = 0xFFFFFFFF
    assert.is_false((pcall(idx.parse, file(8, { big, big, 0 }, "x"))))
  end)

  it("refuses every cut of a file", function()
    local bytes = file(8, { 2, 3 }, "abcdef")
    for n = 0, #bytes - 1 do refuses(function() idx.parse(bytes:sub(1, n), "cut") end, "cut") end
    refuses(function() idx.parse(bytes .. "x", "long") end, "long is too long", "6 bytes of data, but 7 follow")
    refuses(function() idx.parse(bytes:sub(1, -2), "short") end, "short is truncated", "[2, 3]")
    refuses(function() idx.parse(bytes:sub(1, 9), "head") end, "ends inside its header")
  end)

  it("refuses headers that lie", function()
    local big = 0xFFFFFFFF
    refuses(function() idx.parse(file(8, { big, big, big, big }, "abc"), "f") end, "f is truncated", "4294967295")
    refuses(function() idx.parse(file(0x0A, { 1 }, "a"), "f") end, "no IDX file", "00 00 0a 01")
    refuses(function() idx.parse("PK\3\4abcd", "f") end, "no IDX file", "50 4b 03 04")
    refuses(function() idx.parse(file(8, {}, "a"), "f") end, "no dims")
    refuses(function() idx.parse(3) end, "expected a string")
  end)
end)

describe("idx.read", function()
  local folder, remove
  setup(function() folder, remove = near.folder() end)
  teardown(function() remove() end)

  it("reads plain and gzipped files, told by their content", function()
    local path = folder .. "/it's here"
    near.write(path, file(8, { 4 }, "\1\2\3\4"))
    assert.same({ 1, 2, 3, 4 }, idx.read(path):tolist())
    assert(os.execute("gzip -n < \"" .. path .. "\" > \"" .. path .. ".x\""))
    assert.same({ 1, 2, 3, 4 }, idx.read(path .. ".x"):tolist())
  end)

  it("refuses damaged and oversized gzip files", function()
    local path = folder .. "/a"
    near.write(path, file(8, { 100000 }, ("\0"):rep(100000)))
    assert(os.execute("gzip -n " .. path))
    local packed = near.read(path .. ".gz")
    refuses(function() idx.read(path .. ".gz", { limit = 5000 }) end, "5000")
    assert.equal(100000, idx.read(path .. ".gz"):numel())
    near.write(path .. ".cut", packed:sub(1, -20))
    refuses(function() idx.read(path .. ".cut") end, "cannot unpack")
    for at = 12, #packed do
      local changed = packed:sub(1, at - 1) .. string.char(packed:byte(at) ~ 0x55) .. packed:sub(at + 1)
      near.write(path .. ".bad", changed)
      refuses(function() idx.read(path .. ".bad") end, path .. ".bad")
    end
  end)

  it("says what is missing", function()
    refuses(function() idx.read(folder .. "/none") end, "cannot open", "none")
    refuses(function() idx.read(folder) end, "idx.read")
    refuses(function() idx.read(3) end, "argument 'path' must be str, not integer")
  end)

  it("reads MNIST", function()
    local mnist = os.getenv("MNIST")
    if not mnist or mnist == "" then return pending("MNIST is not set: the folder of the four IDX files") end
    local images = idx.read(mnist .. "/t10k-images-idx3-ubyte.gz")
    assert.same({ 10000, 28, 28 }, { table.unpack(images.shape) })
    local labels = idx.read(mnist .. "/t10k-labels-idx1-ubyte.gz")
    assert.same({ 7, 2, 1, 0, 4, 1, 4, 9, 5, 9 }, labels[{ { 1, 10 } }]:tolist())
  end)
end)
