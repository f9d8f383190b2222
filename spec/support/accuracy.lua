--- How far the float functions are from their exact values, in units of the last place: lua spec/support/accuracy.lua
-- prints lines for the instruction set that MOONTORCH_ISA allows: `dense NAME worst argument`; `exact NAME DTYPE
-- WHAT worst argument`, WHAT being y, slope, slope_a or slope_b; `special NAME DTYPE WHAT argument ours PyTorch's`
-- where those differ; done.
--
-- Two references. "exact" rows hold values and slopes against spec/golden/accuracy.safetensors, which mpmath made
-- (make_accuracy.py says what is in it). "dense" rows hold float32 against float64, whose error against mpmath the
-- exact rows bound, with arguments of every exponent, both signs and MANTISSAS mantissas each, the ends of each
-- exponent among them, and DENSE more spread over where the function bends.
--
-- A unit is the distance of the type's numbers at the exact value; beyond the largest number infinity is exact.
local torch = require "moontorch"
local F = torch.nn.functional

local accuracy = {}

local MANTISSAS, DENSE = 24, 20000
local TYPES = {
  float32 = { digits = 24, normal = 2.0 ^ -126, beyond = (2 - 2 ^ -23) * 2 ^ 127 + 2.0 ^ 103 },
  float64 = { digits = 53, normal = 2.0 ^ -1022, beyond = math.huge },
}

local function gelu_tanh(x) return F.gelu(x, { approximate = "tanh" }) end
local function celu(x) return F.celu(x, 1.5) end
local function trigamma(x) return torch.polygamma(1, x) end
--- The function that a row names.
function accuracy.named(name)
  local own = ({ gelu_tanh = gelu_tanh, celu = celu, trigamma = trigamma })[name]
  return own or rawget(F, name) or torch[name] or torch.special[name]
end

-- The slope of f at x.
local function slope(f, x)
  x = x:detach():requires_grad_()
  f(x):sum():backward()
  return x.grad
end
local function slope_of(f) return function(x) return slope(f, x) end end

-- |y - exact| in units of y's dtype; NaN and infinity must be met. `rest`: what is known of exact beyond float64, in
-- 254ths of float64's unit. `least`: a number or tensor, below which the unit grows no smaller.
local function units(y, exact, rest, least)
  local kind = TYPES[y.dtype == torch.float32 and "float32" or "float64"]
  local wide, size = y:double(), exact:abs():clamp { min = kind.normal }
  if least then size = torch.maximum(size, torch.as_tensor(least, { dtype = torch.float64 })) end
  local _, exponent = torch.frexp(size)
  local up = kind.digits - exponent
  local half = torch.div(up, 2, { rounding_mode = "floor" }) -- 2^up may be more than float64 has
  local off = torch.ldexp(torch.ldexp(wide - exact, half), up - half)
  if rest and y.dtype == torch.float64 then off = off - rest:double() / 254 end
  local beyond = exact:abs():ge(kind.beyond):logical_and(y:isinf()):logical_and(wide:sign():eq(exact:sign()))
  local met = beyond:logical_or(y:isnan():logical_and(exact:isnan())):logical_or(wide:eq(exact):logical_and(y:isinf()))
  off = torch.where(met, 0, off:abs())
  return torch.where(off:isnan(), math.huge, off)
end

-- ---- dense rows

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

-- Where the function bends; `least` as in units, for a slope that crosses 0.
accuracy.dense = {
  exp = { torch.exp, bends = { -104, 89 } },
  exp2 = { torch.exp2, bends = { -151, 129 } },
  expm1 = { torch.expm1, bends = { -20, 89 } },
  log = { torch.log, bends = { 0.5, 2 } },
  log1p = { torch.log1p, bends = { -1, 2 } },
  log2 = { torch.log2, bends = { 0.5, 2 } },
  log10 = { torch.log10, bends = { 0.5, 2 } },
  sin = { torch.sin, bends = { -100, 100 } },
  cos = { torch.cos, bends = { -100, 100 } },
  tan = { torch.tan, bends = { -100, 100 } },
  sinc = { torch.sinc, bends = { -20, 20 } },
  tanh = { torch.tanh, bends = { -10, 10 } },
  sigmoid = { torch.sigmoid, bends = { -104, 20 } },
  logit = { torch.logit, bends = { 0, 1 } },
  erf = { torch.erf, bends = { -4.5, 4.5 } },
  erfc = { torch.special.erfc, bends = { -4, 10.2 } },
  erfinv = { torch.erfinv, bends = { -1, 1 } },
  asin = { torch.asin, bends = { -1, 1 } },
  acos = { torch.acos, bends = { -1, 1 } },
  atan = { torch.atan, bends = { -3, 3 } },
  gelu = { F.gelu, bends = { -14.5, 6 } },
  ["gelu's slope"] = { slope_of(F.gelu), bends = { -14.5, 6 }, root = -0.7517915246935645 },
  ["gelu by tanh"] = { gelu_tanh, bends = { -11, 6 } },
  silu = { F.silu, bends = { -110, 20 } },
  ["silu's slope"] = { slope_of(F.silu), bends = { -110, 20 }, root = -1.2784645427610738 },
  mish = { F.mish, bends = { -110, 22 } },
  softplus = { F.softplus, bends = { -104, 22 } },
  logsigmoid = { F.logsigmoid, bends = { -22, 104 } },
  elu = { F.elu, bends = { -20, 2 } },
  sqrt = { torch.sqrt, bends = { 0, 4 } },
  rsqrt = { torch.rsqrt, bends = { 0, 4 } },
  ["power of 1.75"] = { function(x) return torch.pow(1.75, x) end, bends = { -185, 158 } },
  ["pow 2.625"] = { function(x) return torch.pow(x, 2.625) end, bends = { 0, 10 } },
}

