--- torch.nn and torch.nn.functional against PyTorch: replays spec/golden/functional.lua.
local torch = require "moontorch"
local golden_calls = require "spec.support.golden_calls"
local exceptions = require "spec.support.exceptions"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local groups = golden_calls.load(here .. "/golden/functional.lua")
-- Each call takes long where the collector runs all the time.
local EVERY = os.getenv "GCSTRESS" and 25 or 1
local pool = torch.utils.safetensors.load_file(here .. "/golden/functional.safetensors")

-- Differences on purpose: name or *, pattern of the call and of what is wrong with it, reason.
local EXCEPTIONS = {
  -- Where PyTorch refuses, and the answer is right here.
  { "*", "backward is not refused, .*In%-place elu", "celu keeps its input" },
  { "*", "backward is not refused, .*In%-place leakyReLu", "leaky_relu keeps its input" },
  -- Where PyTorch's arithmetic shows.
  { "*", "%.[hH]ardsigmoid.* d: gradient 1 has", "PyTorch's 1/6 is of single precision" },
  { "mish", "inf .*gradient 1 has .*expected nan", "the slope at infinity is 1; PyTorch multiplies infinity by 0" },
  { "gelu", " inf .*result 1 has inf at element 2, expected nan", "PyTorch's float64 and float16 agree" },
  -- The contract.
  { "cross_entropy", "expected target dtype to be Long or Byte", "PyTorch's other sentence, of nll_loss" },
  { "nll_loss", "i3=2 1 4@int%d+.*expected target dtype to be Long or Byte", "labels of any integer dtype" },
  { "Sequential", "{\"slice\"", "positions count from 1 in the new one; PyTorch keeps the numbers of the old one" },
}

for _, group in ipairs(groups) do
  it(("PyTorch's answers: %s.%s"):format(group.space, group.name), function()
    local failures = {}
    golden_calls.replay(group, pool, function(text)
      if not exceptions.excused(EXCEPTIONS, group.name, text) then failures[#failures + 1] = text end
    end, EVERY)
    if #failures > 0 then
      error(("%d of %d calls differ:\n%s"):format(#failures, #group, table.concat(failures, "\n")), 0)
    end
  end)
end

it("PyTorch's answers need every exception made here", function()
  if EVERY == 1 then exceptions.check_needed(EXCEPTIONS) end
end)
