--- Every operator with one of its tensors on another device than the rest: it is refused in PyTorch's words, or, where
-- one tensor may lie elsewhere (a number in a tensor of no dims, positions), the result is the CPU's. On the stand-in a
-- pointer to host memory that reaches a kernel, or one to a device's that the host follows, ends the process.
local torch = require "moontorch"
local samples = require "spec.support.samples"
local operators = require "spec.support.operators"
local gpu = require "spec.support.gpu"

if gpu.missing(describe, it, "mixed devices") then return end

-- Between the devices of its arguments by its nature, or what belongs to whole operators.
local own_way = { recurrent_back = true, cross_entropy_back = true }

local REFUSED = "Expected all tensors to be on the same device, but found at least two devices"

-- The arguments with tensor number k on `one`, the others on `rest`.
local function spread(args, k, one, rest)
  local n = 0
  return samples.map(args, function(t)
    n = n + 1
    return t:to(n == k and one or rest)
  end)
end

local function on_host(out)
  local host = { n = out.n, list = out.list }
  for k = 1, out.n do host[k] = torch.is_tensor(out[k]) and out[k]:detach():cpu() or out[k] end
  return host
end

local function check(op, r, form, args, where, one, rest)
  local wanted = operators.try(form, args)
  local count = #samples.tensors(args)
  for k = 1, wanted and count > 1 and count or 0 do
    local place = ("%s, tensor %d on %s, the others on %s"):format(where, k, one, rest)
    local got, why = operators.try(form, spread(args, k, one, rest))
    if not got and not why:find(REFUSED, 1, true) then
      r.bad(place, "%s", why)
    elseif got and not op.random and not operators.unwritten[op.name] then
      local different = operators.difference(on_host(got), wanted, 2e-5)
      if different then r.bad(place, "%s", different) end
    end
  end
end

for _, op in ipairs(operators.all()) do
  if not own_way[op.name] then describe("mixed devices in " .. op.label, function()
    it("are refused, or no matter", function()
      local r, form = operators.report(), operators.pure(op)
      for _, sample in ipairs(op.cases) do
        local args = samples.build(sample, op.name, torch.float32)
        check(op, r, form, args, sample.text, "cpu", "cuda:0")
        check(op, r, form, args, sample.text, "cuda:0", "cpu")
        if torch.cuda.device_count() > 1 then check(op, r, form, args, sample.text, "cuda:1", "cuda:0") end
      end
      r.finish()
    end)
  end) end
end
