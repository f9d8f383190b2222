--- Mistakes with shapes and memory, and how warnings are given, made on purpose: see support/pitfalls.lua.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local pitfalls = dofile(here .. "/../support/pitfalls.lua")
local mistake, right = pitfalls.mistake, pitfalls.right
local near, warnings_of, Norm, Two = pitfalls.near, pitfalls.warnings_of, pitfalls.Norm, pitfalls.Two
local nn, F, optim = torch.nn, torch.nn.functional, torch.optim

describe("shapes and memory", function()
  it("16 view after a transpose shows sizes and strides and both ways out", function()
    local x = torch.arange(6):reshape(2, 3):t()
    mistake(function() x:view(6) end, "view size is not compatible with input tensor's size and stride",
      "size is [3, 2], stride [1, 3]", "x:contiguous():view(...)", "x:reshape(...)")
    assert.same({ 0, 3, 1, 4, 2, 5 }, right(function() return x:contiguous():view(6) end):tolist())
    assert.same({ 0, 3, 1, 4, 2, 5 }, right(function() return x:reshape(6) end):tolist())
  end)

  it("17 view with the wrong count gives both products and the -1 that would fit", function()
    mistake(function() torch.ones(2, 6):view(4, 2) end, "shape '[4, 2]' is invalid for input of size 12",
      "multiply to 8", "[-1, 2] would fit, its -1 is 6 then")
    mistake(function() torch.ones(6):view(3, 4) end, "multiply to 12", "[3, -1] would fit, its -1 is 2 then")
    mistake(function() torch.ones(7):reshape(3, 2) end, "multiply to 6", "no -1 in place of one of them would fit")
    assert.equal(6, right(function() return torch.ones(2, 6):view(-1, 2) end):size(1))
  end)

  it("35 a write into an expanded tensor names the expand", function()
    local wide = torch.zeros(3, 1):expand(3, 4)
    for _, write in ipairs { function() wide:add_(1) end, function() wide:fill_(1) end } do
      mistake(write, "more than one element of the written-to tensor refers to a single memory location",
        "Please clone() the tensor", "[3, 4]", "expand")
    end
    assert.equal(12, right(function() return wide:clone():add_(1) end):sum():item())
    assert.equal(0, wide:sum():item())
  end)

  it("36 the mean of integers names the conversion", function()
    mistake(function() torch.tensor { 1, 2 }:mean() end, "could not infer output dtype",
      "must be either a floating point or complex dtype. Got: Long", ":float():mean()")
    assert.equal(1.5, right(function() return torch.tensor { 1, 2 }:float():mean() end):item())
  end)

  it("38 a 0 is told that positions count from 1", function()
    local x = torch.arange(9):reshape(3, 3)
    local zero = torch.tensor { 0 }
    for _, wrong in ipairs {
      function() return x[0] end, function() x[0] = 1 end, function() return x[{ 1, 0 }] end, function() x:sum(0) end,
      function() x:select(1, 0) end, function() x:select(0, 1) end, function() x:transpose(0, 1) end,
      function() return x[zero] end, function() x:index_select(1, zero) end,
      function() x:gather(1, zero:view(1, 1)) end,
      function() torch.cat({ x, x }, 0) end, function() torch.stack({ x, x }, 0) end, function() x:softmax(0) end,
      function() x:index_add_(1, zero, torch.ones(1, 3):long()) end, function() x:narrow(1, 0, 1) end,
    } do
      mistake(wrong, "count from 1 in Lua")
    end
    assert.same({ 0, 1, 2 }, right(function() return x[1] end):tolist())
    assert.same({ 9, 12, 15 }, right(function() return x:sum(1) end):tolist())
  end)
end)

