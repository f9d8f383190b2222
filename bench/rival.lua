--- PyTorch as a process that answers through a pipe (torch_side.py); nil where the Python given has none.
local rival = {}

local function quoted(s) return "'" .. s:gsub("'", "'\\''") .. "'" end
rival.quoted = quoted

--- What a command prints.
function rival.output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  pipe:close()
  return text
end

--- A rival, or nil: `version`, and seconds(key, args, threads, repeats), the time of one repeat; nil once it has died.
function rival.start(python, script)
  if rival.output(quoted(python) .. " -c 'import torch; print(1)' 2>/dev/null") ~= "1\n" then return nil end
  local name = os.tmpname()
  os.remove(name)
  if not os.execute("mkfifo " .. quoted(name)) then return nil end
  local answers = io.popen(("exec %s %s %s 2>/dev/null"):format(quoted(python), quoted(script), quoted(name)))
  local version = answers:read("l")
  local orders = version and io.open(name, "w")
  os.remove(name)
  if not orders then return nil end
  return {
    version = version,
    seconds = function(key, args, threads, repeats)
      if not orders then return nil end
      local words = { threads, repeats, key }
      for _, a in ipairs(args) do words[#words + 1] = a end
      orders:write(table.concat(words, " "), "\n")
      local seconds = orders:flush() and tonumber(answers:read("l"))
      if not seconds then orders = nil end
      return seconds
    end,
  }
end

return rival
