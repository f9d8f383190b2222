--- Where tensors of a file go: what torch.load's map_location says.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local files = require "moontorch.utils.bytes"

local location = {}

local function is_device(v)
  local meta = type(v) == "userdata" and getmetatable(v)
  return type(meta) == "table" and meta.__name == "torch.device"
end
location.is_device = is_device

--- map_location as `placed` takes it: nil, a device, a table from saved to wanted devices, or a function. Raises when
-- it is none of these.
function location.check(map, owner)
  if type(map) == "string" then return core.device(map) end
  if map ~= nil and type(map) ~= "function" and not is_device(map) and
    not (type(map) == "table" and getmetatable(map) == nil) then
    core.raise(owner, "map_location must be a device, a string, a table from string to string or a function, not %s",
      arguments.type_name(map))
  end
  return map
end

-- The device for a tensor that was saved on `saved`.
local function target(map, saved, owner)
  local wanted = saved
  if map ~= nil then
    if is_device(map) then wanted = map else wanted = map[saved] or saved end
  end
  if type(wanted) == "string" then
    local kind = wanted:match("^(%a+)$") or wanted:match("^(%a+):%d+$")
    if kind ~= "cpu" and kind ~= "cuda" then
      core.raise(owner, "don't know how to restore data location of torch.storage.UntypedStorage (tagged with %s): "
        .. "tensors are on cpu or cuda here; give map_location = \"cpu\"", wanted)
    end
    wanted = core.device(wanted)
  end
  if wanted.type == "cuda" and not require("moontorch.cuda").is_available() then
    core.raise(owner, "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If "
      .. "you are running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map "
      .. "your storages to the CPU: torch.load(path, {map_location = \"cpu\"})")
  end
  return wanted
end

--- The tensor `t`, which was saved on the device `saved`, where `map` wants it. Called below `naming` (utils/bytes),
-- which lets errors of a `map` of the caller's own pass.
function location.placed(t, map, saved, owner)
  if type(map) == "function" then
    local moved = files.foreign(map, t, saved)
    if core.is_tensor(moved) then return moved end
    if moved ~= nil then return t:to(moved) end
    map = nil
  end
  return t:to(target(map, saved, owner))
end

return location