describe("devices", function()
  -- Says that it lies on cuda:0: what refuses such tensors needs no device.
  local function elsewhere(...) return torch._on_test_device(torch.ones(...)) end

  it("5 mixed devices name every argument with shape, dtype and device, the module, and what moves which", function()
    mistake(function() return torch.ones(2, 3) + elsewhere(2, 3) end,
      "Expected all tensors to be on the same device, but found at least two devices, cpu and cuda:0",
      "input is float32 [2, 3] on cpu", "other is float32 [2, 3] on cuda:0", 'input:to("cuda:0")')
    local net = Two()
    mistake(function() return net(elsewhere(2, 3)) end, "cuda:0 and cpu", "input is float32 [2, 3] on cuda:0",
      "weight is float32 [2, 3] on cpu", "bias is float32 [2] on cpu", 'model:to("cuda:0")', "in fc2: Linear(3 → 2)")
    mistake(function() return F.cross_entropy(elsewhere(2, 3), torch.tensor { 1, 2 }) end,
      "input is float32 [2, 3] on cuda:0", "target is int64 [2] on cpu", 'target:to("cuda:0")')
    mistake(function() return torch.cat { torch.ones(1), elsewhere(1) } end, "tensors[1] is float32 [1] on cpu",
      "tensors[2] is float32 [1] on cuda:0")
    assert.equal(2, right(function() return (torch.ones(1) + torch.ones(1)):item() end))
  end)

  it("28 what lies on a device does not come to Lua by itself", function()
    local x = elsewhere(2)
    local remedy = "Use Tensor:cpu() to copy the tensor to host memory first."
    mistake(function() x:tolist() end, "can't convert cuda:0 device type tensor to a Lua table", remedy)
    mistake(function() x:tobytes() end, "can't convert cuda:0 device type tensor to a Lua string", remedy)
    if not torch.cuda.is_available() then -- with a device these wait and copy, as in PyTorch
      mistake(function() x:sum():item() end, "cuda")
      mistake(function() elsewhere(1):item() end, "item(): ", "cuda")
    end
    x = torch.tensor { { 1, 2 }, { 3, 4 } }
    assert.same({ { 1, 2 }, { 3, 4 } }, right(function() return x:cpu():tolist() end))
    assert.equal(32, #right(function() return x:cpu():tobytes() end))
    mistake(function() x:item() end, "a Tensor with 4 elements cannot be converted to Scalar")
  end)

  it("that are not there are said to be missing, and a script can ask first", function()
    if torch.cuda.is_available() then return end
    for _, wrong in ipairs {
      function() torch.ones(2):cuda() end, function() nn.Linear(2, 2):cuda() end, function() torch.cuda.zeros(2) end,
      function() torch.zeros(2, { device = "cuda" }) end, function() torch.ones(2):to("cuda:0") end,
    } do
      if package.searchpath("moontorch.cuda", package.cpath) then
        mistake(wrong, "moontorch/cuda.so", "keep the tensor on the cpu")
      else
        mistake(wrong, "Torch not compiled with CUDA enabled", "moontorch/cuda.so", "moontorch-cuda")
      end
    end
    assert.equal(0, torch.cuda.device_count())
    local t = right(function() return torch.cuda.is_available() and torch.cuda or torch end)
    assert.equal("cpu", tostring(t.zeros(2).device))
    assert.same({ 1, 1 }, right(function() return torch.ones(2):to("cpu"):tolist() end))
  end)
end)

describe("warnings", function()
  it("go through Lua's warn, with the script's line", function()
    local script, words = os.tmpname(), {}
    near.write(script, [[
local torch = require "moontorch"
local nn = torch.nn
local S = nn.class("S")
function S:forward(x)
  local y = x:squeeze()
  return y
end
local y = torch.ones(3, { requires_grad = true }) * 2
for _, mode in ipairs { "@off", "@on" } do
  warn(mode)
  local _ = y.grad
end
S()(torch.ones(1, 3))
nn.CrossEntropyLoss()(torch.nn.Softmax(2)(nn.Linear(2, 3)(torch.ones(1, 2))), torch.tensor { 1 })
]])
    local lowest = 0
    while arg and arg[lowest - 1] do lowest = lowest - 1 end
    local pipe = assert(io.popen(("'%s' '%s' 2>&1"):format(lowest < 0 and arg[lowest] or "lua5.4", script)))
    for line in pipe:lines() do words[#words + 1] = line end
    pipe:close()
    os.remove(script)
    assert.equal(3, #words, table.concat(words, "\n"))
    for i, part in ipairs {
      ":11: The .grad attribute", ":5: S: squeeze() without a dim", ":14: cross_entropy: its input",
    } do
      assert.is_truthy(words[i]:find("Lua warning: ", 1, true) and words[i]:find(part, 1, true), words[i])
    end
  end)
end)

describe("set_checks", function()
  it("turns the warnings off, and the errors stay", function()
    torch.set_checks(false)
    local good, message = pcall(function()
      local Silent = nn.class("Silent")
      function Silent:forward(x) return x:squeeze() end
      local net = nn.Linear(2, 3)
      assert.same({}, warnings_of(function()
        Silent()(torch.ones(1, 3))
        F.cross_entropy(F.softmax(net(torch.ones(4, 2)), 2), torch.tensor { 1, 2, 3, 1 })
        torch.no_grad(function() Norm(3)(torch.ones(4, 3)) end)
        local optimizer = optim.SGD(net:parameters(), { lr = 0.1 })
        for _ = 1, 3 do
          net(torch.ones(1, 2)):sum():backward()
          optimizer:step()
        end
      end))
      mistake(function() F.mse_loss(torch.ones(4, 1), torch.ones(4)) end, "unsqueeze(2)")
    end)
    torch.set_checks(true)
    assert(good, message)
  end)
end)
