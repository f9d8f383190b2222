--- Containers: Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict.
--
-- A list's items are its fields 1, 2, 3, …, a dict's are fields under their names, so `list[2]` is a plain read and the
-- walk finds them as it finds any field. Positions count from 1, negative ones from the end. Invariant: an item of a
-- container of modules is a module; tensors given to containers of parameters become Parameters, and these hold
-- anything else as it is.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local repr = require "moontorch.nn.repr"
local walk = require "moontorch.nn.walk"
local text = require "moontorch.text"
local ordered = require "moontorch.nn.ordered"
local arguments = require "moontorch.arguments"

local containers = {}

local is_module, new_field = walk.is_module, Module.__newindex

local function must_be_module(self, v)
  if not is_module(v) then core.raise(self:_get_name(), "%s is not a Module subclass", arguments.type_name(v)) end
  return v
end

local function as_parameter(_, v)
  if core.is_tensor(v) and not core.is_parameter(v) then return core.parameter(v) end
  return v
end

-- Forgets a field, and its place in the order.
local function remove_field(self, key)
  local state = rawget(self, "_module")
  rawset(self, key, nil)
  state.known[key], state.parameters[key] = nil, nil
  for i, other in ipairs(state.order) do
    if other == key then table.remove(state.order, i) break end
  end
end

-- Makes the fields 1 … #items the only items, in place of those under `keys`.
local function replace_items(self, keys, items)
  local order = rawget(self, "_module").order
  for i = #order, 1, -1 do
    if math.type(order[i]) == "integer" then remove_field(self, order[i]) end
  end
  for _, key in ipairs(keys) do remove_field(self, key) end
  for i, item in ipairs(items) do new_field(self, i, item) end
end

-- Items that are only numbered take the numbers 1 … #keys again, where `list[2] = nil` left a hole.
local function close_holes(self, keys)
  local holes = false
  for i, key in ipairs(keys) do
    if math.type(key) ~= "integer" then return keys end
    holes = holes or key ~= i
  end
  if not holes then return keys end
  local items, positions = {}, {}
  for i, key in ipairs(keys) do items[i], positions[i] = rawget(self, key), i end
  replace_items(self, keys, items)
  return positions
end

