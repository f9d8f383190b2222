--- torch.save and torch.load: what goes in comes out, shared things shared, and files that lie are refused.

local torch = require "moontorch"
local near = require "spec.support.near"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local ordered = require "moontorch.nn.ordered"

local folder, remove
setup(function() folder, remove = near.folder() end)
teardown(function() remove() end)

local function path() return folder .. "/object.st" end

local function round_trip(v, options)
  torch.save(v, path())
  return torch.load(path(), options)
end

describe("torch.save and torch.load", function()
  it("keep every dtype, shape and value", function()
    for _, dtype in ipairs { "float64", "float32", "float16", "bfloat16", "uint8", "int8", "int16", "int32", "int64",
      "bool" } do
      local x = torch.tensor({ { 0, 1, 1 }, { 1, 0, 1 } }, { dtype = dtype })
      local y = round_trip(x)
      assert.equal(x.dtype, y.dtype)
      assert.equal(x.shape, y.shape)
      assert.is_true(x:equal(y))
    end
    local x = torch.tensor({ torch.nan, torch.inf, -torch.inf, -0.0, 1e-45 })
    assert.equal(x:tobytes(), round_trip(x):tobytes())
    assert.equal(torch.Size { 0, 3 }, round_trip(torch.zeros(0, 3)).shape)
    assert.equal(2.5, round_trip(torch.tensor(2.5)):item())
  end)

  it("keep tables with their keys and values", function()
    local v = { 1, 2.5, "three", true, false, [10] = "ten", [2.5] = "key", [true] = 1, [false] = 0, ["a.b"] = -0.0,
      inner = { { {} } }, huge = 1 / 0, least = math.mininteger, most = math.maxinteger, bytes = "\255\0\1",
      [""] = "é\n" }
    local r = round_trip(v)
    assert.same(v, r)
    assert.equal("float", math.type(r["a.b"]))
    assert.equal(-1 / 0, 1 / r["a.b"])
    assert.equal("integer", math.type(r[1]))
    local nan = round_trip({ 0 / 0 })[1]
    assert.is_true(nan ~= nan)
    assert.is_nil(round_trip(nil))
    assert.equal("text", round_trip("text"))
    assert.equal(5, round_trip(5))
    assert.is_false(round_trip(false))
    assert.same({}, round_trip {})
  end)

  it("keep dtypes, devices, sizes and None", function()
    local r = round_trip { torch.bfloat16, torch.device("cuda:1"), torch.Size { 2, 0 }, torch.none }
    assert.equal(torch.bfloat16, r[1])
    assert.equal(torch.device("cuda", 1), r[2])
    assert.equal("torch.Size([2, 0])", tostring(r[3]))
    assert.equal(torch.none, r[4])
  end)

  it("keep what stands in several places one thing", function()
    local t, x = {}, torch.ones(2)
    t.self, t.x, t.again, t.part = t, x, { x }, { t }
    local r = round_trip(t)
    assert.is_true(rawequal(r, r.self))
    assert.is_true(rawequal(r, r.part[1]))
    assert.is_true(rawequal(r.x, r.again[1]))
  end)

  it("keep memory that tensors share shared", function()
    local x = torch.arange(12):view(3, 4)
    local r = round_trip { whole = x, row = x[2], turned = x:t(), alias = x:detach(), other = torch.arange(12) }
    r.row:fill_(-1)
    assert.same({ { 0, 1, 2, 3 }, { -1, -1, -1, -1 }, { 8, 9, 10, 11 } }, r.whole:tolist())
    assert.same({ 3, -1, 11 }, r.turned[4]:tolist())
    assert.equal(r.whole:data_ptr(), r.alias:data_ptr())
    assert.same({ 1, 4 }, r.turned:stride())
    assert.equal(4, r.other[5]:item())
  end)

  it("write a part of a large tensor alone as that part", function()
    torch.save({ torch.zeros(100000)[{ { 1, 3 } }] }, path())
    assert.is_true(#near.read(path()) < 2000)
    local r = torch.load(path())
    assert.same({ 0, 0, 0 }, r[1]:tolist())
  end)

  it("keep strides of a transposed tensor, and expanded ones small", function()
    local r = round_trip { torch.arange(6):view(2, 3):t(), torch.ones(1):expand(100000) }
    assert.same({ 1, 3 }, r[1]:stride())
    assert.same({ { 0, 3 }, { 1, 4 }, { 2, 5 } }, r[1]:tolist())
    assert.equal(100000, r[2]:sum():item())
    assert.is_true(#near.read(path()) < 2000)
  end)

  it("keep requires_grad and Parameters", function()
    local w = torch.parameter(torch.ones(2))
    local frozen = torch.parameter(torch.ones(2), false)
    local r = round_trip { leaf = torch.ones(2, { requires_grad = true }), w = w, frozen = frozen, result = w * 2,
      plain = torch.ones(2), w_part = w[1]:detach() }
    assert.is_true(r.leaf.requires_grad)
    assert.is_true(r.leaf.is_leaf)
    assert.is_true(torch.is_parameter(r.w))
    assert.is_true(r.w.requires_grad)
    assert.is_true(torch.is_parameter(r.frozen))
    assert.is_false(r.frozen.requires_grad)
    assert.is_true(r.result.is_leaf) -- PyTorch: results come back as leaves
    assert.is_true(r.result.requires_grad)
    assert.is_false(r.plain.requires_grad)
    assert.is_false(torch.is_parameter(r.plain))
    assert.equal(r.w:data_ptr(), r.w_part:data_ptr())
    r.leaf:sum():backward()
    assert.same({ 1, 1 }, r.leaf.grad:tolist())
  end)

  it("take a training's checkpoint", function()
    local nn = torch.nn
    local function step(model, optimizer)
      optimizer:zero_grad()
      model(torch.ones(2, 3)):pow(2):sum():backward()
      optimizer:step()
    end
    torch.manual_seed(1)
    local a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    local oa = torch.optim.Adam(a:parameters(), { lr = 0.1 })
    step(a, oa)
    local r = round_trip { model = a:state_dict(), optimizer = oa:state_dict(), epoch = 1 }
    assert.is_true(ordered.is(r.model))
    local ob = torch.optim.Adam(b:parameters(), { lr = 0.5 })
    b:load_state_dict(r.model)
    ob:load_state_dict(r.optimizer)
    step(a, oa)
    step(b, ob)
    assert.is_true(a.weight:equal(b.weight))
    assert.equal(1, r.epoch)
  end)

  it("nest deeper than the stack is", function()
    -- under gcstress the collector walks all of it at every few steps
    local levels = os.getenv("GCSTRESS") and 1000 or 50000
    local deep = {}
    local at = deep
    for _ = 1, levels do
      at.x = {}
      at = at.x
    end
    at.x = torch.ones(1)
    local r, count = round_trip(deep), 0
    while type(r) == "table" do r, count = r.x, count + 1 end
    assert.equal(levels + 1, count)
    assert.equal(1, r:item())
  end)

  it("write files that other readers of safetensors know, under the path of keys", function()
    torch.save({ model = { weight = torch.ones(2), { bias = torch.zeros(1) } } }, path())
    local entries = torch.utils.safetensors.load_file(path())
    assert.same({ 1, 1 }, entries["model.weight"]:tolist())
    assert.same({ 0 }, entries["model.1.bias"]:tolist())
    torch.utils.safetensors.save_file({ a = torch.ones(2) }, path())
    assert.same({ 1, 1 }, torch.load(path()).a:tolist())
  end)

  it("take open files, from where they stand", function()
    local file = assert(io.open(path(), "w+b"))
    file:write("before ")
    torch.save({ x = torch.arange(3), y = torch.ones(2):expand(4, 2) }, file)
    file:seek("set", 7)
    local r = torch.load(file, { map_location = "cpu" })
    assert.same({ 0, 1, 2 }, r.x:tolist())
    assert.equal("before ", near.read(path()):sub(1, 7))
    assert.equal("file", io.type(file))
    file:seek("set", 8)
    near.refuses(function() torch.load(file) end, "load(): the open file is of no known format")
    file:close()
    near.refuses(function() torch.load(file) end, "load(): argument 'f': I/O operation on closed file")
    near.refuses(function() torch.save(1, file) end, "save(): argument 'f': I/O operation on closed file")
    near.refuses(function() torch.save(1, 2) end, "save(): argument 'f' must be str, not integer; a path or an open",
      "save_spec.lua:")
    near.refuses(function() torch.load(2) end, "load(): argument 'f' must be str, not integer")
    local full = io.open("/dev/full", "wb")
    near.refuses(function() torch.save(torch.ones(9), full) end, "cannot write to the open file: ", "No space left")
    pcall(full.close, full)
    local closed = assert(io.open(path(), "rb"))
    near.refuses(function() torch.save(1, closed) end, "cannot write to the open file: ", "Bad file descriptor")
    closed:close()
  end)

  it("let errors of a map_location of the caller's own pass as they are", function()
    local problem = { "a table" }
    local files = { here .. "/golden/files/views.pt", here .. "/golden/files/theirs/old_mlp.pth", path() }
    torch.save({ torch.ones(1) }, path())
    for _, file in ipairs(files) do
      local good, message = pcall(torch.load, file, { map_location = function() error(problem) end })
      assert.is_true(not good and rawequal(problem, message))
      good, message = pcall(torch.load, file, { map_location = function() error("my own words", 0) end })
      assert.is_true(not good and message == "my own words")
      near.refuses(function() torch.load(file, { map_location = { cpu = "mps" } }) end, "save_spec.lua:", "load(): "
        .. file .. ": don't know how to restore data location")
      near.refuses(function() torch.load(file, { map_location = function() return torch.float32.itemsize end }) end,
        "load(): " .. file .. ": to(): ")
    end
  end)

  it("tell their own files from PyTorch's, whatever the header's length", function()
    -- A header of 640 bytes makes the file start with the bytes 80 02, as a pickle does.
    local start
    for length = 504, 560, 8 do
      torch.save({ x = ("x"):rep(length) }, path())
      assert.equal(length, #torch.load(path()).x)
      start = start or near.read(path()):match("^\x80\x02")
    end
    assert.is_truthy(start)
  end)

  it("write the same bytes for the same object", function()
    local function object()
      local t = {}
      for _, k in ipairs { "z", "a", "m", 3, 1, 2, true } do t[k] = torch.ones(1) end
      return t
    end
    torch.save(object(), path())
    local first = near.read(path())
    torch.save(object(), path())
    assert.equal(first, near.read(path()))
  end)

  it("say where tensors go", function()
    torch.save({ x = torch.ones(2), y = torch.ones(1) }, path())
    for _, map in ipairs { "cpu", torch.device("cpu"), { cpu = "cpu" }, { ["cuda:0"] = "cpu" } } do
      assert.equal("cpu", tostring(torch.load(path(), { map_location = map }).x.device))
    end
    local seen = {}
    local r = torch.load(path(), { map_location = function(t, location)
      seen[#seen + 1] = location
      return t:double()
    end })
    assert.equal(torch.float64, r.x.dtype)
    assert.same({ "cpu", "cpu" }, seen)
    near.refuses(function() torch.load(path(), { map_location = "cuda" }) end,
      "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False", "map_location",
      "save_spec.lua:")
    near.refuses(function() torch.load(path(), { map_location = 5 }) end, "map_location must be a device", "integer")
    near.refuses(function() torch.load(path(), { map_location = "gpu" }) end, "device string: gpu")
  end)
end)

describe("torch.save refuses", function()
  it("what is no data, and leaves the old file", function()
    torch.save(1, path())
    near.refuses(function() torch.save({ a = { f = print } }, path()) end, "save(): 'a.f' is a function",
      "save_spec.lua:")
    near.refuses(function() torch.save({ m = torch.nn.Linear(2, 2) }, path()) end, "'m' is a Linear", "state_dict()")
    near.refuses(function() torch.save({ c = coroutine.create(print) }, path()) end, "'c' is a thread")
    near.refuses(function() torch.save({ [torch.ones(1)] = 1 }, path()) end,
      "keys must be numbers, strings or booleans")
    near.refuses(function() torch.save({ g = torch.Generator() }, path()) end, "'g' is a userdata")
    local freed = torch.ones(1)
    freed:free()
    near.refuses(function() torch.save({ t = freed }, path()) end, "freed")
    near.refuses(function() torch.save(1, folder .. "/missing/x.st") end, "cannot write", "missing/x.st")
    near.refuses(function() torch.save(1) end, "save()", '"f"')
    assert.equal(1, torch.load(path()))
  end)
end)

-- A file with the given description and one float32 tensor "x" of four elements.
local function lie(structure)
  torch.utils.safetensors.save_file({ x = torch.arange(4, { dtype = torch.float32 }) }, path(),
    { moontorch = structure })
end

local function nodes(text, root) return ('{"version":1,"root":%d,"nodes":[%s]}'):format(root or 1, text) end

describe("torch.load refuses", function()
  it("files that are cut short, at every length", function()
    torch.save({ a = torch.ones(3), b = { 1, "x" } }, path())
    local bytes = near.read(path())
    for n = 0, #bytes - 1, 7 do
      near.write(path(), bytes:sub(1, n))
      near.refuses(function() torch.load(path()) end, "valid")
    end
    near.refuses(function() torch.load(folder .. "/none") end, "load(): cannot open the file", "save_spec.lua:")
  end)

  it("descriptions that lie", function()
    lie(nodes('["tensor","x",0,0,"cpu"]'))
    assert.same({ 0, 1, 2, 3 }, torch.load(path()):tolist())
    lie(nodes('["view","x",0,0,"cpu","float32",1,3,1]'))
    assert.same({ 1, 2, 3 }, torch.load(path()):tolist())
    for _, row in ipairs {
      { "", "node 0 names node 1 of 0" },
      { '["tensor","y",0,0,"cpu"]', "a tensor 'y' is missing" },
      { '["tensor","x",2,0,"cpu"]', "described wrongly" },
      { '["tensor","x",0,0,"gpu"]', "no device gpu" },
      { '["tensor","x",0,0]', "no device nil" },
      { '["view","x",0,0,"cpu","float32",1,4,1]', "outside of its memory" },
      { '["view","x",0,0,"cpu","float64",0,4,1]', "outside of its memory" },
      { '["view","x",0,0,"cpu","float32",0,4,9007199254740992]', "outside of its memory" },
      { '["view","x",0,0,"cpu","float32",0,9007199254740992,9007199254740992,0,0]', "outside of its memory" },
      { '["view","x",0,0,"cpu","float32",0,4]', "no view" },
      { '["view","x",0,0,"cpu","float32"]', "no view" },
      { '["view","x",0,0,"cpu","float31",0,4,1]', "no dtype float31" },
      { '["view","x",0,0,"cpu","int32",0,4,1]', nil },
      { '["view","x",1,0,"cpu","int32",0,4,1]', "cannot require a gradient" },
      { '["dtype","zeros"]', "no dtype zeros" },
      { '["int","1e3"]', "an integer is spelled 1e3" },
      { '["int","99999999999999999999"]', "an integer" },
      { '["num","1;os.exit()"]', "a number" },
      { '["bytes","0g"]', "hexadecimal" },
      { '["size","a"]', "a size holds something that is none" },
      { '["code","os.exit()"]', "node 1 is of no known kind" },
      { '["table",1]', "a key without a value" },
      { '["table",1,1]', "a key that is none" },
      { '["table",2,3],["str","k"]', "names node 3 of 2" },
      { '["table",2,2],["num","nan"]', "a key that is none" },
      { '["table",2,2],["nil"]', "a key that is none" },
      { '"text"', "no known kind" },
      { '{"a":1}', "no known kind" },
    } do
      lie(nodes(row[1]))
      if row[2] then
        near.refuses(function() torch.load(path()) end, "holds no valid moontorch object", row[2], "save_spec.lua:")
      else
        assert.equal(torch.int32, torch.load(path()).dtype)
      end
    end
    for _, text in ipairs { "", "[]", "{}", "nil", '{"version":2,"root":1,"nodes":[["nil"]]}', '{"version":1}',
      '{"version":1,"root":"a","nodes":[["nil"]]}', '{"version":1,"root":1,"nodes":{}}', "return os.exit()" } do
      lie(text)
      near.refuses(function() torch.load(path()) end, "holds no valid moontorch object")
    end
  end)

  it("what looks like PyTorch's file and is none, and what looks like nothing", function()
    near.write(path(), "PK\3\4and so on")
    near.refuses(function() torch.load(path()) end, "load(): ", "no valid zip file", "save_spec.lua:")
    near.write(path(), "\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.and so on")
    near.refuses(function() torch.load(path()) end, "load(): ", "no valid .pt file", "save_spec.lua:")
    near.write(path(), "")
    near.refuses(function() torch.load(path()) end, "load(): ", "empty (Ran out of input)")
    near.write(path(), "\x80\x02and so on")
    near.refuses(function() torch.load(path()) end, "load(): ", "of no known format")
  end)

  it("any byte that was changed, or reads an object all the same", function()
    torch.save({ a = torch.ones(3), b = { 1, "x", [2.5] = torch.ones(2):t() } }, path())
    local bytes = near.read(path())
    for n = 1, #bytes do
      for _, byte in ipairs { "\0", "9", '"', "]" } do
        near.write(path(), bytes:sub(1, n - 1) .. byte .. bytes:sub(n + 1))
        local ok, reason = pcall(torch.load, path())
        assert.is_true(ok or type(reason) == "string")
        if not ok then assert.is_truthy(reason:find("valid", 1, true) or reason:find("load", 1, true)) end
      end
    end
  end)
end)
