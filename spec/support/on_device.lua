--- What a function gives on a GPU against what it gives on the CPU.
local torch = require "moontorch"
local assert = require "luassert"
local operators = require "spec.support.operators"

local on_device = {}

--- How far results of a dtype may be apart.
on_device.BOUND = { [torch.float64] = 1e-11, [torch.float32] = 2e-5, [torch.float16] = 4e-3, [torch.bfloat16] = 3e-2 }
on_device.INTEGERS = { torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8 }

--- fn(...) is the same for tensors on the device as for those on the CPU, and lies there.
function on_device.same(what, bound, fn, ...)
  local args = table.pack(...)
  local wanted = table.pack(fn(table.unpack(args, 1, args.n)))
  local there = { n = args.n }
  for k = 1, args.n do there[k] = torch.is_tensor(args[k]) and args[k]:cuda() or args[k] end
  local got = table.pack(fn(table.unpack(there, 1, there.n)))
  for k = 1, got.n do
    assert.is_true(got[k].is_cuda, what .. ": a result is not on the device")
    got[k] = got[k]:detach():cpu()
  end
  local different = operators.difference(got, wanted, bound)
  assert.is_nil(different, different and what .. ": " .. different)
end

--- fn(...) waits for no device.
function on_device.without_waiting(fn, ...)
  torch.cuda.set_sync_debug_mode "error"
  local out = table.pack(pcall(fn, ...))
  torch.cuda.set_sync_debug_mode "default"
  return table.unpack(out, 1, out.n)
end

return on_device
