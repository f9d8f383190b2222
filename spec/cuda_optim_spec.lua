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
