--- The one walk over a module: which parameters, buffers and children it has, and what they are called.
--
-- A module's fields are visited in the order in which they were first assigned, plain tables inside them too (their
-- positions in order, then their string keys sorted), tables with a metatable are somebody else's. Everything that
-- lists, moves, saves or trains a module goes through here. Invariant: a shared object is visited once, under the
-- first of its names, unless the caller asks for every name.

local core = require "moontorch.core"

local walk = {}

-- Tensors that nn.Buffer made -> {persistent = boolean}, for the module that they are assigned to.
walk.declared_buffers = setmetatable({}, { __mode = "k" })

local is_tensor, is_parameter, conversions = core.is_tensor, core.is_parameter, core._conversions

-- Where a Parameter was last seen: parameter -> the module or table that holds it, and under which key.
local holder, held_as = setmetatable({}, { __mode = "kv" }), setmetatable({}, { __mode = "k" })

--- Notes that `container` holds `param` under `key`.
function walk.note(container, key, param)
  if holder[param] ~= container or held_as[param] ~= key then holder[param], held_as[param] = container, key end
end

local function is_held(param)
  local container = holder[param]
  return container ~= nil and rawget(container, held_as[param]) == param
end

--- Makes a Parameter of what a cast or a move of one gave, `nn.Parameter(x):double()`, and says whether it did: stored
-- in a module it is what shall be trained. A conversion of a Parameter that a module holds stays what it is: gradients
-- flow through it to that one.
function walk.adopt(value)
  local origin = conversions[value]
  if origin == nil or is_held(origin) or not value:is_floating_point() then return false end
  core._become_parameter(value, origin.requires_grad)
  conversions[value] = nil
  return true
end

--- Is `v` a module (an instance of nn.Module or of a class that inherits from it)?
local function is_module(v)
  if type(v) ~= "table" then return false end
  local meta = getmetatable(v)
  return type(meta) == "table" and rawget(meta, "__is_module") == true
end
walk.is_module = is_module

--- Makes a tensor that was assigned to a field of a ParameterList or ParameterDict a Parameter, and returns it.
function walk.wrap(module, key, tensor)
  if is_parameter(tensor) then return tensor end
  local parameter = core.parameter(tensor)
  rawget(module, "_module").parameters[key] = true
  rawset(module, key, parameter)
  return parameter
end

local function push(list, name, value, key)
  list[#list + 1] = { name = name, value = value, key = key }
end

local scan_table

local function scan_value(container, key, name, found, seen)
  local value = container[key]
  local kind = type(value)
  if kind == "userdata" then
    if is_parameter(value) or (conversions[value] and walk.adopt(value)) then
      walk.note(container, key, value)
      push(found.parameters, name, value)
    end
  elseif kind == "table" then
    if is_module(value) then
      push(found.children, name, value)
    elseif getmetatable(value) == nil and not seen[value] then
      seen[value] = true
      scan_table(value, name, found, seen)
    end
  end
end

function scan_table(t, prefix, found, seen)
  local positions, names = {}, {}
  for key, value in next, t do
    local kind = type(value)
    if kind == "table" or kind == "userdata" then
      if math.type(key) == "integer" then
        positions[#positions + 1] = key
      elseif type(key) == "string" then
        names[#names + 1] = key
      end
    end
  end
  table.sort(positions)
  table.sort(names)
  for _, key in ipairs(positions) do
    scan_value(t, key, prefix .. "." .. (key - 1 + found.base), found, seen)
  end
  for _, key in ipairs(names) do scan_value(t, key, prefix .. "." .. key, found, seen) end
end

--- What `module` itself holds: `parameters`, `buffers`, `children`, each an array of `{name, value, key}` (`key` is
-- the field, absent for what a plain table inside a field holds). Numeric keys are named from `base` (1 unless given).
-- Raises when a plain tensor was assigned over a parameter.
function walk.own(module, base)
  local state, tidy = rawget(module, "_module"), getmetatable(module).__tidy
  if tidy then tidy(module) end
  local found = { parameters = {}, buffers = {}, children = {}, base = base or 1 }
  local seen, wraps = {}, getmetatable(module).__wraps_tensors
  for _, key in ipairs(state.order) do
    local value = rawget(module, key)
    if wraps and state.buffers[key] == nil and is_tensor(value) then value = walk.wrap(module, key, value) end
    if value ~= nil then
      local name = math.type(key) == "integer" and tostring(key - 1 + found.base) or tostring(key)
      if state.buffers[key] ~= nil then
        if is_tensor(value) then push(found.buffers, name, value, key) end
      elseif type(value) == "userdata" and is_tensor(value) then
        if is_parameter(value) or (conversions[value] and walk.adopt(value)) then
          state.parameters[key] = true
          walk.note(module, key, value)
          push(found.parameters, name, value, key)
        elseif state.parameters[key] then
          core.raise(module:_get_name(), "cannot assign '%s' as parameter '%s' (torch.nn.Parameter or nil expected); "
            .. "wrap it: nn.Parameter(x), or copy into it under torch.no_grad: self.%s:copy_(x)", value:type(), name,
            name)
        end
      elseif is_module(value) then
        push(found.children, name, value, key)
      else
        scan_value(module, key, name, found, seen)
      end
    end
  end
  return found
end

local function join(prefix, name)
  if prefix == "" then return name end
  return prefix .. "." .. name
end
walk.join = join

--- All modules under `root`, itself first, parents before children: an array of `{name, value}`.
-- `options`: `prefix` (name of the root), `base`, `keep_shared` (every name of a shared module, not the first alone),
-- `seen` (the set of modules to leave out, to which the visited ones are added).
function walk.modules(root, options)
  options = options or {}
  local list, seen = {}, options.seen or {}
  local function visit(module, name)
    if seen[module] then return end
    seen[module] = true
    push(list, name, module)
    for _, child in ipairs(walk.own(module, options.base).children) do
      visit(child.value, join(name, child.name))
    end
    -- With every name asked for, a module is barred only from holding itself.
    if options.keep_shared then seen[module] = nil end
  end
  visit(root, options.prefix or "")
  return list
end

--- All parameters (`kind` "parameters") or buffers ("buffers") under `root`: an array of
-- `{name, value, module, key}`. `options` as for walk.modules, and `recurse = false` for the root's own only.
function walk.tensors(root, kind, options)
  options = options or {}
  local list, seen = {}, {}
  local modules
  if options.recurse == false then
    modules = { { name = options.prefix or "", value = root } }
  else
    modules = walk.modules(root, options)
  end
  for _, entry in ipairs(modules) do
    for _, item in ipairs(walk.own(entry.value, options.base)[kind]) do
      if options.keep_shared or not seen[item.value] then
        seen[item.value] = true
        list[#list + 1] = {
          name = join(entry.name, item.name), value = item.value, module = entry.value, key = item.key,
        }
      end
    end
  end
  return list
end

--- An iterator over an array of `{name, value}` for `for name, value in …`.
function walk.iterator(list)
  local i = 0
  return function()
    i = i + 1
    local entry = list[i]
    if entry then return entry.name, entry.value end
  end
end

return walk
