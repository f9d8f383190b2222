--- Every operator against PyTorch's results, gradients and messages: replays spec/golden/ops_*.lua.
local golden = require "spec.support.golden"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local FAMILIES = { "creation", "view", "index", "join", "arith", "unary", "reduce", "matmul", "select", "cast",
  "scatter", "arrange", "pointwise" }

for _, family in ipairs(FAMILIES) do
  describe("golden " .. family .. ":", function()
    for _, group in ipairs(golden.groups(dofile(here .. "/golden/ops_" .. family .. ".lua"))) do
      it(golden.title(group), function() golden.check(group) end)
    end
  end)
end
