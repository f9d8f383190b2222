--- Functions of torch that tell about dtypes, and settings that PyTorch's programs make.
--
-- finfo, iinfo, can_cast, typename; the switch for the same bits on every machine; the precision of float32 products,
-- which changes nothing here: they are computed in float32. Loaded when first used.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local settings = {}

-- dtypes --------------------------------------------------------------------------------------------------------------

local function ldexp(exponent) return 2.0 ^ exponent end

-- bits, eps, max, smallest normal number, decimal resolution; IEEE 754 and bfloat16.
local floats = {
  float64 = { 64, ldexp(-52), (2 - ldexp(-52)) * ldexp(1023), ldexp(-1022), 1e-15 },
  float32 = { 32, ldexp(-23), (2 - ldexp(-23)) * ldexp(127), ldexp(-126), 1e-6 },
  float16 = { 16, ldexp(-10), 65504.0, ldexp(-14), 1e-3 },
  bfloat16 = { 16, ldexp(-7), (2 - ldexp(-7)) * ldexp(127), ldexp(-126), 1e-2 },
}

local function number_text(v) return ("%.6g"):format(v) end

local function attribute(class)
  return function(_, key) core.raise(class, "torch.%s has no attribute '%s'", class, tostring(key)) end
end

local finfo_meta = { __name = "torch.finfo", __index = attribute("finfo") }
function finfo_meta.__tostring(f)
  return ("finfo(resolution=%s, min=%s, max=%s, eps=%s, smallest_normal=%s, tiny=%s, dtype=%s)"):format(
    number_text(f.resolution), number_text(f.min), number_text(f.max), number_text(f.eps),
    number_text(f.smallest_normal), number_text(f.tiny), f.dtype)
end

local iinfo_meta = { __name = "torch.iinfo", __index = attribute("iinfo") }
function iinfo_meta.__tostring(i)
  return ("iinfo(min=%s, max=%s, dtype=%s)"):format(number_text(i.min), number_text(i.max), i.dtype)
end

-- What was given as the dtype `name` of `owner`: an object or a string.
local function to_dtype(owner, name, position, v)
  if type(v) == "string" and core.is_dtype(rawget(core, v)) then return core[v] end
  if not core.is_dtype(v) then
    core.raise(owner, "argument '%s' (position %d) must be torch.dtype, not %s", name, position, arguments.type_name(v))
  end
  return v
end

-- The single argument `type`, by position or by name.
local function type_argument(...)
  local v = ...
  if type(v) == "table" and getmetatable(v) == nil then
    for key in pairs(v) do
      if key ~= "type" then return nil, key end
    end
    v = v.type
  end
  return v
end

local function only_type(owner, ...)
  local v, wrong = type_argument(...)
  if wrong ~= nil then
    core.raise(owner, "got an unexpected keyword argument '%s'; it takes: type", tostring(wrong))
  end
  return v
end

local made = {}

--- finfo(dtype): the limits of a floating point dtype (the default one if none is given): bits, eps, max, min, tiny,
-- smallest_normal, resolution, dtype (its name).
function settings.finfo(...)
  local v = only_type("finfo", ...)
  local dtype = v == nil and core.get_default_dtype() or to_dtype("finfo", "type", 1, v)
  local name = dtype.name
  local row = floats[name]
  if not row then
    core.raise("finfo", "torch.finfo() requires a floating point input type. Use torch.iinfo to handle '%s'", name)
  end
  if not made[name] then
    made[name] = setmetatable({ bits = row[1], eps = row[2], max = row[3], min = -row[3], tiny = row[4],
      smallest_normal = row[4], resolution = row[5], dtype = name }, finfo_meta)
  end
  return made[name]
end

--- iinfo(dtype): the limits of an integer dtype: bits, max, min, dtype (its name).
function settings.iinfo(...)
  local v = only_type("iinfo", ...)
  if v == nil then core.raise("iinfo", "missing 1 required positional arguments: \"type\"") end
  local dtype = to_dtype("iinfo", "type", 1, v)
  local name = dtype.name
  if dtype.is_floating_point then
    core.raise("iinfo", "torch.iinfo() requires an integer input type. Use torch.finfo to handle '%s'", name)
  end
  if dtype == core.bool then core.raise("iinfo", "torch.bool is not supported by torch.iinfo") end
  if not made[name] then
    local bits = 8 * dtype.itemsize
    local max = dtype.is_signed and math.maxinteger >> (64 - bits) or (1 << bits) - 1
    made[name] = setmetatable({ bits = bits, max = max, min = dtype.is_signed and -max - 1 or 0, dtype = name },
      iinfo_meta)
  end
  return made[name]
end

-- bool < integers < floats
local function rank(dtype) return dtype.is_floating_point and 3 or dtype == core.bool and 1 or 2 end

local can_cast_arguments = arguments.signature("can_cast", { { "from_", "any" }, { "to", "any" } })

