--- The float functions and their slopes against exact values, in units of the last place, and against PyTorch at zeros,
-- infinities and the ends of the types, in every instruction set that this processor has (support/accuracy.lua measures
-- and says what a unit is; golden/make_accuracy.py made the values).
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."

-- float32 on dense arguments: two units, but for erfc, the C library's; mish, a quotient of products; slopes near their
-- roots, whose terms cancel; gelu's approximation where products are rounded before they are summed, without FMA. Less
-- where a mistake in a formula's last coefficients would stay below two.
local DENSE = { erfc = 3, sqrt = 0.5, mish = 3.2, ["gelu's slope"] = 2.6, ["silu's slope"] = 2.4,
  ["gelu by tanh"] = 2.1, gelu = 1.5, silu = 1.7, sigmoid = 1.7, erfinv = 1.7, logit = 0.6 }
local DENSE_ROWS = 33

-- Values within two units, slopes within four, but for these: { value, slope, slope by the second argument }.
local EXACT = {
  -- The C library's; its worst arguments of cos and tan are among ours.
  ["erfc float32"] = { 3, 62 }, ["lgamma float32"] = { 2.5 }, ["cos float64"] = { 8.5 }, ["tan float64"] = { 15.5, 29 },
  ["sin float64"] = { 2, 8.5 },
  -- Slopes that exp has of what is rounded before: x^2, x / alpha, a - b, the exponent less one.
  ["erf float32"] = { 2, 27 }, ["erf float64"] = { 2, 20.5 }, ["erfc float64"] = { 2, 420 },
  ["ndtr float32"] = { 2, 54 }, ["ndtr float64"] = { 2, 300 }, ["ndtri float32"] = { 2, 115 },
  ["ndtri float64"] = { 2, 1800 }, ["erfinv float32"] = { 2, 10.5 }, ["erfinv float64"] = { 2, 18 },
  ["log_ndtr float32"] = { 2, 48 }, ["log_ndtr float64"] = { 2.5, 73 }, ["celu float32"] = { 2.5, 22 },
  ["celu float64"] = { 2, 160 }, ["logaddexp float32"] = { 2, 68, 32 }, ["logaddexp float64"] = { 2, 58, 49 },
  ["logaddexp2 float32"] = { 2, 70, 92 }, ["logaddexp2 float64"] = { 2, 56, 83 }, ["pow float32"] = { 2, 56, 40 },
  ["pow float64"] = { 2, 680, 222 },
  -- Sums of many terms, and products of several factors.
  ["i0 float64"] = { 5.5, 5.5 }, ["i0e float64"] = { 8.5, 6 }, ["i1 float64"] = { 5.5, 7 },
  ["i1e float64"] = { 5.6, 5 }, ["digamma float64"] = { 6 }, ["trigamma float64"] = { 3.4, 16 },
  ["lgamma float64"] = { 2, 5.5 }, ["erfcx float64"] = { 3.5 }, ["mish float32"] = { 2.5 }, ["mish float64"] = { 2.5 },
  ["rsqrt float32"] = { 2, 4.1 }, ["sinc float32"] = { 2, 5 },
}
local EXACT_ROWS = 49 * 2 * 2 + 7 * 2 * 3

local lowest = 0
while arg and arg[lowest - 1] do lowest = lowest - 1 end
local lua = lowest < 0 and arg[lowest] or "lua5.4"

local function bound_of(name, dtype, what)
  local own = EXACT[name .. " " .. dtype] or {}
  if what == "y" then return own[1] or 2 end
  return own[what == "slope_b" and 3 or 2] or 4
end

for _, set in ipairs { "base", "avx2", "avx512" } do
  describe("the float functions of " .. set, function()
    local dense, exact, special = {}, {}, {}
    local pipe = assert(io.popen(("MOONTORCH_ISA=%s '%s' '%s/support/accuracy.lua' 2>&1"):format(set, lua, here)))
    local last
    for line in pipe:lines() do
      last = line
      local name, worst, at = line:match("^dense\t(.-)\t(%S+)\t(%S+)$")
      if name then dense[#dense + 1] = { name = name, worst = tonumber(worst) or math.huge, at = at } end
      local what, dtype
      name, dtype, what, worst, at = line:match("^exact\t(%S+)\t(%S+)\t(%S+)\t(%S+)\t(%S+)$")
      if name then
        exact[#exact + 1] = { name = ("%s of %s, %s"):format(what == "y" and "value" or what, name, dtype),
          worst = tonumber(worst) or math.huge, at = at, bound = bound_of(name, dtype, what) }
      end
      if line:find "^special\t" then special[#special + 1] = line end
    end
    pipe:close()

    it("are all measured", function()
      assert.equal("done", last)
      assert.equal(DENSE_ROWS, #dense)
      assert.equal(EXACT_ROWS, #exact)
    end)
    local function holds(row, bound)
      assert.is_true(row.worst <= bound + 1e-3, ("%s is %.3f units off at %s"):format(row.name, row.worst, row.at))
    end
    for _, row in ipairs(dense) do
      local bound = DENSE[row.name] or 2
      it(("%s is within %g units of float64's"):format(row.name, bound), function() holds(row, bound) end)
    end
    for _, row in ipairs(exact) do
      it(("%s is within %g units"):format(row.name, row.bound), function() holds(row, row.bound) end)
    end
    it("have PyTorch's values and slopes at zeros, the ends of the types, infinities and NaN", function()
      assert.same({}, special)
    end)
  end)
end
