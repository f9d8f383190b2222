--- Regions in which operators choose their precision (torch.autocast), and the switches behind them.
--
-- The core casts; src/graph/autocast.c has the lists of operators.
-- Source: https://docs.pytorch.org/docs/stable/amp.html

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local autocast = {}

local signature = arguments.signature

-- "cpu" or "cuda" for what was given as device type: "cuda:1" counts as "cuda".
local function kind_of(name, device_type)
  if type(device_type) ~= "string" then
    core.raise(name, "Expected `device_type` of type `str`, got: `%s`", arguments.type_name(device_type))
  end
  local kind = device_type:match "^(%a+)$" or device_type:match "^(%a+):%d+$"
  if kind ~= "cpu" and kind ~= "cuda" then
    core.raise(name, "User specified an unsupported autocast device_type '%s': it may be 'cpu' or 'cuda'", device_type)
  end
  return kind
end

local function dtype_of(name, v)
  if type(v) == "string" and core.is_dtype(rawget(core, v)) then return core[v] end
  if not core.is_dtype(v) then
    core.raise(name, "argument 'dtype' must be torch.dtype, not %s", arguments.type_name(v))
  end
  return v
end
autocast.kind_of, autocast.dtype_of = kind_of, dtype_of

-- Regions -------------------------------------------------------------------------------------------------------------

-- Whether the region is on after all.
local function check_region(name, kind, dtype, enabled)
  if not enabled then return false end
  if kind == "cuda" then
    if not core.cuda.is_available() then
      core.warn(name .. "(): CUDA is not available. Disabling autocast.")
      return false
    end
    if dtype == core.bfloat16 and not core.cuda.is_bf16_supported() then
      core.raise(name, "Current CUDA Device does not support bfloat16. Please switch dtype to float16.")
    end
  elseif dtype ~= core.bfloat16 and dtype ~= core.float16 then
    core.warn(name .. "(): In CPU autocast, but the target dtype is not supported. Disabling autocast.\nCPU Autocast "
      .. "only supports dtypes of torch.bfloat16, torch.float16 currently.")
    return false
  end
  return true
end

local function region(name, device_type, dtype, enabled, cache_enabled, f)
  local kind = kind_of(name, device_type)
  if dtype ~= nil then dtype = dtype_of(name, dtype) else dtype = select(2, core._autocast_state(kind)) end
  enabled = check_region(name, kind, dtype, enabled)
  if f then return core._with_autocast(kind, enabled, dtype, cache_enabled, f) end
  return core._autocast_block(kind, enabled, dtype, cache_enabled)
end

-- The function at the end of what a region was given, and the rest.
local function body(...)
  local n = select("#", ...)
  local f = select(n > 0 and n or 1, ...)
  if n > 0 and type(f) == "function" then
    local given = table.pack(...)
    return f, table.unpack(given, 1, n - 1)
  end
  return nil, ...
end

local region_arguments = signature("autocast", {
  { "device_type", "any" }, { "dtype", "any?" }, { "enabled", "boolean", true }, { "cache_enabled", "boolean?" },
})

local function run_region(f, ...)
  local device_type, dtype, enabled, cache_enabled = region_arguments(...)
  return region("autocast", device_type, dtype, enabled, cache_enabled, f)
end

--- autocast(device_type, {dtype, enabled = true, cache_enabled = true}, f): runs f (or the rest of the scope, with
-- <close>) with autocast on or off for "cpu" (bfloat16 unless dtype says otherwise) or "cuda" (float16), and returns
-- f's results. Matrix products, convolutions and recurrent layers then run in that dtype, losses and the like in
-- float32; parameters stay float32, and so do their gradients. float64 is left alone. Casts of parameters are kept
-- until the outermost region ends. Source: https://docs.pytorch.org/docs/stable/amp.html#torch.autocast
function autocast.autocast(...) return run_region(body(...)) end

local cuda_arguments = signature("autocast", {
  { "enabled", "boolean", true }, { "dtype", "any?" }, { "cache_enabled", "boolean", true },
})

local function run_cuda_region(f, ...)
  local enabled, dtype, cache_enabled = cuda_arguments(...)
  return region("autocast", "cuda", dtype or core.float16, enabled, cache_enabled, f)
end

--- torch.cuda.amp.autocast(enabled = true, dtype = float16, cache_enabled = true, f): the same for "cuda".
function autocast.for_cuda(...) return run_cuda_region(body(...)) end

--- Can there be autocast on that type of device?
function autocast.is_autocast_available(device_type)
  if arguments.is_keywords(device_type) then device_type = device_type.device_type end
  return device_type == "cpu" or device_type == "cuda"
end

-- Switches ------------------------------------------------------------------------------------------------------------

--- Is autocast on for that type of device ("cuda" if none is given)?
function autocast.is_autocast_enabled(device_type)
  return (core._autocast_state(kind_of("is_autocast_enabled", device_type or "cuda")))
end

--- What autocast casts to there.
function autocast.get_autocast_dtype(device_type)
  return (select(2, core._autocast_state(kind_of("get_autocast_dtype", device_type))))
end

--- set_autocast_enabled(device_type, enabled), or set_autocast_enabled(enabled) for "cuda".
function autocast.set_autocast_enabled(device_type, enabled)
  if enabled == nil then device_type, enabled = "cuda", device_type end
  if type(enabled) ~= "boolean" then
    core.raise("set_autocast_enabled", "argument 'enabled' must be true or false, not %s", arguments.type_name(enabled))
  end
  core._autocast_set(kind_of("set_autocast_enabled", device_type), enabled)
end

--- set_autocast_dtype(device_type, dtype)
function autocast.set_autocast_dtype(device_type, dtype)
  core._autocast_set(kind_of("set_autocast_dtype", device_type), nil, dtype_of("set_autocast_dtype", dtype))
end

--- Are casts of parameters kept within a region?
function autocast.is_autocast_cache_enabled() return (select(3, core._autocast_state("cpu"))) end

function autocast.set_autocast_cache_enabled(enabled)
  if type(enabled) ~= "boolean" then
    core.raise("set_autocast_cache_enabled", "argument 'enabled' must be true or false, not %s",
      arguments.type_name(enabled))
  end
  core._autocast_set("cpu", nil, nil, enabled)
end

-- Older names.
for word, kind in pairs { cpu = "cpu", gpu = "cuda" } do
  autocast["get_autocast_" .. word .. "_dtype"] = function() return autocast.get_autocast_dtype(kind) end
  autocast["set_autocast_" .. word .. "_dtype"] = function(dtype) autocast.set_autocast_dtype(kind, dtype) end
end
function autocast.is_autocast_cpu_enabled() return autocast.is_autocast_enabled "cpu" end
function autocast.set_autocast_cpu_enabled(enabled) autocast.set_autocast_enabled("cpu", enabled) end

return autocast
