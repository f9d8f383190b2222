--- Optimisers on a GPU: parameters and state after some steps are the CPU's.
local torch = require "moontorch"
local gpu = require "spec.support.gpu"

if gpu.missing(describe, it, "optimisers on a GPU") then return end

local OPTIMISERS = {
  { "SGD", { lr = 0.1 } }, { "SGD", { lr = 0.1, momentum = 0.9, weight_decay = 0.01, nesterov = true } },
  { "SGD", { lr = 0.1, momentum = 0.9, dampening = 0.1, maximize = true } },
  { "Adam", { lr = 0.01 } }, { "Adam", { lr = 0.01, amsgrad = true, weight_decay = 0.1, betas = { 0.4, 0.9 } } },
  { "AdamW", { lr = 0.01 } }, { "RMSprop", { lr = 0.01, centered = true, momentum = 0.5 } },
  { "RMSprop", { lr = 0.01 } }, { "Adagrad", { lr = 0.1 } }, { "Adadelta", {} }, { "Adamax", {} },
  { "NAdam", { weight_decay = 0.1 } }, { "RAdam", {} }, { "ASGD", {} }, { "Rprop", {} },
}
local TOLERANCE = {
  [torch.float64] = 1e-12, [torch.float32] = 1e-5, [torch.float16] = 2e-3, [torch.bfloat16] = 2e-2,
}

