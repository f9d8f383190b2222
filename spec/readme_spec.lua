-- README.md: every Lua program in it runs as written.
describe("README", function()
  local file = assert(io.open("README.md"))
  local text = file:read("a")
  file:close()
  local count = 0
  for program in text:gmatch("\n```lua\n(.-)\n```") do
    count = count + 1
    it("program " .. count .. " runs", function()
      local printed = {}
      local env = setmetatable({
        print = function(...)
          printed[#printed + 1] = table.pack(...)
        end,
      }, { __index = _G })
      assert(load(program, "@README.md", "t", env))()
      assert.is_true(#printed > 0)
      -- The first program fits a sine: its loss falls.
      if program:find("mse_loss", 1, true) then
        local last = printed[#printed]
        assert.is_true(last[2] < 0.01 and last[2] < printed[1][2])
      end
    end)
  end
  it("has a first program", function()
    assert.is_true(count > 0)
  end)
end)