-- The keys of the items, in order: those of the fields that hold one.
local function item_keys(self)
  local keys, meta, state = {}, getmetatable(self), rawget(self, "_module")
  local is_item, wraps = meta.__is_item, meta.__wraps_tensors
  for _, key in ipairs(state.order) do
    local value = rawget(self, key)
    if wraps and state.buffers[key] == nil and core.is_tensor(value) then value = walk.wrap(self, key, value) end
    if value ~= nil and is_item(value, key, self) then keys[#keys + 1] = key end
  end
  return meta.__check and close_holes(self, keys) or keys
end

local function items_of(self)
  local items = {}
  for i, key in ipairs(item_keys(self)) do items[i] = rawget(self, key) end
  return items
end

-- Makes the fields 1 … #items the container's only items.
local function set_items(self, items)
  replace_items(self, item_keys(self), items)
end

-- Lists ---------------------------------------------------------------------------------------------------------------

local function out_of_range(self, i, count)
  core.raise(self:_get_name(), "index %d is out of range: the container has %d item%s", i, count,
    count == 1 and "" or "s")
end

-- A position from 1, or from the end when negative, as a position from 1.
local function position(self, i, count, last)
  local at = type(i) == "number" and math.tointeger(i)
  if not at then core.raise(self:_get_name(), "expected a position, but got %s", arguments.type_name(i)) end
  if at == 0 then core.raise(self:_get_name(), "position 0: positions count from 1 in Lua") end
  if at < 0 then at = count + 1 + at end
  if at < 1 or at > (last or count) then out_of_range(self, i, count) end
  return at
end

-- The positions that a range names: `{first, last}`, `{first, last, step}`, `{}` for all; also in braces of its own, as
-- an index of tensors has it.
local function range(self, key, count)
  if type(key[1]) == "table" and key[2] == nil then key = key[1] end
  if key[1] ~= nil and key[2] == nil then
    core.raise(self:_get_name(), "a range needs its last position: {%s, %s} for this item alone, {%s, -1} for all from "
      .. "it on", tostring(key[1]), tostring(key[1]), tostring(key[1]))
  end
  local first, last, step = key[1] or 1, key[2] or count, key[3] or 1
  for _, v in ipairs { first, last, step } do
    if type(v) ~= "number" or not math.tointeger(v) then
      core.raise(self:_get_name(), "a range must hold integers, not %s", arguments.type_name(v))
    end
  end
  if step < 1 then core.raise(self:_get_name(), "slice step must be positive, but got %d", step) end
  if first < 0 then first = count + 1 + first end
  if last < 0 then last = count + 1 + last end
  local positions = {}
  for i = math.max(first, 1), math.min(last, count), step do positions[#positions + 1] = math.tointeger(i) end
  return positions
end

-- Reading `list[-1]`, `list[{2, 3}]` (a container of the items 2 to 3), and by position what has a name. One past the
-- last item there is nil, where ipairs ends.
local function list_index(self, key)
  local value = getmetatable(self)[key]
  if value ~= nil then return value end
  if type(key) == "number" and math.tointeger(key) then
    local keys = item_keys(self)
    if key == #keys + 1 then return nil end
    return rawget(self, keys[position(self, key, #keys)])
  elseif type(key) == "table" and getmetatable(key) == nil then
    local keys = item_keys(self)
    return self:_part(keys, range(self, key, #keys))
  end
end

-- Takes the items at these positions out; the others are numbered anew.
local function remove_items(self, positions)
  local taken, left = {}, {}
  for _, at in ipairs(positions) do taken[at] = true end
  for at, item in ipairs(items_of(self)) do
    if not taken[at] then left[#left + 1] = item end
  end
  set_items(self, left)
end

-- Writing `list[-1] = item`, by position what has a name, and `list[#list + 1] = item`; nil takes items out.
local function list_newindex(self, key, value)
  if value == nil and type(key) == "table" and getmetatable(key) == nil then
    return remove_items(self, range(self, key, #item_keys(self)))
  end
  local at = type(key) == "number" and math.tointeger(key)
  if not at then return new_field(self, key, value) end
  local keys = item_keys(self)
  if value == nil then return remove_items(self, { position(self, at, #keys, #keys + 1) }) end
  at = position(self, at, #keys, #keys + 1)
  value = getmetatable(self).__check(self, value)
  if keys[at] then rawset(self, keys[at], value) else new_field(self, at, value) end
end

local function list_length(self)
  return #item_keys(self)
end

local function list_pairs(self)
  local items, i = items_of(self), 0
  return function()
    i = i + 1
    if items[i] ~= nil then return i, items[i] end
  end
end

-- All items of an array or of a container, or nil.
local function items_in(v)
  if type(v) ~= "table" then return nil end
  if not is_module(v) then return v end
  return getmetatable(v).__is_item and items_of(v) or nil
end

-- Methods that lists of modules and lists of parameters share; `check` turns a value into an item or raises.
local function list_methods(cls, check, is_item)
  rawset(cls, "__index", list_index)
  rawset(cls, "__newindex", list_newindex)
  rawset(cls, "__len", list_length)
  rawset(cls, "__pairs", list_pairs)
  rawset(cls, "__check", check)
  rawset(cls, "__tidy", item_keys)
  rawset(cls, "__is_item", is_item)

  --- Adds an item at the end. Returns self.
  function cls:append(item)
    local at = #item_keys(self) + 1
    while rawget(self, at) ~= nil or rawget(self, tostring(at)) ~= nil do at = at + 1 end
    new_field(self, at, check(self, item))
    return self
  end

  --- Adds all items of an array or container. Returns self.
  function cls:extend(items)
    local list = items_in(items)
    if not list then
      core.raise(self:_get_name() .. ".extend", "%s.extend should be called with an iterable, but got %s",
        self:_get_name(), arguments.type_name(items))
    end
    for i = 1, #list do check(self, list[i]) end
    for i = 1, #list do self:append(list[i]) end
    return self
  end

  --- Puts an item at a position; what stood there and after it moves up. Returns self.
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

  -- A container of the same class with the items at these positions.
  function cls:_part(keys, positions)
    local items = {}
    for i, at in ipairs(positions) do items[i] = rawget(self, keys[at]) end
    return getmetatable(self)(items)
  end
end

-- Fills a list from `...`: items one by one, or one array of them.
local function fill_list(self, check, ...)
  local n, first = select("#", ...), ...
  if n == 1 and type(first) == "table" and (getmetatable(first) == nil or (is_module(first) and
    getmetatable(first).__len == list_length and first.forward == Module.forward)) then
    for i = 1, #first do new_field(self, i, check(self, first[i])) end
  else
    for i = 1, n do new_field(self, i, check(self, (select(i, ...)))) end
  end
end

--- Sequential(m1, m2, …), Sequential{m1, m2}, or with names Sequential{{"conv", m1}, {"act", m2}}; a plain table of
-- names goes by sorted name. Calling it feeds each module's output to the next. `a + b` is both in a row, `a * n` is n
-- times the same modules, `a[{2, 3}]` has the modules 2 to 3 under their names.
local Sequential = class.extend("Sequential", Module)
list_methods(Sequential, must_be_module, is_module)

function Sequential:init(...)
  local first = ...
  local named = select("#", ...) == 1 and type(first) == "table" and not is_module(first) and
    (ordered.is(first) or (getmetatable(first) == nil and next(first) ~= nil and not is_module(first[1])))
  if not named then return fill_list(self, must_be_module, ...) end
  local items, reason = ordered.items(first)
  if not items then core.raise(self:_get_name(), "expected modules or pairs {name, module}: %s", reason) end
  for _, item in ipairs(items) do self:register_module(item[1], must_be_module(self, item[2])) end
end

-- Container -> the modules that its fields held at the last forward and that are called as every Module is: what is
-- still the same need not be looked at.
local seen_items = setmetatable({}, { __mode = "k" })

-- An item that was not seen there before: what it makes of x, which is x itself where the field holds no module.
local function call_item(self, i, item, x)
  if not is_module(item) then return x end
  if getmetatable(item).__call == Module.__call then
    local seen = seen_items[self] or {}
    seen_items[self] = seen
    seen[i] = item
  end
  return (item(x))
end

local rawget, NONE = rawget, {}

-- Most items need no more than their forward.
function Sequential:forward(x)
  local order, seen = self._module.order, seen_items[self] or NONE
  for i = 1, #order do
    local item = rawget(self, order[i])
    if item ~= nil then
      local state = item == seen[i] and item._module
      if not state then
        x = call_item(self, i, item, x)
      elseif state.ready and not state.hooked then
        x = item:forward(x)
      else
        x = item(x)
      end
    end
  end
  return x
end

-- Modules keep their names. A number that is no longer the position becomes a name, so that positions count anew.
function Sequential:_part(keys, positions)
  local part = getmetatable(self)()
  for i, at in ipairs(positions) do
    local key = keys[at]
    new_field(part, key == i and i or tostring(key), rawget(self, key))
  end
  return part
end

rawset(Sequential, "__add", function(a, b)
  for _, operand in ipairs { a, b } do
    if not class.isinstance(operand, Sequential) then
      core.raise("Sequential", "add operator supports only objects of Sequential class, but %s is given.",
        arguments.type_name(operand))
    end
  end
  return Sequential():extend(a):extend(b)
end)

rawset(Sequential, "__mul", function(a, b)
  if type(a) == "number" then a, b = b, a end
  local times = type(b) == "number" and math.tointeger(b)
  if not times then
    core.raise("Sequential", "unsupported operand type(s) for *: Sequential and %s", arguments.type_name(b))
  elseif times <= 0 then
    core.raise("Sequential", "Non-positive multiplication factor %d for %s", times, a:_get_name())
  end
  local product = Sequential()
  for _ = 1, times do product:extend(a) end
  return product
end)

-- `a + b` of lists: a new list of all items, of the class of the one that is no plain array.
local function concatenate(a, b)
  local owner = is_module(a) and a or b
  local first, second = items_in(a), items_in(b)
  if not (first and second) then
    core.raise(owner:_get_name(), "expected an array or a container to add, but got %s",
      arguments.type_name(first and b or a))
  end
  return getmetatable(owner)():extend(first):extend(second)
end

--- ModuleList{m1, m2}: an array of modules, without a forward of its own. `a + b` is a list of both's modules.
local ModuleList = class.extend("ModuleList", Module)
list_methods(ModuleList, must_be_module, is_module)
rawset(ModuleList, "__add", concatenate)

function ModuleList:init(...)
  fill_list(self, must_be_module, ...)
end

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

-- Dicts ---------------------------------------------------------------------------------------------------------------

-- The pairs of what `update` was given, in order.
local function pairs_of(self, kind, items)
  if is_module(items) and getmetatable(items).__is_item then
    local list = {}
    for i, key in ipairs(item_keys(items)) do list[i] = { key, rawget(items, key) } end
    return list
  end
  if type(items) ~= "table" or is_module(items) then
    core.raise(self:_get_name() .. ".update", "%s.update should be called with an iterable of key/value pairs (a table "
      .. "of names), but got %s", kind, arguments.type_name(items))
  end
  for i, pair in ipairs(items) do
    if type(pair) ~= "table" or getmetatable(pair) ~= nil then
      core.raise(self:_get_name() .. ".update", "%s update sequence element #%d should be Iterable; is %s", kind, i,
        arguments.type_name(pair))
    elseif #pair ~= 2 then
      core.raise(self:_get_name() .. ".update", "%s update sequence element #%d has length %d; 2 is required", kind, i,
        #pair)
    end
  end
  local list, reason = ordered.items(items)
  if not list then
    core.raise(self:_get_name() .. ".update", "%s.update should be called with a table of names: %s", kind, reason)
  end
  return list
end

-- Methods that dicts of modules and of parameters share.
local function dict_methods(cls, kind, check, is_item)
  rawset(cls, "__len", list_length)
  rawset(cls, "__is_item", is_item)

  --- Takes over the items of a table: an array of pairs or a container in order, a plain table by sorted name.
  function cls:update(items)
    local list = pairs_of(self, kind, items)
    for _, item in ipairs(list) do
      if rawget(self, item[1]) == nil and self[item[1]] ~= nil then
        core.raise(self:_get_name(), "attribute '%s' already exists", item[1])
      end
      item[2] = check(self, item[2])
    end
    local state = rawget(self, "_module")
    state.held = state.held or {}
    for _, item in ipairs(list) do
      state.held[item[1]] = true
      if rawget(self, item[1]) == nil then new_field(self, item[1], item[2]) else rawset(self, item[1], item[2]) end
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
    return value ~= nil and is_item(value, name, self)
  end

  --- Takes the item of this name out and returns it.
  function cls:pop(name)
    if not self:contains(name) then core.raise(self:_get_name(), "has no item '%s'", tostring(name)) end
    local value = rawget(self, name)
    remove_field(self, name)
    return value
  end

  --- Takes all items out.
  function cls:clear()
    for _, key in ipairs(item_keys(self)) do remove_field(self, key) end
  end

  function cls:init(items)
    if items ~= nil then self:update(items) end
  end

  rawset(cls, "__pairs", cls.items)
end

--- ModuleDict{name = module} or ModuleDict{{"a", m}, {"b", n}}: modules by name.
local ModuleDict = class.extend("ModuleDict", Module)
dict_methods(ModuleDict, "ModuleDict", must_be_module, is_module)

-- Containers of parameters --------------------------------------------------------------------------------------------

local function is_position(_, key)
  return math.type(key) == "integer"
end

-- A tensor, or what the dict was given by the constructor or update(); other fields are attributes.
local function is_entry(value, key, self)
  local held = rawget(self, "_module").held
  return core.is_parameter(value) or (held ~= nil and held[key] == true)
end

--- ParameterList{p1, p2}: an array of parameters; tensors become Parameters, anything else stays what it is.
local ParameterList = class.extend("ParameterList", Module)
list_methods(ParameterList, as_parameter, is_position)
rawset(ParameterList, "__add", concatenate)
rawset(ParameterList, "__wraps_tensors", true)

function ParameterList:init(...)
  fill_list(self, as_parameter, ...)
end

--- ParameterDict{name = p}: parameters by name; tensors become Parameters, anything else stays what it is. `a | b` has
-- the items of both.
local ParameterDict = class.extend("ParameterDict", Module)
dict_methods(ParameterDict, "ParameterDict", as_parameter, is_entry)
rawset(ParameterDict, "__newindex", function(self, key, value) new_field(self, key, as_parameter(self, value)) end)
rawset(ParameterDict, "__wraps_tensors", true)

--- A dict of the same items.
function ParameterDict:copy()
  return ParameterDict():update(self)
end

--- The item of this name, or `default`.
function ParameterDict:get(name, default)
  if self:contains(name) then return rawget(self, name) end
  return default
end

--- The item of this name, which `default` becomes if there is none.
function ParameterDict:setdefault(name, default)
  if not self:contains(name) then self:update { { name, default == nil and core.none or default } } end
  return rawget(self, name)
end

--- Takes the last item out; returns its name and the item.
function ParameterDict:popitem()
  local keys = item_keys(self)
  if #keys == 0 then core.raise("ParameterDict.popitem", "dictionary is empty") end
  return keys[#keys], self:pop(keys[#keys])
end

--- A dict with these names, all of them with the item `default`.
function ParameterDict.fromkeys(_, names, default)
  local dict = ParameterDict()
  if type(names) ~= "table" then
    core.raise("ParameterDict.fromkeys", "argument 'keys' (position 1) must be an array of names, not %s",
      arguments.type_name(names))
  end
  for _, name in ipairs(names) do dict:update { { name, default == nil and core.none or default } } end
  return dict
end

rawset(ParameterDict, "__bor", function(a, b)
  return ParameterDict():update(a):update(b)
end)

-- What PyTorch's text calls the values that are no tensors.
local PYTHON_TYPES = { float = "float", integer = "int", string = "str", boolean = "bool", table = "list" }

for cls, spell in pairs {
  [ParameterList] = function(p) return tostring(p.dtype) end,
  [ParameterDict] = function(p) return p:type() end,
} do
  rawset(cls, "__call", function(self)
    core.raise(self:_get_name(), "%s should not be called.", self:_get_name())
  end)

  function cls:extra_repr()
    local lines = {}
    for i, key in ipairs(item_keys(self)) do
      local value = rawget(self, key)
      local what = "Object of type: " .. (PYTHON_TYPES[math.type(value) or type(value)] or arguments.type_name(value))
      if core.is_tensor(value) then
        local place = value.is_cuda and (" (" .. tostring(value.device) .. ")") or ""
        what = ("%s containing: [%s of size %s%s]"):format(core.is_parameter(value) and "Parameter" or "Tensor",
          spell(value), table.concat(value.shape, "x"), place)
      end
      lines[i] = ("  (%s): %s"):format(tostring(key), what)
    end
    return table.concat(lines, "\n")
  end
end

containers.Sequential, containers.ModuleList, containers.ModuleDict = Sequential, ModuleList, ModuleDict
containers.ParameterList, containers.ParameterDict = ParameterList, ParameterDict

return containers
