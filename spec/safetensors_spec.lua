--- safetensors files: what is written comes back, others can read it, and files that lie are refused.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local safetensors, nn = torch.utils.safetensors, torch.nn
local refuses = near.refuses

-- A file with the given header text and data.
local function file(header, body)
  return string.pack("<I8", #header) .. header .. (body or "")
end

local one = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'

describe("safetensors", function()
  local folder, remove, path
  setup(function()
    folder, remove = near.folder()
    path = folder .. "/x.safetensors"
  end)
  teardown(function() remove() end)

  it("keeps every dtype, shape, name and the metadata", function()
    local tensors = {
      ["fc.weight"] = torch.randn(3, 4), scalar = torch.tensor(2.5), empty = torch.zeros(0, 3),
      ['odd "name"\\\n\1 ü'] = torch.tensor { 1.0, 0 / 0, math.huge },
    }
    for _, name in ipairs { "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool" } do
      if torch[name] then tensors[name] = torch.tensor({ 1, 0, 1 }, { dtype = torch[name] }) end
    end
    safetensors.save_file(tensors, path, { format = "pt", note = 'a "quoted" ü\n' })
    local loaded, metadata = safetensors.load_file(path)
    assert.same({ format = "pt", note = 'a "quoted" ü\n' }, metadata)
    local count = 0
    for name, t in pairs(loaded) do
      count = count + 1
      assert.equal(tensors[name].dtype, t.dtype)
      assert.same({ table.unpack(tensors[name].shape) }, { table.unpack(t.shape) })
      assert.equal(tensors[name]:tobytes(), t:tobytes())
    end
    for _ in pairs(tensors) do count = count - 1 end
    assert.equal(0, count)
  end)

  it("starts the data at a multiple of 8, elements aligned, padded with spaces", function()
    safetensors.save_file({ b = torch.tensor { 1.0 }, c = torch.tensor({ 1 }, { dtype = torch.uint8 }),
      a = torch.tensor { 7 } }, path)
    local bytes = near.read(path)
    local length = string.unpack("<I8", bytes)
    assert.equal(0, length % 8)
    assert.equal('{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":'
      .. '[8,12]},"c":{"dtype":"U8","shape":[1],"data_offsets":[12,13]}}', (bytes:sub(9, 8 + length):gsub(" +$", "")))
    assert.equal(8 + length + 13, #bytes)
  end)

  it("loads into a model in one call, metadata or not, and they can be written again", function()
    for _, given in ipairs { {}, { format = "pt", strict = "no" } } do
      local a, b, c = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2)
      safetensors.save_file(a:state_dict(), path, given)
      b:load_state_dict(safetensors.load_file(path))
      assert.is_true(a.weight:equal(b.weight))
      local tensors, metadata = safetensors.load_file(path)
      safetensors.save_file(tensors, path, metadata)
      c:load_state_dict(safetensors.load(near.read(path)))
      assert.is_true(a.bias:equal(c.bias))
      assert.same(given, select(2, safetensors.load_file(path)))
    end
    refuses(function() nn.Linear(3, 2):load_state_dict({}, { format = "pt" }) end, "unexpected keyword argument")
  end)

  it("writes what is no contiguous block in one, and loads into a model", function()
    local t = torch.arange(6):reshape(2, 3)
    safetensors.save_file({ t = t:t() }, path)
    assert.same({ { 0, 3 }, { 1, 4 }, { 2, 5 } }, safetensors.load_file(path).t:tolist())
    local a, b = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)), nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    safetensors.save_file(a:state_dict { index_base = 0 }, path)
    b:load_state_dict(safetensors.load_file(path), { index_base = 0 })
    assert.is_true(a[2].weight:equal(b[2].weight))
  end)

  it("replaces a file whole or not at all", function()
    safetensors.save_file({ a = torch.ones(2) }, path)
    local before = near.read(path)
    refuses(function() safetensors.save_file({ a = 3 }, path) end,
      "Key `a` is invalid, expected Tensor but received integer")
    refuses(function() safetensors.save_file({ [1] = torch.ones(1) }, path) end, "expected names as keys")
    refuses(function() safetensors.save_file({ ["\255"] = torch.ones(1) }, path) end, "not UTF-8")
    refuses(function() safetensors.save_file({ a = torch.ones(1) }, path, { x = 1 }) end, "from string to string")
    refuses(function() safetensors.save_file({ a = torch.ones(1) }, folder .. "/no/where") end, "cannot write",
      "/no/where")
    refuses(function() safetensors.save_file({ a = torch.ones(1) }, folder) end, "cannot write")
    assert.equal(before, near.read(path))
    local list = io.popen("ls -A '" .. folder .. "'")
    assert.equal("x.safetensors\n", list:read("a"))
    list:close()
  end)

  it("refuses every cut of a file", function()
    safetensors.save_file({ a = torch.ones(3), b = torch.ones(2):long() }, path)
    local bytes = near.read(path)
    for n = 0, #bytes - 1 do refuses(function() safetensors.load(bytes:sub(1, n), "cut") end, "cut") end
    refuses(function() safetensors.load(bytes .. "x", "long") end, "1 bytes of data belong to no tensor")
  end)

  local lies = {
    ["a length beyond the file"] = { string.pack("<I8", 1000) .. "{}", "truncated", "1000" },
    ["a length beyond the limit"] = { string.pack("<I8", 1 << 40) .. "{}", "header's length" },
    ["a negative length"] = { string.pack("<i8", -1) .. "{}", "header's length" },
    ["no object"] = { file("[]"), "does not start with '{'" },
    ["a space in front"] = { file(" {}"), "does not start with '{'" },
    ["broken JSON"] = { file('{"a":'), "unexpected end" },
    ["something after the object"] = { file("{} {}"), "something follows" },
    ["a trailing comma"] = { file('{"a":1,}'), "name in quotes" },
    ["a duplicate key"] = { file('{"a":1,"a":1}'), "duplicate key 'a'" },
    ["deep nesting"] = { file('{"a":' .. ("["):rep(100000)), "nested too deep" },
    ["bad UTF-8"] = { file('{"\255":1}'), "not valid UTF-8" },
    ["a lone surrogate"] = { file('{"\\ud800":1}'), "lone surrogate" },
    ["a control character"] = { file('{"a\nb":1}'), "control character" },
    ["an entry that is no object"] = { file('{"a":1}'), "no object" },
    ["an unknown dtype"] = { file('{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}', ("x"):rep(8)), "F99" },
    ["an unknown field"] = { file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}', ("x"):rep(8)),
      "unknown field 'x'" },
    ["no shape"] = { file('{"a":{"dtype":"F32","data_offsets":[0,8]}}', ("x"):rep(8)), "no shape" },
    ["three offsets"] = { file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}}', ("x"):rep(8)),
      "data_offsets" },
    ["a shape that does not fit"] = { file('{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}', ("x"):rep(8)),
      "does not fit" },
    ["a shape that is too small"] = { file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}', ("x"):rep(8)),
      "takes 4 bytes, but has 8" },
    ["a shape that overflows"] = {
      file('{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}', ("x"):rep(8)),
      "does not fit" },
    ["a number that is too large"] = {
      file('{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}'), "too large" },
    ["a negative size"] = { file('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', ("x"):rep(8)), "expected" },
    ["a fraction"] = { file('{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', ("x"):rep(8)), "no integer" },
    ["offsets beyond the file"] = { file(one, "1234567"), "0 to 8", "7 bytes" },
    ["offsets in reverse"] = { file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}', ("x"):rep(8)), "8 to 0" },
    ["a hole"] = { file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}', ("x"):rep(16)), "hole" },
    ["overlapping data"] = {
      file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        .. '"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}', ("x"):rep(12)), "overlaps" },
    ["data that belongs to nothing"] = { file(one, ("x"):rep(9)), "belong to no tensor" },
    ["metadata that is no text"] = { file('{"__metadata__":{"a":1}}'), "is no string" },
    ["a boolean of 2"] = { file('{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}', "\0\2"), "boolean" },
  }
  for what, case in pairs(lies) do
    it("refuses a file with " .. what, function()
      refuses(function() safetensors.load(case[1], "lie.safetensors") end, table.unpack(case, 2))
    end)
  end

  it("survives a change of any byte of the header", function()
    local bytes = file(one, ("\0"):rep(8))
    for at = 1, #bytes - 8 do
      for _, mask in ipairs { 1, 0x20, 0x80 } do
        local changed = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ mask) .. bytes:sub(at + 1)
        local ok, result = pcall(safetensors.load, changed, "changed")
        assert.is_true(ok or type(result) == "string")
      end
    end
  end)

  it("says what is missing", function()
    refuses(function() safetensors.load_file(folder .. "/none") end, "cannot open", "none")
    refuses(function() safetensors.load_file(3) end, "must be str, not integer")
    refuses(function() safetensors.load_file(folder) end, "load_file")
  end)
end)
