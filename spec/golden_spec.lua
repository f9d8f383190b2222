--- Every operator against PyTorch's results, gradients and messages: replays spec/golden/ops_*.lua.
local golden = require "spec.support.golden"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local pipe = assert(io.popen("ls " .. here .. "/golden/ops_*.lua"))
local files = {}
for path in pipe:lines() do files[#files + 1] = path end
pipe:close()

for _, path in ipairs(files) do
  describe("golden " .. path:match("ops_(.*)%.lua$") .. ":", function()
    for _, group in ipairs(golden.groups(dofile(path))) do
      it(golden.title(group), function() golden.check(group) end)
    end
  end)
end

it("golden files are there", function() assert.is_true(#files > 10) end)