-- Around the root of a slope digits cancel: there its unit is that of 1/8, a tenth of its largest value.
local ROOT_WIDTH = 0.5
local function around(root, x)
  return torch.where((x:double() - root):abs():lt(ROOT_WIDTH), 0.125, 0.0)
end

--- The largest error of a row of accuracy.dense, and the argument there. `cut` splits the arguments, so that vectors
-- end raggedly.
function accuracy.worst(row, cut)
  local low, high = table.unpack(row.bends)
  local x = torch.cat { arguments_of_all_exponents(), torch.linspace(low, high, DENSE), torch.tensor { 0.0, -0.0,
    math.huge, -math.huge, 0 / 0 } }
  local parts = {}
  for k, part in ipairs(x:split(cut)) do parts[k] = row[1](part) end
  local errors = units(torch.cat(parts), row[1](x:double()), nil, row.root and around(row.root, x))
  local worst, at = errors:max(1)
  return worst:item(), x[at:item()]:item()
end

-- ---- exact rows

-- least: in units, for slopes that cancel or come from a result that is rounded already (1 - tanh^2); digamma, and
-- the slopes that are digammas, cross 0. root: of the slope.
-- usable: which slopes of a pair are compared, where the formula leaves the type's range before the slope does.
local function range(bits32, bits64)
  return function(single, _, ...)
    local bits, inside = single and bits32 or bits64, nil
    for _, v in ipairs { ... } do
      local fits = v:abs():gt(2.0 ^ -bits):logical_and(v:abs():lt(2.0 ^ bits))
      inside = inside and inside:logical_and(fits) or fits
    end
    return inside
  end
end
accuracy.exact = {
  acosh = { slope = 2.0 ^ -40 }, asinh = { slope = 2.0 ^ -40 }, atan = { slope = 2.0 ^ -60 },
  digamma = { y = 1 }, trigamma = { slope = 1 }, lgamma = { slope = 1 },
  entr = { slope = 1 }, expm1 = { slope = 1 }, tanh = { slope = 1 }, sigmoid = { slope = 0.25 },
  erfcx = { slope = 1 }, i0e = { slope = 0.25 }, i1e = { slope = 0.25 }, log_ndtr = { slope = 2.0 ^ -100 },
  sinc = { slope = 1, usable = function(_, _, x) return x:abs():lt(2.0 ^ 100) end },
  gelu = { root = -0.7517915246935645 }, gelu_tanh = { root = -0.7524614220710162 },
  silu = { root = -1.2784645427610738 }, mish = { root = -1.1924312145154 },
  atan2 = { usable = range(60, 500) },
  hypot = { usable = function(single, y) return y:abs():gt(single and 2.0 ^ -126 or 2.0 ^ -1022) end },
  pow = { usable = function(single, _, a, b)
    return torch.pow(a, b - 1):abs():lt(single and TYPES.float32.beyond or math.huge)
  end },
}

local function pick(t, name, keep, inputs)
  local out = {}
  for k, key in ipairs(inputs) do out[k] = t[name .. "." .. key] end
  if #inputs == 1 then out[1] = torch.cat { t.x, out[1] } end
  if keep then
    for k, v in ipairs(out) do keep = keep:logical_and(v:float():double():eq(v)) end
  end
  return out, keep
end

