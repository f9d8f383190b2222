--- .pt files as PyTorch writes them (spec/golden/files), and those that are refused.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local files = here .. "/golden/files/"
local pickle, zip, nn = torch.utils.pickle, require "moontorch.utils.zip", torch.nn
local refuses = near.refuses

local function load(name) return pickle.load_file(files .. name) end
local function keys(t)
  local list = {}
  for key in pairs(t) do list[#list + 1] = key end
  return list
end

-- A .pt file with this program and these storages.
local function file(program, storages)
  local entries = { { "archive/data.pkl", { program } }, { "archive/version", { "3\n" } } }
  for key, data in pairs(storages or {}) do entries[#entries + 1] = { "archive/data/" .. key, { data } } end
  return table.concat(zip.pack(entries))
end

local function text(s) return "X" .. string.pack("<s4", s) end
local function tensor(count, offset, shape, stride)
  return "ctorch._utils\n_rebuild_tensor_v2\n((" .. text("storage") .. "ctorch\nFloatStorage\n" .. text("0")
    .. text("cpu") .. "J" .. string.pack("<i4", count) .. "tQJ" .. string.pack("<i4", offset) .. shape .. stride
    .. "\x89ccollections\nOrderedDict\n)RtR"
end
local function tuple(...)
  local parts = {}
  for i, v in ipairs { ... } do parts[i] = "J" .. string.pack("<i4", v) end
  return "(" .. table.concat(parts) .. "t"
end

describe("a .pt file", function()
  it("of a state_dict gives the tensors in order, ready for load_state_dict", function()
    local state = load("model.pth")
    assert.same({ "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
      "1.num_batches_tracked", "2.weight", "2.bias" }, keys(state))
    assert.equal(1, state["1.num_batches_tracked"]:item())
    local linear = nn.Linear(3, 2)
    linear:load_state_dict { weight = state["0.weight"], bias = state["0.bias"] }
    assert.is_true(linear.weight:equal(state["0.weight"]))
    assert.is_false(state["0.weight"].requires_grad)
  end)

  it("of a checkpoint gives tables and numbers", function()
    local c = load("checkpoint.pt")
    assert.same({ "model", "optimizer", "epoch", "best" }, keys(c))
    assert.equal(7, c.epoch)
    assert.equal(0.125, c.best)
    local group = c.optimizer.param_groups[1]
    assert.equal(0.25, group.lr)
    assert.same({ 0.9, 0.999 }, group.betas)
    assert.same({ 0, 1, 2, 3, 4, 5 }, group.params)
    assert.equal(1, c.optimizer.state[0].step:item())
    assert.same({ 2, 3 }, { table.unpack(c.optimizer.state[0].exp_avg.shape) })
  end)

  it("keeps views, and which tensors share memory", function()
    local v = load("views.pt")
    assert.same({ 4, 5, 6, 7 }, v.row:tolist())
    assert.same({ 2, 6, 10 }, v.column:tolist())
    assert.same({ { 0, 4, 8 }, { 1, 5, 9 }, { 2, 6, 10 }, { 3, 7, 11 } }, v.t:tolist())
    assert.same({ { 3, 3, 3 }, { 3, 3, 3 } }, v.spread:tolist())
    v.x[2]:zero_()
    assert.same({ 0, 0, 0, 0 }, v.row:tolist())
    assert.same({ 2, 0, 10 }, v.column:tolist())
  end)

  it("holds every dtype", function()
    local d = load("dtypes.pt")
    for _, name in ipairs { "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8" } do
      assert.equal(torch[name], d[name].dtype)
      assert.same({ { 0, 1, 3 } }, d[name]:to(torch.int64):tolist())
    end
    assert.same({ { false, true, true } }, d.bool:tolist())
  end)

  for _, name in ipairs { "values.pt", "protocol4.pt" } do
    it("holds plain values: " .. name, function()
      local v = load(name)
      assert.equal(torch.none, v.none)
      assert.same({ 1, torch.none, { 2.5, "s" } }, v.list)
      assert.same({ 1, { 2, 3 } }, v.tuple)
      assert.equal(1 << 62, v.big)
      assert.same({ -5, -(1 << 40) }, { v.negative, v.wide })
      assert.is_true(v["true"])
      assert.equal("grüße", v.unicode)
      assert.equal(torch.Size { 3, 4 }, v.size)
      assert.equal(torch.device("cpu"), v.device)
      assert.equal(torch.bfloat16, v.dtype)
      assert.is_true(torch.is_parameter(v.parameter) and v.parameter.requires_grad)
      assert.same({ 0, 1, 2, 3 }, v.parameter:tolist())
      assert.same({ 0, 2 }, { table.unpack(v.empty.shape) })
      assert.equal(2.5, v.scalar:item())
      assert.equal("three", v[3])
      assert.is_true(v.nan ~= v.nan)
    end)
  end

  it("may come from a big-endian machine", function()
    local entries = { { "a/data.pkl", { "\x80\2" .. tensor(2, 0, tuple(2), tuple(1)) .. "." } },
      { "a/byteorder", { "big" } }, { "a/data/0", { string.pack(">ff", 1.5, -2) } } }
    assert.same({ 1.5, -2 }, pickle.load(table.concat(zip.pack(entries))):tolist())
  end)

  it("may be a bare tensor, and may lack checksums", function()
    assert.same({ 1, 1 }, load("bare.pt"):tolist())
    assert.same({ 1, 1 }, load("unchecked.pt").a:tolist())
  end)
end)

describe("refused by name", function()
  it("is everything that is no tensor or plain value", function()
    refuses(function() load("whole_model.pt") end, "Unsupported global: GLOBAL torch.nn.modules.activation.ReLU",
      "state_dict()")
    refuses(function() load("complex.pt") end, "torch.ComplexFloatStorage")
    refuses(function() load("sparse.pt") end, "sparse", "to_dense()")
    for program, remedy in pairs {
      ["cargparse\nNamespace\n)R."] = "save vars(x)", ["cpathlib\nPosixPath\n)R."] = "save str(x)",
      ["ccollections\ndefaultdict\n)R."] = "save dict(x)", ["cbuiltins\ncomplex\n)R."] = "[x.real, x.imag]",
      ["ctorch._utils\n_rebuild_tensor_v3\n)R."] = "plain values are read. It holds a tensor of a dtype that "
        .. "does not exist here",
    } do
      refuses(function() pickle.load(file(program), "f") end, "Unsupported global: GLOBAL ", remedy)
    end
    refuses(function() pickle.load("text") end, "neither a zip archive", "1.6")
    refuses(function() load("stored.npz") end, "no data.pkl", "torch.utils.npy.load(path)")
    refuses(function() torch.load(files .. "scalar.npy") end, "NumPy array", "torch.utils.npy.load(path)")
    refuses(function() load("no.pt") end, "cannot open")
    refuses(function() pickle.load_file(3) end, "must be str, not integer")
  end)

  it("is a program that would run something", function()
    refuses(function() pickle.load(file("\x80\2cos\nsystem\n(" .. text("true") .. "tR."), "f") end, "GLOBAL os.system")
    refuses(function() pickle.load(file("\x80\2c__builtin__\neval\n(" .. text("1") .. "tR."), "f") end, "builtins.eval")
    refuses(function() pickle.load(file("\x80\2(ios\nsystem\n."), "f") end, "Unsupported operand 105")
    refuses(function() pickle.load(file("\x80\2" .. text("a") .. ")R."), "f") end, "calls string")
    refuses(function() pickle.load(file("\x80\2ctorch\nFloatStorage\n)R."), "f") end, "torch.FloatStorage")
    refuses(function() pickle.load(file("\x80\2ctorch\nmanual_seed\n(K\1tR."), "f") end, "torch.manual_seed")
    refuses(function() pickle.load(file("\x80\2ctorch\nnone\n."), "f") end, "torch.none")
  end)

  it("is a call with the wrong arguments", function()
    local ordered, codec = "ccollections\nOrderedDict\n", "c_codecs\nencode\n"
    local rebuilt, class = "ctorch._tensor\n_rebuild_from_type_v2\n", "ctorch\nTensor\n"
    local scalar, dtype = "cnumpy._core.multiarray\nscalar\n", "cnumpy\ndtype\n(" .. text("f8") .. "tR"
    for program, reason in pairs {
      [ordered .. "(K\1tR."] = "an OrderedDict is made of integer", [ordered .. "(](K\1K\2etR."] = "no list of pairs",
      [ordered .. "(K\1K\2R."] = "calls integer", [ordered .. "(](](NK\1eetR."] = "a dictionary has None as key",
      ["ccollections\nCounter\n(K\1tR."] = "a Counter is made of integer",
      ["cbuiltins\nset\n(K\1tR."] = "a set is made of integer", ["cbuiltins\nset\n(]R."] = "takes a value",
      ["cbuiltins\nset\n(](NetR."] = "a set has None as key",
      ["cbuiltins\nbytes\n(K\1tR."] = "bytes are made of integer",
      [codec .. "(" .. text("a") .. text("utf8") .. "tR."] = "bytes are made of",
      [codec .. "(" .. text("€") .. text("latin1") .. "tR."] = "the character 8364",
      [codec .. "(" .. text("\255") .. text("latin1") .. "tR."] = "bytes are made of",
      [rebuilt .. "(cos\nsystem\n" .. class .. ")}tR."] = "os.system",
      [rebuilt .. "(" .. ordered .. class .. ")}tR."] = "GLOBAL collections.OrderedDict",
      [rebuilt .. "(ctorch._utils\n_rebuild_tensor_v2\n" .. ordered .. ")}tR."] = "GLOBAL collections.OrderedDict",
      [rebuilt .. "(ctorch._utils\n_rebuild_tensor_v2\n" .. class .. ")}tR."] = "without its arguments",
      [class .. ")R."] = "GLOBAL torch.Tensor", [scalar .. "(K\1K\1tR."] = "of type integer",
      [scalar .. "(" .. dtype .. text("1234567") .. "tR."] = "type f8 is made of string",
      [scalar .. "(cnumpy\ndtype\n(" .. text("c8") .. "tR" .. text("x") .. "tR."] = "of type c8",
      [dtype .. "K\1b."] = "a numpy.dtype is made of", [dtype .. "."] = "no value by itself",
      ["K\1}b."] = "sets the attributes of", ["I1.5\n."] = "spells an integer",
      ["L99999999999999999999L\n."] = "64 bits",
      ["Fhuge\n."] = "spells a number", ["Sabc\n."] = "spells a string", ["V\\U00110000\n."] = "spells a string",
      ["NpX\n."] = "under no number", ["K\1(K\2\x90."] = "adds to integer", ["1."] = "a mark",
    } do
      refuses(function() pickle.load(file("\x80\2" .. program), "f") end, "f", reason)
    end
    assert.equal(1.5, pickle.load(file(scalar .. "(" .. dtype .. "C\8" .. string.pack("<d", 1.5) .. "tR.")))
    local big = "(K\3" .. text(">") .. "tb"
    assert.equal(1.5, pickle.load(file(scalar .. "(" .. dtype .. big .. "C\8" .. string.pack(">d", 1.5) .. "tR.")))
    assert.equal("a\tb\255'c", pickle.load(file("S'a\\tb\\xff\\'c'\n.")))
  end)

  it("is no bomb", function()
    -- each tuple holds the one before twice: 2^60 entries if they were copied
    local laughs = pickle.load(file(")" .. ("q\0h\0\x86"):rep(60) .. "."))
    for _ = 1, 60 do
      assert.is_true(rawequal(laughs[1], laughs[2]))
      laughs = laughs[1]
    end
    assert.same({}, laughs)
    local levels = os.getenv("GCSTRESS") and 1000 or 300000
    local deep, depth = pickle.load(file(")" .. ("\x85"):rep(levels) .. ".")), 0
    while deep[1] do deep, depth = deep[1], depth + 1 end
    assert.equal(levels, depth)
  end)

  it("is a program that makes no sense", function()
    local programs = { ["."] = "takes a value", ["\x80\9."] = "version 9", ["t."] = "a mark", ["h\5."] = "recalls",
      ["K\1K\2a."] = "appends to integer", ["NNNs."] = "sets an entry of None", ["X\255\0\0\0a"] = "truncated",
      ["}(K\1u."] = "a key without a value", ["K\1"] = "no end", ["K\1Q."] = "refers to integer", [""] = "no end",
      ["}NK\1s."] = "has None as key", ["\x8a\9\0\0\0\0\0\0\0\0\1."] = "does not fit 64 bits", ["("] = "no end" }
    for program, reason in pairs(programs) do
      refuses(function() pickle.load(file(program), "f") end, "f", reason)
    end
  end)

  it("is a tensor that its storage does not hold", function()
    local data = { ["0"] = string.pack("<ffff", 1, 2, 3, 4) }
    local function try(...) return pickle.load(file("\x80\2" .. tensor(...) .. ".", data), "f") end
    assert.same({ { 1, 2 }, { 3, 4 } }, try(4, 0, tuple(2, 2), tuple(2, 1)):tolist())
    assert.same({ 2, 4 }, try(4, 1, tuple(2), tuple(2)):tolist())
    refuses(function() try(5, 0, tuple(2), tuple(1)) end, "should hold 5 elements", "16 bytes")
    refuses(function() try(4, 0, tuple(5), tuple(1)) end, "reaches past its storage '0' of 4 elements")
    refuses(function() try(4, 4, tuple(1), tuple(1)) end, "reaches past")
    refuses(function() try(4, 0, tuple(0x7fffffff, 0x7fffffff, 0x7fffffff), tuple(0x7fffffff, 0x7fffffff, 1)) end,
      "reaches past")
    refuses(function() try(4, -1, tuple(1), tuple(1)) end, "offset")
    refuses(function() try(4, 0, tuple(2), tuple(-1)) end, "strides")
    refuses(function() try(4, 0, tuple(2), tuple()) end, "1 sizes and 0 strides")
    refuses(function() try(-1, 0, tuple(2), tuple(1)) end, "a storage is described by")
    refuses(function() pickle.load(file("\x80\2" .. tensor(4, 0, tuple(2), tuple(1)) .. "."), "f") end, "no data for")
  end)

  it("is every cut of a file", function()
    local s = near.read(files .. "checkpoint.pt")
    for n = 0, #s - 1, 37 do refuses(function() pickle.load(s:sub(1, n), "cut") end, "cut") end
  end)
end)
