--- torch.utils.progress: a bar around any loop.
--
--     local bar = torch.utils.progress(loader, {desc = "epoch 1"})
--     for x, y in bar do … bar:set{loss = loss} end
--
-- The bar goes to the standard error stream, at most ten times a second, and only when that is a terminal and the
-- environment variable NO_PROGRESS is not set; otherwise nothing is written. Values shown are the last ones set;
-- tensors among them are detached at once, so the bar keeps no graph alive, and read only when the bar is drawn.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local arguments = require "moontorch.arguments"

-- Seconds between two drawings.
local INTERVAL = 0.1
local WIDTH = 24

local function now()
  if core.clock then return core.clock() end
  return os.time() + 0.0
end

local function is_terminal()
  if os.getenv("NO_PROGRESS") or os.getenv("TERM") == "dumb" then return false end
  return core.isatty ~= nil and core.isatty(2)
end

--- 75 -> "01:15", 3700 -> "1:01:40".
local function duration(seconds)
  if seconds ~= seconds or seconds == math.huge then return "?" end
  local s = math.tointeger(math.floor(seconds))
  if s >= 3600 then return string.format("%d:%02d:%02d", s // 3600, s % 3600 // 60, s % 60) end
  return string.format("%02d:%02d", s // 60, s % 60)
end

local function bar_of(fraction)
  local eighths = math.floor(fraction * WIDTH * 8)
  local full, part = eighths // 8, eighths % 8
  local partial = { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }
  local text = ("█"):rep(full) .. (part > 0 and partial[part] or "")
  return text .. (" "):rep(WIDTH - full - (part > 0 and 1 or 0))
end

local function spell(value)
  if core.is_tensor(value) then
    if value:numel() ~= 1 then return "[" .. table.concat(value.shape, "x") .. "]" end
    value = value:item()
  end
  if math.type(value) == "float" then return (string.format("%.4g", value)) end
  return tostring(value)
end

local Progress = class.root("Progress")

-- How many rounds a loop over `v` has, or nil.
local function length_of(v)
  if type(v) == "number" then return v end
  if type(v) == "function" then return nil end
  local meta = getmetatable(v)
  if meta == nil or (type(meta) == "table" and meta.__len) then return #v end
end

-- An iterator function over `v`: a loader's batches, a function's values, an array's positions and items, 1 … a number.
local function iterator_of(v)
  if type(v) == "function" then return v end
  if type(v) == "number" then
    local i = 0
    return function()
      i = i + 1
      if i <= v then return i end
    end
  end
  local meta = getmetatable(v)
  if type(meta) == "table" and meta.__call then return v() end
  if type(v) == "table" or core.is_tensor(v) then
    local i, n = 0, #v
    return function()
      i = i + 1
      if i <= n then return i, v[i] end
    end
  end
end

local options_known = { desc = true, total = true, file = true, enabled = true }

--- progress(what, {desc, total, file, enabled}): `what` is a DataLoader, an iterator function, an array or tensor
-- (yields position and item) or a number n (yields 1 … n). `total` where the number of rounds cannot be known, `file` a
-- stream instead of the standard error, `enabled` true or false instead of looking for a terminal.
-- Use it in `for … in progress(…) do`; keep it in a variable for `:set{…}`.
function Progress:init(what, options)
  options = options or {}
  if type(options) ~= "table" then
    core.raise("progress", "expected a table of options, but got %s", arguments.type_name(options))
  end
  for key in pairs(options) do
    if not options_known[key] then
      core.raise("progress", "got an unexpected keyword argument '%s'; accepted are desc, total, file, enabled",
        tostring(key))
    end
  end
  if what == nil or (type(what) ~= "function" and type(what) ~= "number" and type(what) ~= "table" and
    not core.is_tensor(what)) then
    core.raise("progress", "expected something to iterate over (a DataLoader, a function, an array, a number), but got "
      .. "%s", arguments.type_name(what))
  end
  self.what, self.desc, self.file = what, options.desc, options.file or io.stderr
  self.total = options.total or length_of(what)
  self.count, self.values, self.names = 0, {}, {}
  if options.enabled ~= nil then self.enabled = options.enabled else self.enabled = is_terminal() end
end

--- Shows values behind the bar: `bar:set{loss = loss, accuracy = 0.9}`. Numbers, strings or one-element tensors.
-- Returns the bar.
function Progress:set(values)
  if type(values) ~= "table" then
    core.raise("progress:set", "expected a table of names and values, but got %s", arguments.type_name(values))
  end
  local added = {}
  for name, value in pairs(values) do
    if self.values[name] == nil then added[#added + 1] = name end
    self.values[name] = core.is_tensor(value) and value:detach() or value
  end
  table.sort(added)
  table.move(added, 1, #added, #self.names + 1, self.names)
  return self
end

--- The line as it stands: description, share, bar, count, time passed and left, rounds a second, values.
function Progress:text()
  local passed = now() - (self.started or now())
  local rate = passed > 0 and self.count / passed or 0
  local parts = {}
  if self.desc then parts[#parts + 1] = self.desc .. ":" end
  if self.total and self.total > 0 then
    local fraction = math.min(1, self.count / self.total)
    parts[#parts + 1] = string.format("%3.0f%% |%s| %d/%d", fraction * 100, bar_of(fraction), self.count, self.total)
    local left = rate > 0 and (self.total - self.count) / rate or math.huge
    parts[#parts + 1] = string.format("[%s<%s, %s]", duration(passed), duration(math.max(0, left)),
      rate > 0 and string.format("%.4g/s", rate) or "?/s")
  else
    parts[#parts + 1] = string.format("%d [%s, %s]", self.count, duration(passed),
      rate > 0 and string.format("%.4g/s", rate) or "?/s")
  end
  for _, name in ipairs(self.names) do parts[#parts + 1] = name .. "=" .. spell(self.values[name]) end
  return table.concat(parts, " ")
end

local function draw(self)
  self.drawn = now()
  self.file:write("\r", self:text(), "\27[K")
  self.file:flush()
end

--- Ends the bar: draws it a last time and starts a new line. A loop that runs to its end does this itself; after
-- `break` call it by hand.
function Progress:close()
  if self.finished then return end
  self.finished = true
  if self.enabled and self.started then
    draw(self)
    self.file:write("\n")
    self.file:flush()
  end
end

-- A round has ended; passes the next one's values on.
local function advance(self, ...)
  if ... == nil then
    self:close()
    return nil
  end
  return ...
end

-- The loop calls the bar itself for every round: (nil, nil) starts over.
rawset(Progress, "__call", function(self, _, previous)
  if previous == nil then
    self.next_round = iterator_of(self.what)
    self.count, self.started, self.finished = 0, now(), false
    if self.enabled then draw(self) end
  else
    self.count = self.count + 1
    if self.enabled and now() - self.drawn >= INTERVAL then draw(self) end
  end
  return advance(self, self.next_round())
end)

return Progress
