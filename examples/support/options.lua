--- Command lines of the examples. The usage text says which options there are: one followed by N takes an integer, any
-- other takes its word as it is. `--device cuda` makes a GPU the place where tensors and models are made.

local torch = require "moontorch"

local options = {}

local function stop(stream, usage, status)
  stream:write("usage: ", usage, "\n")
  os.exit(status)
end

--- The options in `list` (arg of a script) over `defaults`. `usage` shows each as `--name N` or `--name FILE`; a list
-- that does not fit it ends the script with the usage text and status 2, and `--help` with status 0.
function options.parse(list, usage, defaults)
  local kinds, found = {}, {}
  for name, kind in usage:gmatch("%-%-(%l+) (%u+)") do kinds[name] = kind end
  for name, value in pairs(defaults) do found[name] = value end
  local i = 1
  while list[i] do
    if list[i] == "--help" then stop(io.stdout, usage, 0) end
    local name, value = list[i]:match("^%-%-(%l+)$"), list[i + 1]
    local kind = kinds[name]
    if kind == "N" and value then value = value:match("^%d+$") and math.tointeger(tonumber(value)) end
    if not kind or not value then stop(io.stderr, usage, 2) end
    found[name] = value
    i = i + 2
  end
  if found.device then torch.set_default_device(found.device) end
  return found
end

return options
