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

--- A row's options as one word: "autocast=bfloat16", "-" for none.
local function options_word(options)
  local words = {}
  for name, value in pairs(options) do words[#words + 1] = name .. "=" .. value end
  table.sort(words)
  return #words > 0 and table.concat(words, ",") or "-"
end

--- A rival on that kind of device, or nil: `version`, and seconds(w, clock, threads, repeats), the time of one repeat
-- of the row's work, or nil and why there is none.
function rival.start(python, script, device)
  local test = "import torch; print(int(%s))"
  local there = test:format(device == "cuda" and "torch.cuda.is_available()" or "True")
  if rival.output(("%s -c %s 2>/dev/null"):format(quoted(python), quoted(there))) ~= "1\n" then return nil end
  local name = os.tmpname()
  os.remove(name)
  if not os.execute("mkfifo " .. quoted(name)) then return nil end
  local command = ("exec %s %s %s %s 2>/dev/null"):format(quoted(python), quoted(script), quoted(name), device)
  local answers = io.popen(command)
  local version = answers:read("l")
  local orders = version and io.open(name, "w")
  os.remove(name)
  if not orders then return nil end
  return {
    version = version,
    seconds = function(w, clock, threads, repeats)
      if not orders then return nil, "its process has ended" end
      local words = { threads, repeats, clock, options_word(w.options or {}), w.key }
      for _, a in ipairs(w.args) do words[#words + 1] = a end
      orders:write(table.concat(words, " "), "\n")
      local answer = orders:flush() and answers:read("l")
      if not answer then orders = nil end
      return tonumber(answer), answer or "its process has ended"
    end,
  }
end

return rival
