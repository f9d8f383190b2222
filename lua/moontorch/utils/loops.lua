--- Objects that `for` can go over: `for x in object do` and `for x in object() do` alike.
--
-- In `for x in object do` Lua calls the object itself, with (nil, nil) first and with (nil, x) then. The loop under way
-- is kept here, so that one object has one such loop at a time; `object()` gives an iterator of its own. Methods may
-- have the names that Python knows.

local loops = {}

-- object -> the iterator of the loop under way
local running = setmetatable({}, { __mode = "k" })

--- The `__call` of an object; `start(object)` gives an iterator.
function loops.call(start)
  return function(self, ...)
    if select("#", ...) == 0 then return start(self) end
    local _, previous = ...
    if previous == nil then running[self] = start(self) end
    local following = running[self]
    if following == nil then return nil end
    return following()
  end
end

--- A function that gives one entry after the other: `v` itself, an object that can be called, or an array; else nil.
function loops.iterator(v)
  local meta = getmetatable(v)
  if type(v) == "function" or (meta ~= nil and meta.__call ~= nil) then return v end
  if type(v) ~= "table" then return nil end
  local i = 0
  return function()
    i = i + 1
    return v[i]
  end
end

--- The method of `self` that the lowest class defines under one of the names; nil where only the class `root` does, or
-- none.
function loops.method(self, root, ...)
  local names, level = { ... }, getmetatable(self)
  for _, name in ipairs(names) do
    if rawget(self, name) ~= nil then return rawget(self, name) end
  end
  while level ~= nil and level ~= root do
    for _, name in ipairs(names) do
      local method = rawget(level, name)
      if method ~= nil and method ~= rawget(root, name) then return method end
    end
    level = rawget(level, "super")
  end
end

return loops
