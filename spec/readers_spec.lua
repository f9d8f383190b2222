--- Readers of files: NumPy's arrays (made by NumPy, spec/golden/files), CSV, text, pictures.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local files = here .. "/golden/files/"
local npy, csv, image, text = torch.utils.npy, torch.utils.csv, torch.utils.image, torch.utils.text
local refuses = near.refuses

local function shape(t) return { table.unpack(t.shape) } end

describe("crc32", function()
  it("is the one of zip files, of any part of a string", function()
    assert.equal(0xCBF43926, torch.crc32("123456789"))
    local function bit_by_bit(bytes)
      local crc = 0xFFFFFFFF
      for i = 1, #bytes do
        crc = crc ~ bytes:byte(i)
        for _ = 1, 8 do crc = crc & 1 == 1 and 0xEDB88320 ~ (crc >> 1) or crc >> 1 end
      end
      return crc ~ 0xFFFFFFFF
    end
    local bytes = torch.randint(0, 256, { 60 }, { dtype = torch.uint8 }):tobytes()
    for count = 0, 40 do
      assert.equal(bit_by_bit(bytes:sub(count // 3 + 1, count // 3 + count)), torch.crc32(bytes, count // 3, count))
    end
    assert.equal(bit_by_bit(bytes:sub(8)), torch.crc32(bytes, 7))
    assert.equal(0, torch.crc32(bytes, 60))
    for _, part in ipairs { { 61 }, { -1 }, { 60, 1 }, { 3, -1 }, { 0, math.maxinteger } } do
      refuses(function() torch.crc32(bytes, table.unpack(part)) end, "crc32(): ")
    end
  end)
end)

describe("npy files", function()
  local folder, remove, path
  setup(function()
    folder, remove = near.folder()
    path = folder .. "/x.npy"
  end)
  teardown(function() remove() end)

  local kinds = { b1 = "bool", u1 = "uint8", i1 = "int8", i2 = "int16", i4 = "int32", i8 = "int64", f2 = "float16",
    f4 = "float32", f8 = "float64" }

  for code, dtype in pairs(kinds) do
    it("of " .. dtype .. " in both byte orders", function()
      for _, order in ipairs(code:sub(2) == "1" and { "" } or { "l", "b" }) do
        local t = npy.load(files .. "c_" .. order .. code .. ".npy")
        assert.equal(torch[dtype], t.dtype)
        assert.same({ 2, 3 }, shape(t))
        local wanted = torch.arange(6):sub(2):to(torch[dtype]):reshape(2, 3)
        assert.is_true(t:equal(wanted))
      end
    end)

    it("of " .. dtype .. " come back", function()
      local t = torch.arange(6):remainder(2):to(torch[dtype]):reshape(2, 3)
      for _, x in ipairs { t, t:t(), t[1][1], t:narrow(1, 1, 0), t[2] } do
        npy.save(path, x)
        local back = npy.load(path)
        assert.equal(x.dtype, back.dtype)
        assert.same(shape(x), shape(back))
        assert.is_true(back:equal(x))
      end
    end)
  end

  it("in Fortran order, of one number, without elements, of version 2", function()
    assert.is_true(npy.load(files .. "fortran.npy"):equal(torch.arange(24):to(torch.float32):reshape(2, 3, 4)))
    assert.equal(2.5, npy.load(files .. "scalar.npy"):item())
    assert.same({ 0, 3 }, shape(npy.load(files .. "empty.npy")))
    assert.same({ 0, 1, 2 }, npy.load(files .. "version2.npy"):tolist())
  end)

  it("are written byte for byte as NumPy does", function()
    npy.save(path, npy.load(files .. "c_lf4.npy"))
    assert.equal(near.read(files .. "c_lf4.npy"), near.read(path))
    npy.save(path, npy.load(files .. "scalar.npy"))
    assert.equal(near.read(files .. "scalar.npy"), near.read(path))
  end)

  it("that a tensor cannot hold are refused with a remedy", function()
    refuses(function() npy.load(files .. "uint32.npy") end, "can't convert an array of type '<u4' (uint32)", "astype")
    refuses(function() npy.load(files .. "text.npy") end, "'<U2' (str)")
    refuses(function() npy.load(files .. "objects.npy") end, "Python objects")
    refuses(function() npy.load(files .. "records.npy") end, "structured dtype")
    refuses(function() npy.save(path, torch.ones(2):to(torch.bfloat16)) end, "unsupported ScalarType BFloat16",
      "float()")
    refuses(function() npy.save(path, 3) end, "must be Tensor, not integer")
    refuses(function() npy.load(files .. "no.npy") end, "cannot open the file")
  end)

  it("that lie are refused: every cut, wrong sizes, strange headers", function()
    local s = near.read(files .. "c_lf4.npy")
    for n = 0, #s - 1 do refuses(function() npy.parse(s:sub(1, n), "cut") end, "cut") end
    refuses(function() npy.parse(s .. "x", "long") end, "[2, 3] elements of torch.float32, but 25 bytes follow")
    local function header(dictionary, body)
      return "\147NUMPY\1\0" .. string.pack("<s2", dictionary) .. (body or "")
    end
    refuses(function()
      npy.parse(header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 8), }"), "f")
    end, "promises [4611686018427387904, 8]")
    refuses(function() npy.parse(header("{'descr': '<f4', 'fortran_order': False, }"), "f") end, "has no 'shape'")
    refuses(function() npy.parse(header("{'descr': '<f4', 'descr': '<f4'}"), "f") end, "twice")
    refuses(function() npy.parse(header("__import__('os')"), "f") end, "cannot be read at byte 1")
    refuses(function()
      npy.parse(header("{'descr': '<f4', 'fortran_order': 2, 'shape': (), }", "abcd"), "f")
    end, "cannot be read")
  end)

  it("in archives, stored and deflated", function()
    local t = npy.load(files .. "stored.npz")
    assert.same({ 0, 1, 2 }, t.b:tolist())
    assert.same({ { 1, 1 }, { 1, 1 } }, t.a:tolist())
    local names = {}
    for name in pairs(t) do names[#names + 1] = name end
    assert.same({ "b", "a" }, names)
    t = npy.load(files .. "deflated.npz")
    assert.same({ 50, 60 }, shape(t.zeros))
    assert.same({ 0, 1, 2 }, t.a:tolist())
    assert.equal(torch.int16, t.a.dtype)
    npy.savez(path, { x = torch.arange(3), ["y.z"] = torch.ones(2, 2):t() })
    local back = npy.load(path)
    assert.is_true(back.x:equal(torch.arange(3)))
    assert.is_true(back["y.z"]:equal(torch.ones(2, 2)))
    refuses(function() npy.savez(path, { a = 1 }) end, "'a' must be Tensor, not integer")
  end)

  it("in damaged archives are refused", function()
    for _, name in ipairs { "stored.npz", "deflated.npz" } do
      local s = near.read(files .. name)
      for n = 0, #s - 1, 3 do refuses(function() npy.parse_npz(s:sub(1, n), "cut") end, "cut") end
    end
    local s = near.read(files .. "stored.npz")
    local at = s:find("\0\0\128\63", 1, true)
    refuses(function() npy.parse_npz(s:sub(1, at - 1) .. "\1" .. s:sub(at + 1), "f") end, "checksum", "a.npy")
  end)
end)

describe("csv", function()
  it("reads numbers, with and without a header, chosen columns, missing values", function()
    local x = csv.parse_numbers("1,2\n3,4.5\n")
    assert.same({ { 1, 2 }, { 3, 4.5 } }, x:tolist())
    assert.equal(torch.float32, x.dtype)
    local y, names = csv.parse_numbers('a,"b, ""c""",d\r\n1,2,3\r\n-4,"5",+6e1', { header = true, dtype = torch.float64,
      columns = { "d", 'b, "c"' } })
    assert.same({ "d", 'b, "c"' }, names)
    assert.same({ { 3, 2 }, { 60, 5 } }, y:tolist())
    assert.same({ { 7 }, { 9 } }, csv.parse_numbers("7;8\n9;1", { delimiter = ";", columns = { 1 } }):tolist())
    assert.same({ { 1, -1 }, { -1, 2 } }, csv.parse_numbers("1,\nNA,2", { missing = -1 }):tolist())
    near.check({ { math.huge, -math.huge, 0 / 0 } }, csv.parse_numbers("inf,-Inf,nan"))
    assert.same({ 0, 2 }, shape((csv.parse_numbers("a,b\n", { header = true }))))
    assert.same({ { 9007199254740993 } }, csv.parse_numbers("9007199254740993", { dtype = torch.int64 }):tolist())
    assert.same({ 0, 0 }, shape(csv.parse_numbers("")))
    assert.same({ { 1 }, { 2 } }, csv.parse_numbers("\xEF\xBB\xBF1\n2\n"):tolist())
  end)

  it("reads fields as RFC 4180 says", function()
    assert.same({ { "a", "b\nc", 'd "e"' }, { "", "", "x" }, { "1", "2", "" } },
      csv.parse('a,"b\nc","d ""e"""\r\n,"",x\r\n1,2,'))
    assert.same({ { "a b", " c" } }, csv.parse("a b, c"))
    assert.same({ { "a\rb" } }, csv.parse("a\rb\n"))
    refuses(function() csv.parse('a,"b', nil, "f") end, "f: row 1", "no end")
    refuses(function() csv.parse('1\n"a"b,c', nil, "f") end, "f: row 2", "after its closing quote")
    refuses(function() csv.parse('a"b', nil, "f") end, "has a quote inside")
  end)

  it("names what is wrong", function()
    refuses(function() csv.parse_numbers("1,2\n3\n", nil, "f") end, "f: row 2: it has 1 fields, but the first row has "
      .. "2")
    refuses(function() csv.parse_numbers("a,b\n1,x\n", { header = true }, "f") end, "f: row 2: field 2 (b) is 'x'")
    refuses(function() csv.parse_numbers("1,\n", nil, "f") end, "missing = 0/0")
    refuses(function() csv.parse_numbers("0x10", nil, "f") end, "no number")
    refuses(function() csv.parse_numbers("a\n1", { header = true, columns = { "b" } }) end, "no column 'b'; it has: a")
    refuses(function() csv.parse_numbers("1", { columns = { 2 } }) end, "no column 2")
    refuses(function() csv.parse_numbers("1", { colums = { 2 } }) end, "unexpected keyword argument 'colums'")
    refuses(function() csv.parse_numbers("1", { delimiter = ",," }) end, "delimiter must be one character")
    refuses(function() csv.load(3) end, "must be str, not integer")
  end)

  it("reads files", function()
    local folder, remove = near.folder()
    near.write(folder .. "/x.csv", "a,b\n1,2\n")
    assert.same({ { 1, 2 } }, csv.load(folder .. "/x.csv", { header = true }):tolist())
    assert.same({ { "a", "b" }, { "1", "2" } }, csv.read(folder .. "/x.csv"))
    remove()
  end)
end)

describe("text", function()
  it("encodes and decodes characters, from 1", function()
    local v = text.Vocabulary("hello wörld")
    assert.same({ " ", "d", "e", "h", "l", "o", "r", "w", "ö" }, v.tokens)
    assert.equal(9, #v)
    local x = v:encode("löwe")
    assert.equal(torch.int64, x.dtype)
    assert.same({ 5, 9, 8, 3 }, x:tolist())
    assert.equal("löwe", v:decode(x))
    assert.equal("he", v:decode { 4, 3 })
    assert.same({ 0 }, shape(v:encode("")))
    assert.equal("", v:decode(v:encode("")))
  end)

  it("takes an array of tokens and a token for the unknown", function()
    local v = text.Vocabulary({ "b", "a" }, { unknown = "?" })
    assert.same({ 2, 1, 3 }, v:encode("abc"):tolist())
    assert.equal("ab?", v:decode(v:encode("abc")))
    refuses(function() text.Vocabulary("ab"):encode("abc") end, "'c' (at position 3) is not in the vocabulary of 2")
    refuses(function() text.Vocabulary("ab"):decode { 0 } end, "0 (at position 1)", "count from 1")
    refuses(function() text.Vocabulary { "a", "a" } end, "token 2, 'a', is there twice")
    refuses(function() text.Vocabulary("\255") end, "not UTF-8 at byte 1")
  end)
end)

describe("pictures", function()
  local ramp = torch.arange(4 * 5 * 7):remainder(251):to(torch.uint8):reshape(4, 5, 7)

  it("are built in", function()
    assert.is_true(image.available())
  end)

  it("come back from PNG, with every number of channels and level", function()
    for channels = 1, 4 do
      local x = ramp:narrow(1, 1, channels)
      assert.is_true(image.decode(image.encode_png(x)):equal(x))
      assert.is_true(image.decode(image.encode_png(x, { compression_level = 0 })):equal(x))
    end
    assert.same({ 1, 5, 7 }, shape(image.decode(image.encode_png(ramp[1]))))
  end)

  it("are converted to the mode that is asked for", function()
    local gray = torch.full({ 1, 2, 2 }, 90):to(torch.uint8)
    local s = image.encode_png(gray)
    assert.is_true(image.decode(s, { mode = "rgb" }):equal(gray:expand(3, 2, 2)))
    local both = image.decode(s, { mode = "gray_alpha" })
    assert.same({ 90, 255 }, { both[1][1][1]:item(), both[2][1][1]:item() })
    assert.same({ 4, 2, 2 }, shape(image.decode(s, { mode = "rgb_alpha" })))
    local white = image.encode_png(torch.full({ 4, 3, 3 }, 255):to(torch.uint8))
    assert.same({ 1, 3, 3 }, shape(image.decode(white, { mode = "gray" })))
    assert.equal(255, image.decode(white, { mode = "gray" }):min():item())
    assert.same({ 3, 3, 3 }, shape(image.decode(white, { mode = "rgb" })))
  end)

  it("come from JPEG files: a ramp of x in red, of y in green", function()
    for _, name in ipairs { "ramp.jpg", "progressive.jpg", "cmyk.jpg" } do
      local x = image.read(files .. name):to(torch.float32)
      assert.same({ 3, 16, 24 }, shape(x))
      local wanted = torch.stack({ (torch.arange(24) * 10):expand(16, 24), (torch.arange(16) * 15):unsqueeze(2)
        :expand(16, 24), torch.full({ 16, 24 }, 64) }, 1)
      assert.is_true((x - wanted):abs():max():item() < 16)
      assert.is_true((x - wanted):abs():mean():item() < 3)
    end
    assert.same({ 1, 16, 24 }, shape(image.read(files .. "gray.jpg")))
    assert.same({ 1, 16, 24 }, shape(image.read(files .. "ramp.jpg", { mode = "gray" })))
    assert.same({ 3, 16, 24 }, shape(image.read(files .. "gray.jpg", { mode = "rgb" })))
    refuses(function() image.read(files .. "ramp.jpg", { mode = "rgb_alpha" }) end, "no alpha channel")
  end)

  it("come from PNG files of 16 bits and 1 bit, with palettes, transparent ones, interlaced ones", function()
    assert.same({ { { 0x12, 255 }, { 0, 0x80 } } }, image.read(files .. "gray16.png"):tolist())
    assert.same({ { { 255, 0, 255, 255, 0, 0, 255, 255, 0, 255 } } }, image.read(files .. "gray1.png"):tolist())
    assert.same({ { { 255, 0, 1 }, { 1, 0, 255 } }, { { 0, 255, 2 }, { 2, 255, 0 } }, { { 0, 0, 3 }, { 3, 0, 0 } } },
      image.read(files .. "palette2.png"):tolist())
    assert.same({ { { 255, 0, 1 } }, { { 0, 255, 2 } }, { { 0, 0, 3 } }, { { 7, 255, 255 } } },
      image.read(files .. "palette_alpha.png"):tolist())
    assert.same({ 3, 1, 3 }, shape(image.read(files .. "palette_alpha.png", { mode = "rgb" })))
    assert.same({ { { 10, 20, 30 }, { 40, 50, 60 } } }, image.read(files .. "interlaced.png"):tolist())
  end)

  it("that are cut are refused, as are headers that lie", function()
    local s = image.encode_png(ramp)
    for n = 0, #s - 1 do refuses(function() image.decode(s:sub(1, n), nil, "cut") end, "cut cannot be read") end
    s = near.read(files .. "ramp.jpg")
    for n = 0, #s - 3 do refuses(function() image.decode(s:sub(1, n), nil, "cut") end, "cut cannot be read") end
    local header = "\137PNG\r\n\26\n" .. string.pack(">I4", 13) .. "IHDR" .. string.pack(">I4I4BBBBB", 1 << 23, 1 << 23,
      8, 6, 0, 0, 0)
    refuses(function() image.decode(header .. string.pack(">I4", 0) .. "IDAT") end, "cannot be read")
  end)

  it("that cannot be written are refused", function()
    refuses(function() image.encode_png(torch.ones(1, 2, 2)) end, "dtype should be uint8, not torch.float32")
    refuses(function() image.encode_png(torch.zeros(5, 2, 2):to(torch.uint8)) end, "1 to 4 channels", "[5, 2, 2]")
    refuses(function() image.encode_png(ramp, { compression_level = 10 }) end, "between 0 and 9, not 10")
    refuses(function() image.decode("abc", { mode = "cmyk" }) end, "not cmyk")
    refuses(function() image.decode("abc") end, "neither PNG nor JPEG")
  end)

  it("are written to files", function()
    local folder, remove = near.folder()
    image.write_png(ramp, folder .. "/x.png")
    assert.is_true(image.read(folder .. "/x.png"):equal(ramp))
    refuses(function() image.write_png(ramp, folder .. "/no/x.png") end, "cannot write")
    remove()
  end)
end)
