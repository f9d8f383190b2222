--- Checkpoints cross over: what PyTorch saved (spec/golden/files/theirs, made by make_checkpoints.py) is loaded here,
-- predicts what it predicted there, and training goes on with the same losses. `make crossover` proves the other way.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local cross = dofile(here .. "/support/crossover.lua")
local golden = dofile(here .. "/golden/checkpoints.lua")
local ordered = require "moontorch.nn.ordered"
local theirs, ours = here .. "/golden/files/theirs/", here .. "/golden/files/ours/"
local refuses = near.refuses

local names = {}
for name in pairs(cross.models) do names[#names + 1] = name end
table.sort(names)

describe("a model that PyTorch saved predicts the same:", function()
  local outputs = torch.load(theirs .. "outputs.safetensors")
  for _, name in ipairs(names) do
    for _, file in ipairs { name .. ".pt", name .. ".safetensors", "old_" .. name .. ".pth" } do
      it(file, function()
        local make, data = table.unpack(cross.models[name])
        local model = make()
        local result = model:load_state_dict(torch.load(theirs .. file), { index_base = 0 })
        assert.equal("<All keys matched successfully>", tostring(result))
        near.check(outputs[name]:tolist(), model:predict(data()), 2e-6)
      end)
    end
  end

  it("and one that counts from 0 says how to load it", function()
    for _, name in ipairs { "mlp", "nested", "encoder" } do
      local model = cross.models[name][1]()
      refuses(function() model:load_state_dict(torch.load(theirs .. name .. ".pt")) end, "Error(s) in loading",
        "load_state_dict(state_dict, {index_base = 0})", "checkpoint_spec.lua:")
    end
  end)
end)

describe("every form of a checkpoint gives the same:", function()
  for _, kind in ipairs { "zip", "legacy" } do
    for protocol = 1, 5 do
      it(("%s, protocol %d"):format(kind, protocol), function()
        local c = torch.load(theirs .. ("checkpoint_%s_%d.pt"):format(kind, protocol))
        assert.same({ 7, 0.125, "grüße", true, 1 << 40, -(1 << 62) }, { c.epoch, c.best, c.name, c.done, c.large,
          c.negative })
        assert.same({ 0.5, torch.none, { 1, "two", { 3 } } }, c.history)
        assert.equal(torch.Size { 3, 4 }, c.size)
        for name, t in pairs(c.dtypes) do
          assert.equal(torch[name], t.dtype)
          assert.same({ { 0, 1, name == "bool" and 1 or 3 } }, t:to(torch.int64):tolist())
        end
        assert.is_true(ordered.is(c.ordered))
        local keys = {}
        for key in pairs(c.ordered) do keys[#keys + 1] = key end
        assert.same({ "z", "a" }, keys)
        assert.same({ 2, 1 }, { c.counts[3], c.counts[1] })
        assert.same({ true, true }, c.set)
        assert.equal("\0\255a", c.bytes)
        assert.is_true(torch.is_parameter(c.parameter) and c.parameter.requires_grad)
        assert.equal(torch.bfloat16, c.dtype)
        assert.equal(torch.device("cpu"), c.device)
        -- one memory
        assert.same({ 2, 6, 10 }, c.shared.column:tolist())
        c.shared.row:fill_(-1)
        assert.same({ { 0, 1, 2, 3 }, { -1, -1, -1, -1 }, { 8, 9, 10, 11 } }, c.shared.whole:tolist())
        assert.same({ 3, -1, 11 }, c.shared.turned[4]:tolist())
        assert.equal(-1, c.shared.alias[5]:item())
        -- ready to go on
        local model = cross.models.mlp[1]()
        model:load_state_dict(c.model, { index_base = 0 })
        local optimizer = torch.optim.Adam(model:parameters())
        optimizer:load_state_dict(c.optimizer)
        assert.equal(0.25, optimizer.param_groups[1].lr)
        assert.equal(1, optimizer.state[model[1].weight].step)
      end)
    end
  end

  for protocol = 0, 5 do
    it("plain values, protocol " .. protocol, function()
      local v = torch.load(theirs .. ("spelled_%d.pt"):format(protocol))
      assert.same({ 0, -1, 1 << 31, math.mininteger, math.maxinteger }, v.integers)
      for _, n in ipairs(v.integers) do assert.equal("integer", math.type(n)) end
      assert.same({ true, false }, v.booleans)
      assert.same({ 0.5, -1e300, math.huge }, v.floats)
      assert.equal("grüße € 😀 \\ \n 'quoted' \"twice\"", v.text)
      assert.same({}, v.tuple)
      assert.same({ 1, { 2 } }, v.nested[1])
      assert.same({ {} }, v.nested[2])
      assert.same(0, #v.nested[3].k)
      assert.is_true(rawequal(v.nested, v.again))
      assert.equal(torch.none, v.none)
      assert.same({ true, a = true }, v.set)
      assert.same({ [2] = true }, v.frozen)
      assert.equal("\0\255'\n", v.bytes)
      assert.equal("xyz", v.array)
      assert.same({ 2, 1 }, { v.counter.a, v.counter.b })
      assert.equal("OrderedDict([('b', 1), ('a', 2)])", tostring(v.ordered))
    end)
  end

  it("map_location, weights_only and mmap are taken", function()
    local seen = {}
    for _, file in ipairs { "mlp.pt", "old_mlp.pth" } do
      assert.equal("cpu", tostring(torch.load(theirs .. file, "cpu")["0.bias"].device))
      local state = torch.load(theirs .. file, { weights_only = true, mmap = true, map_location = function(t, saved)
        seen[#seen + 1] = saved .. " " .. t.ndim
        return t:double()
      end })
      assert.equal(torch.float64, state["0.bias"].dtype)
      assert.same({ 8, 5 }, { table.unpack(state["0.weight"].shape) })
    end
    assert.same({ "cpu 1", "cpu 1", "cpu 1", "cpu 1", "cpu 1", "cpu 1", "cpu 1", "cpu 1" }, seen)
    refuses(function() torch.load(theirs .. "mlp.pt", 5) end, "map_location must be a device")
    assert.equal(1, torch.load(theirs .. "checkpoint_zip_2.pt", { weights_only = false }).counts[1])
  end)

  it("tensors from a GPU need one, or map_location", function()
    for _, file in ipairs { "cuda_zip.pt", "cuda_legacy.pt" } do
      if not torch.cuda.is_available() then
        refuses(function() torch.load(theirs .. file) end, "load(): ",
          file .. ": Attempting to deserialize object on a CUDA device",
          "torch.load(path, {map_location = \"cpu\"})", "checkpoint_spec.lua:")
      end
      for _, map in ipairs { "cpu", { ["cuda:0"] = "cpu" } } do
        local c = torch.load(theirs .. file, { map_location = map })
        assert.same({ 0, 1, 2 }, c.a:tolist())
        assert.equal("cpu", tostring(c.b.device))
      end
      assert.same({ 1, 1 }, torch.utils.pickle.load_file(theirs .. file).b:tolist())
    end
  end)

  it("NumPy's numbers are numbers, its arrays are refused", function()
    for _, protocol in ipairs { 2, 4 } do
      local c = torch.load(theirs .. ("numpy_%d.pt"):format(protocol))
      for _, name in ipairs { "float64", "float32" } do assert.equal(1.5, c[name]) end
      for _, name in ipairs { "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32" } do
        assert.equal(3, c[name])
        assert.equal("integer", math.type(c[name]))
      end
      assert.is_true(c.bool_)
    end
    refuses(function() torch.load(theirs .. "numpy_array.pt") end, "load(): ", "multiarray._reconstruct",
      "save torch.from_numpy(x)", "checkpoint_spec.lua:")
  end)

  it("attributes of tensors are left out", function()
    local c = torch.load(theirs .. "attributes.pt")
    assert.same({ 1, 1 }, c.x:tolist())
    assert.is_true(torch.is_parameter(c.p) and c.p.requires_grad)
    assert.is_true(torch.is_parameter(c.frozen) and not c.frozen.requires_grad)
    assert.is_true(c.leaf.requires_grad and c.leaf.is_leaf and not torch.is_parameter(c.leaf))
  end)

  it("a file's name means nothing", function()
    local folder, remove = near.folder()
    near.write(folder .. "/model.safetensors", near.read(theirs .. "mlp.pt"))
    near.write(folder .. "/model.pt", near.read(theirs .. "mlp.safetensors"))
    for _, name in ipairs { "/model.safetensors", "/model.pt" } do
      assert.same({ 8 }, { table.unpack(torch.load(folder .. name)["0.bias"].shape) })
    end
    torch.save({ 1 }, folder .. "/ours.pt")
    assert.same({ 1 }, torch.load(folder .. "/ours.pt"))
    remove()
  end)

  it("what is no data is refused by name", function()
    refuses(function() torch.load(theirs .. "../whole_model.pt") end, "load(): ",
      "Unsupported global: GLOBAL torch.nn.modules.activation.ReLU was not an allowed global by default",
      "torch.save(model.state_dict(), path)", "checkpoint_spec.lua:")
  end)

  it("every cut of a file from before 1.6 is refused", function()
    local s = near.read(theirs .. "checkpoint_legacy_2.pt")
    for n = 0, #s - 1, 97 do
      refuses(function() torch.utils.pickle.load(s:sub(1, n), "cut") end, "cut")
    end
  end)
end)

describe("training that PyTorch began goes on as there:", function()
  for name, run in pairs(golden) do
    it(name, function()
      local c = torch.load(theirs .. "run_" .. name .. ".pt")
      local model, optimizer, scheduler = cross.resume(name, c)
      for i, loss in ipairs(run.losses) do
        near.check(loss, cross.step(model, optimizer, scheduler), 1e-12, "loss of step " .. 5 + i)
      end
      for i, rate in ipairs(run.rates) do near.check(rate, optimizer.param_groups[i].lr, 1e-13, "rate") end
    end)
  end
end)

-- The keys of a table and of those in it, sorted; of state the kinds of values too.
local function outline(t)
  local list = {}
  for key, value in pairs(t) do
    list[#list + 1] = tostring(key) .. (value == torch.none and " None" or torch.is_tensor(value) and " Tensor" or "")
  end
  table.sort(list)
  return list
end

describe("a state dict for PyTorch has PyTorch's keys:", function()
  for name in pairs(golden) do
    it(name, function()
      local c = torch.load(theirs .. "run_" .. name .. ".pt")
      local model, optimizer, scheduler = cross.resume(name, c)
      local state = optimizer:state_dict { index_base = 0 }
      for i, group in ipairs(c.optimizer.param_groups) do
        assert.same(outline(group), outline(state.param_groups[i]))
        assert.same(group.params, state.param_groups[i].params)
      end
      assert.same(outline(c.optimizer.state), outline(state.state))
      for i, own in pairs(c.optimizer.state) do assert.same(outline(own), outline(state.state[i])) end
      assert.same(outline(c.scheduler), outline(scheduler:state_dict()))
      assert.same(outline(c.model), outline(model:state_dict { index_base = 0 }))
    end)
  end
end)

describe("files written here before are read:", function()
  local outputs = torch.load(ours .. "outputs.safetensors")
  for _, name in ipairs(names) do
    it(name .. ".safetensors", function()
      local model = cross.models[name][1]()
      model:load_state_dict(torch.load(ours .. name .. ".safetensors"), { index_base = 0 })
      near.check(outputs[name]:tolist(), model:predict(cross.models[name][2]()), 2e-6)
    end)
  end

  for name in pairs(golden) do
    it("run_" .. name .. ".st", function()
      local c = torch.load(ours .. "run_" .. name .. ".st")
      local model, optimizer, scheduler = cross.resume(name, c)
      for i, loss in ipairs(c.losses) do
        near.check(loss, cross.step(model, optimizer, scheduler), 1e-12, "loss of step " .. 5 + i)
      end
      for i, rate in ipairs(c.rates) do near.check(rate, optimizer.param_groups[i].lr, 1e-13, "rate") end
    end)
  end

  it("values.st", function()
    local v = torch.load(ours .. "values.st")
    assert.same({ 2, 6, 10 }, v.column:tolist())
    v.row:fill_(-1)
    assert.same({ -1, -1, -1, -1 }, v.whole[2]:tolist())
    assert.same({ 3, -1, 11 }, v.turned[4]:tolist())
    for _, dtype in ipairs(cross.dtypes) do assert.equal(torch[dtype], v.dtypes[dtype].dtype) end
    assert.same({ 1, 2.5, "grüße", true, torch.none, { -1 << 62, 1 / 0 } }, v.plain)
    assert.equal("\0\255a", v.bytes)
    assert.equal("number", v[2.5])
    assert.is_true(torch.is_parameter(v.parameter))
  end)
end)
