--- nn.Module: a Lua table whose fields hold parameters, buffers, and other modules.
--
-- What the library keeps about a module lies in its raw field `_module`:
--   order       keys in order of first assignment          known   set of them
--   parameters  set of keys that have held a Parameter     buffers key -> persistent?
--   ready       the first forward has been checked         hooked  there are hooks around forward
--   pre_hooks, hooks, backward_pre_hooks, backward_hooks, and those of state dicts   lists of hooks, or absent
-- Fields themselves are plain, so reading `self.fc1` costs nothing. Listing goes through walk.lua; moving and casting
-- live in move.lua, state dicts in state.lua, text in repr.lua. All of them add their methods to this table.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local walk = require "moontorch.nn.walk"
local modes = require "moontorch.nn.modes"
local hooks = require "moontorch.nn.hooks"
local arguments = require "moontorch.arguments"

local is_tensor, is_parameter, is_module = core.is_tensor, core.is_parameter, walk.is_module

local Module = class.root("Module", {
  __is_module = true,
  __state = function(started)
    return { order = {}, known = {}, parameters = {}, buffers = {}, ready = false, started = started }
  end,
})

--- True until eval(); dropout and the like look at it.
Module.training = true

-- A key that the module does not have yet.
local function new_field(self, key, value)
  local state = rawget(self, "_module")
  if type(value) == "userdata" and is_tensor(value) and state.buffers[key] == nil then
    local declared = walk.declared_buffers[value]
    if is_parameter(value) or walk.adopt(value) then
      state.parameters[key] = true
      walk.note(self, key, value)
      if core.is_unwritten(value) then state.ready = false end
    elseif declared then
      state.buffers[key] = declared.persistent
    elseif state.parameters[key] then
      core.raise(self:_get_name(), "cannot assign '%s' as parameter '%s' (torch.nn.Parameter or nil expected); "
        .. "wrap it: nn.Parameter(x)", value:type(), tostring(key))
    end
  end
  if not state.known[key] and (type(key) == "string" or math.type(key) == "integer") then
    state.known[key] = true
    state.order[#state.order + 1] = key
  end
  rawset(self, key, value)
end
rawset(Module, "__newindex", new_field)

--- The class name, as messages and texts use it.
function Module:_get_name()
  return getmetatable(self).__name
end

--- What the module computes. Every class overrides it.
function Module:forward()
  core.raise(self:_get_name(), 'Module [%s] is missing the required "forward" function', self:_get_name())
end

-- Calling -------------------------------------------------------------------------------------------------------------

-- Before the first forward: refuses parameters that nobody wrote to, under their full names. Modules
-- below are then known to be good too.
local function check_first_call(self)
  for _, entry in ipairs(walk.tensors(self, "parameters")) do
    if core.is_unwritten(entry.value) then
      core.raise(self:_get_name(), "parameter '%s' of shape [%s] was never initialised: its memory holds whatever was "
        .. "there before. Write to it first, in reset_parameters() or with nn.init (nn.init.uniform_(p, -stdv, stdv)), "
        .. "or make it from torch.zeros or torch.randn", entry.name, table.concat(entry.value.shape, ", "))
    end
  end
  for _, entry in ipairs(walk.modules(self)) do rawget(entry.value, "_module").ready = true end
end

--- `module(...)`: forward, with hooks around it. A frame with something to close makes no tail calls: it stays on the
-- stack, and with it the module that an error message can name.
rawset(Module, "__call", function(self, ...)
  local state = self._module
  if not state.ready then check_first_call(self) end
  local _ <close> = nil
  if state.hooked then return hooks.call(self, state, ...) end
  return self:forward(...)
end)

--- `hook(module, args)` runs before every forward; what it returns (values, or an array of them) replaces the
-- arguments, nothing leaves them. Keywords: prepend, with_kwargs: `hook(module, args, kwargs)` then gets keyword
-- arguments as a table of their own and returns both, or nothing. Returns a handle with `:remove()`, which is
-- to-be-closed too.
function Module:register_forward_pre_hook(hook, ...)
  return hooks.add(self, "pre_hooks", "register_forward_pre_hook", hook, ...)
end

--- `hook(module, args, output)` runs after every forward; what it returns replaces the output, nothing leaves it.
-- Several outputs are an array. Keywords: prepend, with_kwargs (`hook(module, args, kwargs, output)`), always_call
-- (runs after a failure, too). Returns a handle with `:remove()`.
function Module:register_forward_hook(hook, ...)
  return hooks.add(self, "hooks", "register_forward_hook", hook, ...)
end

--- `hook(module, grad_input, grad_output)` runs when the gradients of the module's arguments are there; both are
-- arrays, nil where there is no gradient. What it returns (an array) replaces grad_input. Keyword: prepend. Returns a
-- handle with `:remove()`.
function Module:register_full_backward_hook(hook, ...)
  return hooks.add(self, "backward_hooks", "register_full_backward_hook", hook, ...)
end

--- `hook(module, grad_output)` runs when the gradients of the module's results are there; what it returns (an array)
-- replaces them. Keyword: prepend. Returns a handle with `:remove()`.
function Module:register_full_backward_pre_hook(hook, ...)
  return hooks.add(self, "backward_pre_hooks", "register_full_backward_pre_hook", hook, ...)
end

--- `hook(module, prefix, keep_vars)` runs before state_dict() takes this module's tensors.
function Module:register_state_dict_pre_hook(hook, ...)
  return hooks.add(self, "state_dict_pre_hooks", "register_state_dict_pre_hook", hook, ...)
end

--- `hook(module, state_dict, prefix, local_metadata)` runs when state_dict() has taken this module and all below; it
-- may change the dict and must return nothing.
function Module:register_state_dict_post_hook(hook)
  return hooks.add(self, "state_dict_post_hooks", "register_state_dict_post_hook", hook)
end

--- `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)` runs before
-- load_state_dict() reads this module's tensors; it may change the dict (a copy) and add to the lists.
function Module:register_load_state_dict_pre_hook(hook)
  return hooks.add(self, "load_state_dict_pre_hooks", "register_load_state_dict_pre_hook", hook)
end

--- `hook(module, incompatible_keys)` runs when load_state_dict() has loaded this module and all below; it may change
-- the lists missing_keys and unexpected_keys, and must return nothing.
function Module:register_load_state_dict_post_hook(hook)
  return hooks.add(self, "load_state_dict_post_hooks", "register_load_state_dict_post_hook", hook)
end

-- Registering ---------------------------------------------------------------------------------------------------------

local function check_name(self, owner, what, name, allowed)
  if type(name) ~= "string" then
    core.raise(owner, "%s name should be a string. Got %s", what, arguments.type_name(name))
  elseif name == "" then
    core.raise(owner, "%s name can't be empty string \"\"", what)
  elseif name:find(".", 1, true) then
    core.raise(owner, "%s name can't contain \".\": '%s'", what, name)
  elseif name == "_module" or (self[name] ~= nil and not allowed) then
    core.raise(owner, "attribute '%s' already exists", name)
  end
end

local function note_field(self, key)
  local state = self._module
  if not state.known[key] then
    state.known[key] = true
    state.order[#state.order + 1] = key
  end
end

local parameter_arguments = arguments.signature("register_parameter", { { "name", "any" }, { "param", "any?" } })

--- Adds a Parameter under a name; nil says that the parameter does not exist (`bias = false`).
function Module:register_parameter(...)
  local name, param = parameter_arguments(...)
  local state = self._module
  check_name(self, "register_parameter", "parameter", name, state.parameters[name])
  if param ~= nil and is_tensor(param) then walk.adopt(param) end
  if param ~= nil and not is_parameter(param) then
    local kind = is_tensor(param) and param:type() or arguments.type_name(param)
    core.raise("register_parameter", "cannot assign '%s' object to parameter '%s' (torch.nn.Parameter or nil "
      .. "required); wrap it: nn.Parameter(x)", kind, name)
  end
  if param ~= nil and not param.is_leaf then
    core.raise("register_parameter", "Cannot assign non-leaf Tensor to parameter '%s'. Model parameters must be "
      .. "created explicitly. To express '%s' as a function of another Tensor, compute the value in forward()", name,
      name)
  end
  note_field(self, name)
  state.parameters[name] = true
  if param ~= nil then walk.note(self, name, param) end
  rawset(self, name, param)
end

local buffer_arguments = arguments.signature("register_buffer", {
  { "name", "any" }, { "tensor", "any?" }, { "persistent", "boolean", true },
})

--- Adds a tensor that belongs to the module without being trained. A persistent one (the default) is in state_dict().
function Module:register_buffer(...)
  local name, tensor, persistent = buffer_arguments(...)
  local state = self._module
  check_name(self, "register_buffer", "buffer", name, state.buffers[name] ~= nil)
  if tensor ~= nil and not is_tensor(tensor) then
    core.raise("register_buffer", "cannot assign '%s' object to buffer '%s' (torch Tensor or nil required)",
      arguments.type_name(tensor), name)
  end
  note_field(self, name)
  state.buffers[name] = persistent
  rawset(self, name, tensor)
end

local child_arguments = arguments.signature("register_module", { { "name", "any" }, { "module", "any?" } })

--- Adds a child under a name; a plain assignment does the same.
function Module:register_module(...)
  local name, module = child_arguments(...)
  check_name(self, "register_module", "module", name, is_module(self[name]))
  if module ~= nil and not is_module(module) then
    core.raise("register_module", "%s is not a Module subclass", arguments.type_name(module))
  end
  note_field(self, name)
  rawset(self, name, module)
end

Module.add_module = Module.register_module

-- Listing -------------------------------------------------------------------------------------------------------------

local function values(list)
  local result = {}
  for i, entry in ipairs(list) do result[i] = entry.value end
  return result
end

local recurse_arguments = arguments.signature("parameters", { { "recurse", "boolean", true } })

--- Array of all parameters; `recurse = false` leaves the children's out.
function Module:parameters(...)
  return values(walk.tensors(self, "parameters", { recurse = recurse_arguments(...) }))
end

--- Array of all buffers.
function Module:buffers(...)
  return values(walk.tensors(self, "buffers", { recurse = recurse_arguments(...) }))
end

local named_arguments = arguments.signature("named_parameters", {
  { "prefix", "string", "" }, { "recurse", "boolean", true }, { "remove_duplicate", "boolean", true },
})

local function named(self, kind, ...)
  local prefix, recurse, unique = named_arguments(...)
  return walk.iterator(walk.tensors(self, kind, { prefix = prefix, recurse = recurse, keep_shared = not unique }))
end

--- Iterator: `for name, p in m:named_parameters() do`. Keywords: prefix, recurse, remove_duplicate.
function Module:named_parameters(...)
  return named(self, "parameters", ...)
end

--- Iterator over names and buffers. Keywords: prefix, recurse, remove_duplicate.
function Module:named_buffers(...)
  return named(self, "buffers", ...)
end

local function unique_children(self)
  local list, seen = {}, {}
  for _, entry in ipairs(walk.own(self).children) do
    if not seen[entry.value] then
      seen[entry.value] = true
      list[#list + 1] = entry
    end
  end
  return list
end

--- Iterator over names and immediate children; one in a plain table is named by field and position (`blocks.1`).
function Module:named_children()
  return walk.iterator(unique_children(self))
end

--- Iterator over immediate children.
function Module:children()
  local list, i = unique_children(self), 0
  return function()
    i = i + 1
    return list[i] and list[i].value
  end
end

local module_arguments = arguments.signature("named_modules", {
  { "memo", "list?" }, { "prefix", "string", "" }, { "remove_duplicate", "boolean", true },
})

--- Iterator over names and all modules, itself ("") first. Keywords: memo (a set of modules to leave out, to which the
-- visited ones are added), prefix, remove_duplicate.
function Module:named_modules(...)
  local memo, prefix, unique = module_arguments(...)
  return walk.iterator(walk.modules(self, { prefix = prefix, keep_shared = not unique, seen = memo }))
end

local all_arguments = arguments.signature("modules", { { "remove_duplicate", "boolean", true } })

--- Iterator over all modules, itself first. Keyword: remove_duplicate.
function Module:modules(...)
  local list, i = walk.modules(self, { keep_shared = not all_arguments(...) }), 0
  return function()
    i = i + 1
    return list[i] and list[i].value
  end
end

-- Reaching by name ----------------------------------------------------------------------------------------------------

-- The field of a module or plain table that a part of a path names; numerals are positions.
local function field(at, part)
  local value = rawget(at, part)
  local position = math.tointeger(tonumber(part))
  if value == nil and position then value = rawget(at, position) end
  if value == nil and not position then value = at[part] end
  return value
end

-- Follows `path` ("blocks.1.fc") through modules and plain tables.
local function follow(self, owner, path)
  local at = self
  for part in path:gmatch("[^.]+") do
    local next_one = field(at, part)
    if next_one == nil then
      core.raise(owner, "%s has no attribute `%s`", is_module(at) and at:_get_name() or "table", part)
    elseif type(next_one) ~= "table" then
      core.raise(owner, "`%s` is not an nn.Module", part)
    end
    at = next_one
  end
  return at
end

local function split_path(path)
  local parent, name = path:match("^(.*)%.([^.]*)$")
  return parent or "", name or path
end

local path_arguments = arguments.signature("get_submodule", { { "target", "string" } })

--- The module at a path such as "encoder.layers.2"; "" is the module itself.
function Module:get_submodule(...)
  local path = path_arguments(...)
  local found = follow(self, "get_submodule", path)
  if not is_module(found) then core.raise("get_submodule", "`%s` is not an nn.Module", path) end
  return found
end

local submodule_arguments = arguments.signature("set_submodule", {
  { "target", "string" }, { "module", "any" }, { "strict", "boolean", false },
})

--- Puts `module` at a path whose parent exists; with `strict = true` only in place of a module.
function Module:set_submodule(...)
  local path, module, strict = submodule_arguments(...)
  if path == "" then core.raise("set_submodule", "Cannot set the submodule without a target name!") end
  if not is_module(module) then
    core.raise("set_submodule", "`module` is not an nn.Module, found %s", arguments.type_name(module))
  end
  local parent_path, name = split_path(path)
  local parent = follow(self, "set_submodule", parent_path)
  local before = field(parent, name)
  if before == nil and strict then
    core.raise("set_submodule", "%s has no attribute `%s`", is_module(parent) and parent:_get_name() or "table", name)
  elseif before ~= nil and not is_module(before) then
    core.raise("set_submodule", "`%s` is not an nn.Module", name)
  end
  local key = name
  if rawget(parent, key) == nil and math.tointeger(tonumber(name)) then key = math.tointeger(tonumber(name)) end
  parent[key] = module
end

local function get_tensor(self, owner, path, what, accepted)
  if arguments.is_keywords(path) then path = path.target end
  if type(path) ~= "string" then
    core.raise(owner, "argument 'target' (position 1) must be a string, not %s", arguments.type_name(path))
  end
  local parent_path, name = split_path(path)
  local parent = follow(self, owner, parent_path)
  local value = field(parent, name)
  if value == nil then
    core.raise(owner, "%s has no attribute `%s`", is_module(parent) and parent:_get_name() or "table", name)
  end
  if not accepted(parent, name, value) then core.raise(owner, "`%s` is not %s", name, what) end
  return value
end

--- The parameter at a path such as "fc1.weight".
function Module:get_parameter(path)
  return get_tensor(self, "get_parameter", path, "an nn.Parameter", function(_, _, value)
    return is_parameter(value)
  end)
end

--- The buffer at a path.
function Module:get_buffer(path)
  return get_tensor(self, "get_buffer", path, "a buffer", function(parent, name)
    return is_module(parent) and parent._module.buffers[name] ~= nil
  end)
end

-- Acting on all -------------------------------------------------------------------------------------------------------

--- Calls `fn(module)` for every module, children before parents, each shared one once. Returns self.
function Module:apply(fn)
  if arguments.is_keywords(fn) then fn = fn.fn end
  if not hooks.callable(fn) then
    core.raise("apply", "argument 'fn' (position 1) must be a function, not %s", type(fn))
  end
  local seen = {}
  local function visit(module)
    if seen[module] then return end
    seen[module] = true
    for _, child in ipairs(walk.own(module).children) do visit(child.value) end
    fn(module)
  end
  visit(self)
  return self
end

--- Training mode on (or `mode`) here and below. Returns self.
function Module:train(mode)
  if arguments.is_keywords(mode) then mode = mode.mode end
  if mode == nil then mode = true end
  if type(mode) ~= "boolean" then core.raise("train", "training mode is expected to be boolean") end
  for _, entry in ipairs(walk.modules(self)) do rawset(entry.value, "training", mode) end
  modes.note(self, mode)
  return self
end

--- Evaluation mode here and below: dropout passes everything. Returns self.
function Module:eval()
  return self:train(false)
end

--- The module's output for `...` in evaluation mode and without recording gradients; afterwards every module is in the
-- mode it was in.
function Module:predict(...)
  local before = {}
  for _, entry in ipairs(walk.modules(self)) do before[entry.value] = entry.value.training end
  local _ <close> = setmetatable({}, { __close = function()
    for module, mode in pairs(before) do rawset(module, "training", mode) end
  end })
  for module in pairs(before) do rawset(module, "training", false) end
  local args = table.pack(...)
  return core.no_grad(function() return self(table.unpack(args, 1, args.n)) end)
end

--- Sets requires_grad of every parameter. Returns self.
function Module:requires_grad_(flag)
  if arguments.is_keywords(flag) then flag = flag.requires_grad end
  if flag == nil then flag = true end
  for _, param in ipairs(self:parameters()) do param.requires_grad = flag end
  return self
end

--- Drops every parameter's gradient, or with `set_to_none = false` fills it with zeros.
function Module:zero_grad(set_to_none)
  if type(set_to_none) == "table" then set_to_none = set_to_none.set_to_none end
  core.no_grad(function()
    for _, param in ipairs(self:parameters()) do
      local grad = param.grad
      if grad ~= nil then
        if set_to_none == false then grad:zero_() else param.grad = nil end
      end
    end
  end)
end

return Module