--- Calls report(name, dtype, what, worst, argument) for every function in the golden file t.
function accuracy.against(t, report)
  local names = {}
  for key in pairs(t) do
    local name = key:match "^([%w_]+)%.y$"
    if name then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local pair, row, f = t[name .. ".a"] ~= nil, accuracy.exact[name] or {}, accuracy.named(name)
    for _, dtype in ipairs { "float32", "float64" } do
      local single = dtype == "float32"
      local keep = torch.ones(t[name .. ".y"]:size(1), { dtype = torch.bool })
      local x, kept = pick(t, name, single and keep, pair and { "a", "b" } or { "x" })
      keep = kept or keep
      local leaves = {}
      for k, v in ipairs(x) do
        x[k] = v[keep]
        leaves[k] = x[k]:to(torch[dtype]):requires_grad_()
      end
      local y = f(table.unpack(leaves))
      y:sum():backward()
      local exact = t[name .. ".y"][keep]
      -- A value that has overflowed is nothing to take a slope from.
      local skipped = y:isinf():logical_or(exact:isinf())
      if row.usable then skipped = skipped:logical_or(row.usable(single, exact, table.unpack(x)):logical_not()) end
      for _, what in ipairs(pair and { "y", "slope_a", "slope_b" } or { "y", "slope" }) do
        local got = what == "y" and y:detach() or leaves[what == "slope_b" and 2 or 1].grad
        local want, rest = t[name .. "." .. what][keep], t[name .. "." .. what .. ".rest"][keep]
        local off = units(got, want, rest, what == "slope" and row.root and around(row.root, x[1]) or row[what])
        if what ~= "y" then off = torch.where(skipped:logical_or(want:isnan()), 0, off) end
        local worst, at = off:max(1)
        local argument = ("%.17g"):format(x[1][at:item()]:item())
        if pair then argument = argument .. (",%.17g"):format(x[2][at:item()]:item()) end
        report(name, dtype, what, worst:item(), argument)
      end
    end
  end
end

-- Where PyTorch has NaN or garbage: poles, arguments past the type's largest number over pi, inf - inf.
local KINDER = { trigamma = true, ["digamma.slope"] = true, sinc = true, ["sinc.slope"] = true,
  ["gelu_tanh.slope"] = true, ["mish.slope"] = true, ["log_ndtr.slope"] = true }

-- Whether y is what PyTorch has, signs of zeros included; numbers may differ by a millionth, or what float64
-- deserves, or by the least one. Slopes that come from a rounded value have that error absolutely, and their zeros
-- any sign.
local function agrees(y, want, dtype, is_slope)
  if want ~= want or y ~= y then return want ~= want and y ~= y end
  local tolerance = dtype == "float32" and 1e-6 or 1e-14
  local least = dtype == "float32" and 2.0 ^ -149 or 2.0 ^ -1074
  if is_slope then return y == want or math.abs(y - want) <= tolerance * math.max(1, math.abs(want)) end
  if want == 0 and y == 0 then return 1 / y == 1 / want end
  return y == want or math.abs(y - want) <= math.max(tolerance * math.abs(want), least)
end

--- Calls report(name, dtype, what, argument, value, PyTorch's) where those differ at the special arguments.
function accuracy.special(t, report)
  for key, want in pairs(t) do
    local dtype, name, what = key:match "^special%.(float%d+)%.([%w_]+)(.*)$"
    if name then
      local f = accuracy.named(name)
      for k, a in ipairs(t["special." .. dtype]:tolist()) do
        local x = torch.tensor(a, { dtype = torch[dtype] })
        local y = (what == ".slope" and slope(f, x) or f(x)):item()
        local theirs = want[k]:item()
        if not (KINDER[name .. what] or agrees(y, theirs, dtype, what ~= "")) then
          report(name, dtype, what, a, y, theirs)
        end
      end
    end
  end
end

if arg and arg[0] and arg[0]:find "accuracy%.lua$" then
  local names = {}
  for name in pairs(accuracy.dense) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local worst, at = accuracy.worst(accuracy.dense[name], 997)
    local whole, there = accuracy.worst(accuracy.dense[name], 1 << 20)
    if whole > worst then worst, at = whole, there end
    print(("dense\t%s\t%.3f\t%.9g"):format(name, worst, at))
  end
  local t = torch.load((arg[0]:gsub("support/accuracy%.lua$", "golden/accuracy.safetensors")))
  accuracy.against(t, function(name, dtype, what, worst, at)
    print(("exact\t%s\t%s\t%s\t%.3f\t%s"):format(name, dtype, what, worst, at))
  end)
  accuracy.special(t, function(name, dtype, what, at, got, want)
    what = what == "" and "y" or "slope"
    print(("special\t%s\t%s\t%s\t%.17g\t%.17g\t%.17g"):format(name, dtype, what, at, got, want))
  end)
  print "done"
end

return accuracy