--- can_cast(from, to): may a tensor of the first dtype be written into one of the second in place?
function settings.can_cast(...)
  local from, to = can_cast_arguments(...)
  from, to = to_dtype("can_cast", "from_", 1, from), to_dtype("can_cast", "to", 2, to)
  return rank(from) <= rank(to)
end

--- typename(v): "torch.FloatTensor" for a tensor, "torch.dtype" for a dtype, a class's name for its objects, else Lua's
-- word.
function settings.typename(v)
  if core.is_tensor(v) and not core.is_freed(v) then return v:type() end
  local meta = getmetatable(v)
  return type(meta) == "table" and type(meta.__name) == "string" and meta.__name or type(v)
end

--- torch.dtype stands for the class of dtypes: torch.dtype("float32") is torch.float32, and is_dtype(v) tells whether v
-- is one.
settings.dtype = setmetatable({ is = core.is_dtype }, {
  __name = "type",
  __tostring = function() return "<class 'torch.dtype'>" end,
  __call = function(_, v) return to_dtype("dtype", "name", 1, v) end,
})

-- Settings ------------------------------------------------------------------------------------------------------------

local deterministic_arguments = arguments.signature("use_deterministic_algorithms", {
  { "mode", "boolean" }, { "warn_only", "boolean", false },
})

--- use_deterministic_algorithms(mode, {warn_only = false}), for the whole process. Every operator gives the same bits
-- each time, for any number of threads, whatever is set. With mode true the same build also gives the same bits on
-- every x86-64 processor that has AVX2, whatever the size of its caches: AVX-512 is left unused, which about doubles
-- the time of matrix products, convolutions, attention, exp and the like on processors that have it, hardly changes
-- that of work which waits for memory (sums, norms, arithmetic), and costs other processors nothing; and memory that
-- nobody wrote (torch.empty, resize_) is filled, see torch.utils.deterministic. No operator has to be refused, so
-- warn_only changes nothing. Source: https://pytorch.org/docs/stable/notes/randomness.html
function settings.use_deterministic_algorithms(...)
  core._deterministic(deterministic_arguments(...))
end

--- What use_deterministic_algorithms set.
function settings.are_deterministic_algorithms_enabled() return (core._deterministic()) end

--- Was warn_only set?
function settings.is_deterministic_algorithms_warn_only_enabled() return (select(2, core._deterministic())) end

local debug_modes = { default = 0, warn = 1, error = 2 }

--- The same switch in another spelling: 0 or "default" is off, 1 or "warn" on with warn_only, 2 or "error" on.
function settings.set_deterministic_debug_mode(mode)
  if type(mode) == "table" and getmetatable(mode) == nil then mode = mode.debug_mode end
  local whole = math.tointeger(mode)
  if type(mode) == "string" then
    whole = debug_modes[mode]
    if not whole then
      core.raise("set_deterministic_debug_mode",
        "invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got %s", mode)
    end
  elseif not whole then
    core.raise("set_deterministic_debug_mode", "debug_mode must be str or int, but got %s", arguments.type_name(mode))
  elseif whole < 0 or whole > 2 then
    core.raise("set_deterministic_debug_mode", "invalid value of debug_mode, expected 0, 1, or 2, but got %d", whole)
  end
  core._deterministic(whole > 0, whole == 1)
end

--- 0, 1 or 2, see set_deterministic_debug_mode.
function settings.get_deterministic_debug_mode()
  local on, warn_only = core._deterministic()
  return not on and 0 or warn_only and 1 or 2
end

local precision = "highest"

--- set_float32_matmul_precision("highest" | "high" | "medium"): other than "highest" lets a GPU multiply float32
-- matrices as TF32 (10 bits of mantissa); the CPU computes in float32 whatever is set. Another word changes nothing and
-- is warned about.
function settings.set_float32_matmul_precision(word)
  if type(word) == "table" and getmetatable(word) == nil then word = word.precision end
  if type(word) ~= "string" then
    core.raise("set_float32_matmul_precision", "set_float32_matmul_precision expects a str, but got %s",
      arguments.type_name(word))
  end
  if word ~= "highest" and word ~= "high" and word ~= "medium" then
    core.warn(word .. " is not one of 'highest', 'high', or 'medium'; the current set_float32_matmul_precision call "
      .. "has no effect.")
    return
  end
  precision = word
  core._device_mode("matmul_tf32", word ~= "highest")
end

--- What set_float32_matmul_precision set.
function settings.get_float32_matmul_precision() return precision end

local anomaly_arguments = arguments.signature("set_anomaly_enabled", {
  { "mode", "boolean" }, { "check_nan", "boolean", true },
})

--- Switches anomaly mode on or off for good; torch.autograd.set_detect_anomaly does it for a block.
function settings.set_anomaly_enabled(...)
  core._anomaly_mode(anomaly_arguments(...))
end

return settings
