--- Containers: Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict.
--
-- A list's items are its fields 1, 2, 3, …, a dict's are fields under their names, so `list[2]` is a plain read and the
-- walk finds them as it finds any field. Positions count from 1, negative ones from the end.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local repr = require "moontorch.nn.repr"
local walk = require "moontorch.nn.walk"
local text = require "moontorch.text"
local ordered = require "moontorch.nn.ordered"
local arguments = require "moontorch.arguments"

local containers = {}

local is_module = walk.is_module

local function must_be_module(self, v)
  if not is_module(v) then core.raise(self:_get_name(), "%s is not a Module subclass", arguments.type_name(v)) end
  return v
end

local function must_be_parameter(self, v)
  if core.is_tensor(v) then return core.is_parameter(v) and v or core.parameter(v) end
  core.raise(self:_get_name(), "expected a Parameter or a Tensor, but got %s", arguments.type_name(v))
end

-- The keys of the items, in order: those of the fields that hold one.
local function item_keys(self)
  local keys, adopts = {}, getmetatable(self).__adopts_tensors
  for _, key in ipairs(rawget(self, "_module").order) do
    local value = rawget(self, key)
    if adopts and core.is_tensor(value) then value = walk.adopt(self, key, value) end
    if is_module(value) or core.is_parameter(value) then keys[#keys + 1] = key end
  end
  return keys
end

-- Makes the fields 1 … #items the container's only items.
local function set_items(self, items)
  local state = rawget(self, "_module")
  for _, key in ipairs(item_keys(self)) do
    rawset(self, key, nil)
    state.known[key] = nil
  end
  local order = {}
  for _, key in ipairs(state.order) do
    if state.known[key] then order[#order + 1] = key end
  end
  state.order = order
  for i, item in ipairs(items) do self[i] = item end
end

local function items_of(self)
  local items = {}
  for i, key in ipairs(item_keys(self)) do items[i] = rawget(self, key) end
  return items
end

-- A position from 1, or from the end when negative, as a position from 1.
local function position(self, i, count, last)
  local at = type(i) == "number" and math.tointeger(i)
  if not at then core.raise(self:_get_name(), "expected a position, but got %s", arguments.type_name(i)) end
  if at == 0 then core.raise(self:_get_name(), "position 0: positions count from 1 in Lua") end
  if at < 0 then at = count + 1 + at end
  if at < 1 or at > (last or count) then
    core.raise(self:_get_name(), "index %d is out of range: the container has %d item%s", i, count,
      count == 1 and "" or "s")
  end
  return at
end

-- Reading `list[-1]`, `list[{2, 3}]` (a container of the items 2 to 3), and by position what has a name.
local function list_index(self, key)
  local value = getmetatable(self)[key]
  if value ~= nil then return value end
  if math.type(key) == "integer" then
    local keys = item_keys(self)
    if key < 0 then key = #keys + 1 + key end
    local name = keys[key]
    if name ~= nil then return rawget(self, name) end
  elseif type(key) == "table" and getmetatable(key) == nil then
    local items = items_of(self)
    local first, last = key[1] or 1, key[2] or #items
    if first < 0 then first = #items + 1 + first end
    if last < 0 then last = #items + 1 + last end
    return getmetatable(self)(table.unpack(items, first, last))
  end
end

local function list_length(self)
  return #item_keys(self)
end

-- Writing by position: `list[-1] = m` replaces the last item, what has a name keeps it, and the position after the last
-- is a new item's.
local function list_newindex(self, key, value)
  local state = rawget(self, "_module")
  if math.type(key) == "integer" and (state.known[key] or key ~= #state.order + 1) then
    local keys = item_keys(self)
    local at = position(self, key, #keys, #keys + 1)
    if keys[at] ~= nil then
      rawset(self, keys[at], value)
      return
    end
    key = at
  end
  Module.__newindex(self, key, value)
end

-- Methods that lists of modules and lists of parameters share; `check` turns a value into an item or raises.
local function list_methods(cls, check)
  rawset(cls, "__index", list_index)
  rawset(cls, "__newindex", list_newindex)
  rawset(cls, "__len", list_length)

  --- Adds an item at the end. Returns self.
  function cls:append(item)
    self[#item_keys(self) + 1] = check(self, item)
    return self
  end

  --- Adds all items of an array or container. Returns self.
  function cls:extend(items)
    if type(items) ~= "table" then
      core.raise(self:_get_name() .. ".extend", "should be called with an iterable, but got %s",
        arguments.type_name(items))
    end
    for i = 1, #items do self:append(items[i]) end
    return self
  end

  --- Puts an item at a position; what stood there and after it moves up.
  function cls:insert(index, item)
    local items = items_of(self)
    table.insert(items, position(self, index, #items, #items + 1), check(self, item))
    set_items(self, items)
    return self
  end

  --- Takes the item at a position out (the last one unless given) and returns it.
  function cls:pop(index)
    local items = items_of(self)
    local item = table.remove(items, position(self, index or -1, #items))
    set_items(self, items)
    return item
  end
end

-- Fills a list from `...`: items one by one, or one array of them.
local function fill_list(self, check, ...)
  local n, first = select("#", ...), ...
  if n == 1 and type(first) == "table" and (getmetatable(first) == nil or (is_module(first) and
    getmetatable(first).__len == list_length and first.forward == Module.forward)) then
    for i = 1, #first do self[i] = check(self, first[i]) end
  else
    for i = 1, n do self[i] = check(self, (select(i, ...))) end
  end
end

--- Sequential(m1, m2, …), Sequential{m1, m2}, or with names Sequential{{"conv", m1}, {"act", m2}}; a plain table of
-- names goes by sorted name. Calling it feeds each module's output to the next.
local Sequential = class.extend("Sequential", Module)
list_methods(Sequential, must_be_module)

function Sequential:init(...)
  local first = ...
  local named = select("#", ...) == 1 and type(first) == "table" and not is_module(first) and
    (ordered.is(first) or (getmetatable(first) == nil and next(first) ~= nil and not is_module(first[1])))
  if not named then return fill_list(self, must_be_module, ...) end
  local items, reason = ordered.items(first)
  if not items then core.raise(self:_get_name(), "expected modules or pairs {name, module}: %s", reason) end
  for _, item in ipairs(items) do self:register_module(item[1], must_be_module(self, item[2])) end
end

function Sequential:forward(x)
  local order = self._module.order
  for i = 1, #order do
    local module = rawget(self, order[i])
    if type(module) == "table" and is_module(module) then x = module(x) end
  end
  return x
end

--- a + b: a new Sequential of the items of both.
rawset(Sequential, "__add", function(a, b)
  if not (class.isinstance(a, Sequential) and class.isinstance(b, Sequential)) then
    core.raise("Sequential", "add operator supports only objects of Sequential class, but %s is given.",
      arguments.type_name(class.isinstance(a, Sequential) and b or a))
  end
  return Sequential():extend(items_of(a)):extend(items_of(b))
end)

--- a * n: a new Sequential of the items of a, n times; they are the same modules each time.
rawset(Sequential, "__mul", function(a, n)
  if type(a) == "number" then a, n = n, a end
  local times = type(n) == "number" and math.tointeger(n)
  if not times then
    core.raise("Sequential", "unsupported operand type(s) for *: %s and %s", a:_get_name(), arguments.type_name(n))
  end
  if times <= 0 then
    core.raise("Sequential", "Non-positive multiplication factor %d for %s", times, a:_get_name())
  end
  local list = Sequential()
  for _ = 1, times do list:extend(items_of(a)) end
  return list
end)

--- ModuleList{m1, m2}: an array of modules, without a forward of its own.
local ModuleList = class.extend("ModuleList", Module)
list_methods(ModuleList, must_be_module)

function ModuleList:init(...)
  fill_list(self, must_be_module, ...)
end

--- a + b: a new ModuleList of the items of both; either may be a plain array.
rawset(ModuleList, "__add", function(a, b)
  local function items(v) return is_module(v) and items_of(v) or v end
  return ModuleList():extend(items(a)):extend(items(b))
end)

-- Equal neighbours are counted instead of repeated, as PyTorch does.
rawset(ModuleList, "__tostring", function(self)
  local keys, lines, runs = item_keys(self), {}, {}
  for i, key in ipairs(keys) do
    local described = tostring(rawget(self, key))
    local run = runs[#runs]
    if run and run.text == described then
      run.last = i
    else
      runs[#runs + 1] = { first = i, last = i, text = described }
    end
  end
  for i, run in ipairs(runs) do
    if run.first == run.last then
      lines[i] = string.format("(%d): %s", run.first, text.indent(run.text))
    else
      lines[i] = string.format("(%d-%d): %d x %s", run.first, run.last, run.last - run.first + 1, text.indent(run.text))
    end
  end
  return repr.assemble(self, lines)
end)

-- Methods that dicts of modules and of parameters share.
local function dict_methods(cls, check)
  rawset(cls, "__len", list_length)

  --- Takes over the items of a table: an array of pairs or a container in order, a plain table by sorted name.
  function cls:update(items)
    local list, reason
    if class.isinstance(items, cls) then
      list = {}
      for key, value in items:items() do list[#list + 1] = { key, value } end
    elseif type(items) == "table" and not is_module(items) then
      list, reason = ordered.items(items)
    else
      reason = "got " .. arguments.type_name(items)
    end
    if not list then
      core.raise(self:_get_name() .. ".update", "should be called with a table of names: %s", reason)
    end
    for _, item in ipairs(list) do
      if rawget(self, item[1]) == nil and self[item[1]] ~= nil then
        core.raise(self:_get_name(), "attribute '%s' already exists", item[1])
      end
      self[item[1]] = check(self, item[2])
    end
    return self
  end

  --- Iterator over names and items in order.
  function cls:items()
    local list = {}
    for i, key in ipairs(item_keys(self)) do list[i] = { name = key, value = rawget(self, key) } end
    return walk.iterator(list)
  end

  --- Array of the names in order.
  function cls:keys()
    return item_keys(self)
  end

  --- Array of the items in order.
  function cls:values()
    return items_of(self)
  end

  --- Is there an item of this name?
  function cls:contains(name)
    local value = rawget(self, name)
    return is_module(value) or core.is_parameter(value)
  end

  --- Takes the item of this name out and returns it.
  function cls:pop(name)
    if not self:contains(name) then core.raise(self:_get_name(), "has no item '%s'", tostring(name)) end
    local value = rawget(self, name)
    rawset(self, name, nil)
    return value
  end

  --- Takes all items out.
  function cls:clear()
    for _, key in ipairs(item_keys(self)) do rawset(self, key, nil) end
  end

  function cls:init(items)
    if items ~= nil then self:update(items) end
  end

  rawset(cls, "__pairs", cls.items)
end

--- ModuleDict{name = module} or ModuleDict{{"a", m}, {"b", n}}: modules by name.
local ModuleDict = class.extend("ModuleDict", Module)
dict_methods(ModuleDict, must_be_module)

--- ParameterList{p1, p2}: an array of parameters; tensors become Parameters.
local ParameterList = class.extend("ParameterList", Module)
list_methods(ParameterList, must_be_parameter)
rawset(ParameterList, "__adopts_tensors", true)

function ParameterList:init(...)
  fill_list(self, must_be_parameter, ...)
end

--- ParameterDict{name = p}: parameters by name; tensors become Parameters.
local ParameterDict = class.extend("ParameterDict", Module)
dict_methods(ParameterDict, must_be_parameter)
rawset(ParameterDict, "__adopts_tensors", true)

local function describe_parameter(p, style)
  local sizes = #p.shape == 0 and "" or table.concat(p.shape, "x")
  local place = p.is_cuda and (" (" .. tostring(p.device) .. ")") or ""
  return string.format("Parameter containing: [%s of size %s%s]", style == "type" and p:type() or tostring(p.dtype),
    sizes, place)
end

-- The items' texts, each after its key.
local function describe_items(self, style)
  local lines = {}
  for i, key in ipairs(item_keys(self)) do
    lines[i] = string.format("  (%s): %s", key, describe_parameter(rawget(self, key), style))
  end
  return table.concat(lines, "\n")
end

function ParameterList:extra_repr() return describe_items(self) end
function ParameterDict:extra_repr() return describe_items(self, "type") end

containers.Sequential, containers.ModuleList, containers.ModuleDict = Sequential, ModuleList, ModuleDict
containers.ParameterList, containers.ParameterDict = ParameterList, ParameterDict

return containers
