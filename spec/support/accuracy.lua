--- How far the float32 functions are from the exact value, in units of the last place: lua spec/support/accuracy.lua
-- prints a line `name worst argument` for each, for the instruction set that MOONTORCH_ISA allows.
--
-- Arguments: every exponent of float32, subnormals too, with both signs and MANTISSAS mantissas each, the ends of each
-- exponent among them, and as many more spread over where the function bends. The exact value is that of float64, whose
-- functions are the C library's. A unit is the distance of float32's numbers at the exact value; beyond the largest
-- number infinity is exact.
local torch = require "moontorch"

local accuracy = {}

local MANTISSAS, DENSE = 24, 20000
local LARGEST, LEAST_EXPONENT = (2 - 2 ^ -23) * 2 ^ 127, -126

-- All exponents. Mantissas are drawn by a linear congruential generator, the same ones each time.
local function arguments_of_all_exponents()
  local bits, seed = {}, 12345
  for exponent = 0, 254 do
    for k = 1, MANTISSAS do
      seed = (seed * 1103515245 + 12345) & 0x7fffffff
      local mantissa = k == 1 and 0 or k == 2 and 0x7fffff or seed & 0x7fffff
      bits[#bits + 1] = string.pack("=I4", exponent << 23 | mantissa)
      bits[#bits + 1] = string.pack("=I4", 1 << 31 | exponent << 23 | mantissa)
    end
  end
  return torch.frombuffer(table.concat(bits), { dtype = torch.float32 })
end

local function half_erfc(x) return torch.special.erfc(x * -math.sqrt(0.5)) / 2 end

-- The function, its exact value where that is not the same function in float64, and where it bends.
accuracy.functions = {
  exp = { torch.exp, bends = { -104, 89 } },
  expm1 = { torch.expm1, bends = { -20, 89 } },
  log = { torch.log, bends = { 0.5, 2 } },
  log1p = { torch.log1p, bends = { -1, 2 } },
  log2 = { torch.log2, bends = { 0.5, 2 } },
  log10 = { torch.log10, bends = { 0.5, 2 } },
  sin = { torch.sin, bends = { -100, 100 } },
  cos = { torch.cos, bends = { -100, 100 } },
  tan = { torch.tan, bends = { -100, 100 } },
  tanh = { torch.tanh, bends = { -10, 10 } },
  sigmoid = { torch.sigmoid, bends = { -104, 20 } },
  erf = { torch.erf, bends = { -4.5, 4.5 } },
  erfc = { torch.special.erfc, bends = { -4, 10.2 } },
  erfinv = { torch.erfinv, bends = { -1, 1 } },
  atan = { torch.atan, bends = { -3, 3 } },
  asin = { torch.asin, bends = { -1, 1 } },
  acos = { torch.acos, bends = { -1, 1 } },
  exp2 = { torch.exp2, bends = { -151, 129 } },
  logsigmoid = { torch.nn.functional.logsigmoid, bends = { -104, 20 } },
  gelu = { torch.nn.functional.gelu, function(x) return x * half_erfc(x) end, bends = { -13, 6 } },
  silu = { torch.nn.functional.silu, function(x) return x * torch.sigmoid(x) end, bends = { -104, 20 } },
  sqrt = { torch.sqrt, bends = { 0, 4 } },
  rsqrt = { torch.rsqrt, bends = { 0, 4 } },
  ["power of 1.75"] = { function(x) return torch.pow(1.75, x) end, bends = { -185, 158 } },
  ["pow 2.625"] = { function(x) return torch.pow(x, 2.625) end, bends = { 0, 10 } },
}

-- Errors of y (float32) against the exact value (float64), in units; NaN and infinity must be met.
local function units(y, exact)
  local _, exponent = torch.frexp(exact:abs():clamp { min = 2 ^ LEAST_EXPONENT })
  local unit = torch.pow(torch.tensor(2.0, { dtype = torch.float64 }), exponent - 24)
  local both_nan = y:isnan():logical_and(exact:isnan())
  -- What rounds past the largest number is infinity.
  local beyond = exact:abs():ge(LARGEST + 2 ^ 103):logical_and(y:isinf()):logical_and(y:sign():eq(exact:sign()))
  local error_of = (y:double() - exact):abs() / unit
  error_of = torch.where(both_nan:logical_or(beyond):logical_or(y:double():eq(exact)), 0, error_of)
  return torch.where(error_of:isnan(), math.huge, error_of)
end

--- The largest error of a function, and the argument there. `cut` splits the arguments, so that vectors end raggedly.
function accuracy.worst(f, cut)
  local low, high = table.unpack(f.bends)
  local x = torch.cat { arguments_of_all_exponents(), torch.linspace(low, high, DENSE), torch.tensor { 0.0, -0.0,
    math.huge, -math.huge, 0 / 0 } }
  local y = torch.cat((function()
    local parts = {}
    for k, part in ipairs(x:split(cut)) do parts[k] = f[1](part) end
    return parts
  end)())
  local wide = x:double()
  local errors = units(y, (f[2] or f[1])(wide))
  local worst, at = errors:max(1)
  return worst:item(), x[at:item()]:item()
end

if arg and arg[0] and arg[0]:find "accuracy%.lua$" then
  local names = {}
  for name in pairs(accuracy.functions) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local worst, at = accuracy.worst(accuracy.functions[name], 997)
    local whole, there = accuracy.worst(accuracy.functions[name], 1 << 20)
    if whole > worst then worst, at = whole, there end
    print(("%s\t%.3f\t%.9g"):format(name, worst, at))
  end
end

return accuracy
