--- Float32 functions against their exact values over all exponents, in units of the last place, in every instruction
-- set that this processor has (support/accuracy.lua measures).
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."

-- Two units, but for: gelu, whose tail is a product of three rounded factors; erfc, the C library's; silu, a rounded
-- sigmoid times its argument; asin, pi/2 less twice a rounded one; erfinv, a long polynomial.
local ALLOWED = { gelu = 6.5, erfc = 3, silu = 2.5, asin = 2.2, erfinv = 2.5, sqrt = 0.5 }

local lowest = 0
while arg and arg[lowest - 1] do lowest = lowest - 1 end
local lua = lowest < 0 and arg[lowest] or "lua5.4"

for _, set in ipairs { "base", "avx2", "avx512" } do
  describe("the float32 functions of " .. set, function()
    local found = {}
    local pipe = assert(io.popen(("MOONTORCH_ISA=%s '%s' '%s/support/accuracy.lua' 2>&1"):format(set, lua, here)))
    for line in pipe:lines() do
      local name, worst, at = line:match("^(.-)\t(%S+)\t(%S+)$")
      if name then found[#found + 1] = { name = name, worst = tonumber(worst) or math.huge, at = at } end
    end
    pipe:close()

    it("are all measured", function() assert.equal(25, #found) end)
    for _, row in ipairs(found) do
      it(("%s is within %g units"):format(row.name, ALLOWED[row.name] or 2), function()
        assert.is_true(row.worst <= (ALLOWED[row.name] or 2) + 1e-3, ("%s is %.3f units off at %s"):format(row.name,
          row.worst, row.at))
      end)
    end
  end)
end