-- A packed parameter and one that is the transposed view of its memory, after steps with the same gradients.
local function train(name, options, dtype, device)
  torch.manual_seed(3)
  local a = torch.randn(300):to(dtype):to(device):requires_grad_()
  local b = torch.randn(4, 5):to(dtype):to(device):t():requires_grad_()
  local optimiser = torch.optim[name]({ a, b }, options)
  for _ = 1, 7 do
    a.grad = torch.randn(300):to(dtype):to(device)
    b.grad = torch.randn(5, 4):to(dtype):to(device)
    optimiser:step()
  end
  local all = { a:detach():cpu(), b:detach():cpu() }
  for _, p in ipairs { a, b } do
    for key, value in pairs(optimiser.state[p] or {}) do
      if torch.is_tensor(value) then
        assert(value.ndim == 0 or value.is_cuda == (device == "cuda"), key)
        all[#all + 1] = { key, value:cpu() }
      end
    end
  end
  return all
end

describe("optimisers on a GPU", function()
  for _, row in ipairs(OPTIMISERS) do
    for dtype, bound in pairs(TOLERANCE) do
      it(("step as on the CPU: %s %s"):format(row[1], tostring(dtype)), function()
        local wanted, got = train(row[1], row[2], dtype, "cpu"), train(row[1], row[2], dtype, "cuda")
        assert.equal(#wanted, #got)
        local named = {}
        for k = 3, #got do
          local key = got[k][1]
          named[key] = named[key] or {}
          table.insert(named[key], got[k][2])
        end
        for k = 1, 2 do
          assert.is_true(torch.allclose(got[k], wanted[k], bound, bound), "parameter " .. k)
        end
        for k = 3, #wanted do
          local near = false
          for _, state in ipairs(named[wanted[k][1]]) do
            near = near or state:equal(wanted[k][2])
              or state:numel() == wanted[k][2]:numel() and torch.allclose(state, wanted[k][2], bound, bound)
          end
          assert.is_true(near, wanted[k][1])
        end
      end)
    end
  end
end)

-- Steps of many parameters at once against an optimiser for each of them.
describe("optimisers of many parameters on a GPU", function()
  local standin = require "spec.support.standin"

  local function parameters(dtype, n)
    torch.manual_seed(6)
    local params = {}
    for k = 1, n do
      local size = k % 50 == 0 and 5000 or k % 7 == 0 and 2048 or k
      params[k] = torch.randn(k == 3 and 0 or size):to(dtype):cuda():requires_grad_()
      if k % 40 == 1 then params[k] = torch.randn(3, 4):to(dtype):cuda():t():requires_grad_() end
    end
    return params
  end
  local function give_gradients(params, round)
    torch.manual_seed(round)
    for _, p in ipairs(params) do p.grad = torch.randn(p:size()):to(p.dtype):cuda() end
  end

  for _, row in ipairs { { "SGD", { lr = 0.1, momentum = 0.9 } }, { "AdamW", { amsgrad = true } },
    { "Rprop", {} } } do
    for _, dtype in ipairs { torch.float32, torch.bfloat16 } do
      it(("give the same bits: %s %s"):format(row[1], tostring(dtype)), function()
        local together, alone = parameters(dtype, 70), parameters(dtype, 70)
        local one, each = torch.optim[row[1]](together, row[2]), {}
        for k, p in ipairs(alone) do each[k] = torch.optim[row[1]]({ p }, row[2]) end
        for round = 1, 2 do
          give_gradients(together, round)
          give_gradients(alone, round)
          one:step()
          for _, optimiser in ipairs(each) do optimiser:step() end
        end
        for k, p in ipairs(together) do
          assert.is_true(torch.equal(p, alone[k]), "parameter " .. k)
          for key, value in pairs(one.state[p]) do
            if torch.is_tensor(value) then
              assert.is_true(torch.equal(value, each[k].state[alone[k]][key]), key .. " of parameter " .. k)
            end
          end
        end
      end)
    end
  end

  it("take one launch for many", function()
    if not standin then return end
    local params = {}
    for k = 1, 50 do params[k] = torch.ones(10):cuda():requires_grad_() end
    local optimiser = torch.optim.AdamW(params)
    give_gradients(params, 1)
    optimiser:step()
    give_gradients(params, 2)
    local before = standin.calls()
    optimiser:step()
    assert.is_true(standin.calls() - before <= 4, "calls: " .. standin.calls() - before)
  end)

  it("come after each other where they share memory, and before what reads them", function()
    local function overlapping(device)
      local whole = torch.arange(6):float():to(device)
      local a, b = whole:narrow(1, 1, 4):requires_grad_(), whole:narrow(1, 3, 4):requires_grad_()
      local read = {}
      local optimiser = torch.optim.SGD({ a, b }, { lr = 0.5, weight_decay = 0.5 })
      local update = optimiser.update
      function optimiser.update(self, ...)
        update(self, ...)
        read[#read + 1] = whole:clone()
      end
      for round = 1, 2 do
        a.grad, b.grad = torch.ones(4):to(device), torch.ones(4):to(device) * 2
        if round == 2 then optimiser.update = nil end
        optimiser:step()
      end
      return torch.stack { read[1]:cpu(), read[2]:cpu(), whole:cpu() }
    end
    local wanted, got = overlapping("cpu"), overlapping("cuda")
    assert.same(wanted:tolist(), got:tolist())
  end)

  it("run where they were asked for, though another stream is current before they do", function()
    local a, b = torch.ones(3):cuda():requires_grad_(), torch.ones(3):cuda():requires_grad_()
    local optimiser = torch.optim.SGD({ a, b }, { lr = 1 })
    local side, usual = torch.cuda.Stream(), torch.cuda.current_stream()
    a.grad, b.grad = torch.ones(3):cuda(), torch.ones(3):cuda()
    local update = optimiser.update
    function optimiser.update(self, group, param, ...)
      update(self, group, param, ...)
      if param == b then torch.cuda.set_stream(side) end
    end
    optimiser:step()
    torch.cuda.set_stream(usual)
    assert.same({ { 0, 0, 0 }, { 0, 0, 0 } }, { a:detach():cpu():tolist(), b:detach():cpu():tolist() })
  end)

  it("are done where a later parameter is refused", function()
    local a, b = torch.ones(3):cuda():requires_grad_(), torch.ones(3):cuda():requires_grad_()
    local optimiser = torch.optim.SGD({ a, b }, { lr = 1 })
    a.grad, b.grad = torch.ones(3):cuda(), torch.ones(3):cuda()
    local update = optimiser.update
    function optimiser.update(self, group, param, ...)
      if param == b then error("refused") end
      return update(self, group, param, ...)
    end
    assert.is_false((pcall(optimiser.step, optimiser)))
    assert.same({ 0, 0, 0 }, a:detach():cpu():tolist())
    assert.same({ 1, 1, 1 }, b:detach():cpu():tolist())
  end)
end)
