--- What the specs of a GPU share. They run where moontorch/cuda.so finds a device; `make test-cuda-standin` gives them
-- one that is not there.
local torch = require "moontorch"
local assert = require "luassert"

local gpu = {}

--- Is there none? The report says so then, with busted's describe and it.
function gpu.missing(describe, it, topic)
  if torch.cuda.is_available() then return false end
  describe(topic, function()
    it("is skipped: this machine has no GPU that moontorch/cuda.so can use", function() end)
  end)
  return true
end

--- fn must raise a message with all the texts, at a line of its own file; returns it.
function gpu.refuses(fn, ...)
  local ok, why = pcall(fn)
  assert.is_false(ok)
  for _, text in ipairs { ... } do assert.is_truthy(why:find(text, 1, true), text .. "\nis missing in\n" .. why) end
  local file = debug.getinfo(fn, "S").source:match("[^/@]*$")
  assert.is_truthy(why:find(file .. ":%d+: "), why)
  return why
end

--- `got`, on a device, is `wanted`, on the CPU, but for `bound` of its largest number.
function gpu.close(got, wanted, bound, what)
  assert.is_true(got.is_cuda, what)
  assert.same(wanted:size(), got:size(), what)
  assert.equal(wanted.dtype, got.dtype, what)
  if wanted:numel() == 0 then return end
  got, wanted = got:detach():cpu():double(), wanted:detach():double()
  local off = (got - wanted):abs():max():item() / math.max(wanted:abs():max():item(), 1)
  assert.is_true(off <= bound, ("%s: off by %g"):format(what, off))
end

return gpu
