--- State dicts: a module's parameters and persistent buffers by name, out and in.
--
-- Invariant of load_state_dict: everything is compared before anything is copied; an error leaves the module as it was.

local core = require "moontorch.core"
local Module = require "moontorch.nn.module"
local walk = require "moontorch.nn.walk"
local text = require "moontorch.text"
local ordered = require "moontorch.nn.ordered"
local arguments = require "moontorch.arguments"

-- Array of `{name, value, module, key}` of everything that a state dict holds: per module its parameters, then its
-- persistent buffers, as PyTorch orders them.
local function saved_entries(root, options)
  local list, seen = {}, {}
  for _, entry in ipairs(walk.modules(root, options)) do
    local own, state = walk.own(entry.value, options.base), entry.value._module
    for _, kind in ipairs { "parameters", "buffers" } do
      for _, item in ipairs(own[kind]) do
        local persistent = kind == "parameters" or state.buffers[item.key]
        if persistent and (options.keep_shared or not seen[item.value]) then
          seen[item.value] = true
          list[#list + 1] = { name = walk.join(entry.name, item.name), value = item.value }
        end
      end
    end
  end
  return list
end

-- Calls `enter(module, prefix)` for every module, parents first, and `leave` when all below it have had theirs. A
-- prefix is the module's path with a dot at its end. A shared module has its turn once, or under each of its names.
local function visit(root, base, prefix, enter, leave, every_name)
  local seen = {}
  local function go(module, at)
    if seen[module] then return end
    seen[module] = true
    if enter then enter(module, at) end
    for _, child in ipairs(walk.own(module, base).children) do go(child.value, at .. child.name .. ".") end
    if leave then leave(module, at) end
    if every_name then seen[module] = nil end
  end
  go(root, prefix)
end

local function hooks_of(module, kind)
  return module._module[kind] or {}
end

local function any_hooks(root, kind)
  for _, entry in ipairs(walk.modules(root)) do
    if entry.value._module[kind] then return true end
  end
  return false
end

local function index_base(owner, base)
  if base ~= 0 and base ~= 1 then
    core.raise(owner, "index_base must be 0 (PyTorch's key names) or 1, but got %s", tostring(base))
  end
  return math.tointeger(base)
end

local state_arguments = arguments.signature("state_dict", {
  { "destination", "dict?" }, { "prefix", "string", "" }, { "keep_vars", "boolean", false },
  { "index_base", "integer", 1 },
})

--- All parameters and persistent buffers by name, in order; each shared tensor once. The tensors share memory with the
-- module and record no gradient (`keep_vars = true` gives the tensors themselves). Keywords: prefix, keep_vars, and
-- `index_base = 0` for what PyTorch's load_state_dict wants: its own key names (positions counted from 0), and a shared
-- tensor under each of its names.
function Module:state_dict(...)
  local only = ...
  local destination, prefix, keep_vars, base
  if select("#", ...) == 1 and arguments.is_keywords(only) then
    destination, prefix, keep_vars, base = state_arguments(nil, only)
  else
    destination, prefix, keep_vars, base = state_arguments(...)
  end
  base = index_base("state_dict", base)
  local result, seen = destination or ordered.new(), {}
  local function take(module, at)
    for _, hook in ipairs(hooks_of(module, "state_dict_pre_hooks")) do hook.fn(module, at, keep_vars) end
    local own, state = walk.own(module, base), module._module
    for _, kind in ipairs { "parameters", "buffers" } do
      for _, item in ipairs(own[kind]) do
        if (kind == "parameters" or state.buffers[item.key]) and (base == 0 or not seen[item.value]) then
          seen[item.value] = true
          result[at .. item.name] = keep_vars and item.value or item.value:detach()
        end
      end
    end
  end
  local function finish(module, at)
    for _, hook in ipairs(hooks_of(module, "state_dict_post_hooks")) do
      if hook.fn(module, result, at, {}) ~= nil then
        core.raise("state_dict", "state_dict post-hook must return None")
      end
    end
  end
  visit(self, base, prefix, take, finish, base == 0)
  return result
end

-- What load_state_dict returns: the keys that did not fit, and a text that says so.
local incompatible = { __name = "IncompatibleKeys" }
function incompatible.__tostring(self)
  if #self.missing_keys == 0 and #self.unexpected_keys == 0 then return "<All keys matched successfully>" end
  local function list(keys)
    local quoted = {}
    for i, key in ipairs(keys) do quoted[i] = "'" .. key .. "'" end
    return "[" .. table.concat(quoted, ", ") .. "]"
  end
  return string.format("_IncompatibleKeys(missing_keys=%s, unexpected_keys=%s)", list(self.missing_keys),
    list(self.unexpected_keys))
end

local function set_of(names)
  local set = {}
  for _, name in ipairs(names) do set[name] = true end
  return set
end

local function names_of(entries)
  local names = {}
  for i, entry in ipairs(entries) do names[i] = entry.name end
  return names
end

-- The prefix without which all unexpected keys would be expected ("module."), or nil.
local function common_prefix(unexpected, wanted)
  local prefix
  for _, key in ipairs(unexpected) do
    local found
    for dot in key:gmatch("()%.") do
      if wanted[key:sub(dot + 1)] then found = key:sub(1, dot) break end
    end
    if not found or (prefix and prefix ~= found) then return nil end
    prefix = found
  end
  return prefix
end

-- How many of the keys are names in a set.
local function count_fitting(keys, set)
  local count = 0
  for _, key in ipairs(keys) do
    if set[key] then count = count + 1 end
  end
  return count
end

-- The call for a checkpoint that has the state dict in one of its entries, or nil.
local function nested_call(given, names, base)
  for key, value in pairs(given) do
    if type(value) == "table" then
      local keys = {}
      for name in pairs(value) do keys[#keys + 1] = name end
      for _, b in ipairs { base, 1 - base } do
        if #keys > 0 and count_fitting(keys, names[b]) == #keys then
          return string.format("The state dict stands under the key \"%s\": load_state_dict(%s%s).", key,
            key:find("^[%a_][%w_]*$") and "checkpoint." .. key or string.format("checkpoint[%q]", key),
            b == base and "" or string.format(", {index_base = %d}", b))
        end
      end
    end
  end
end

-- Remedies for keys that do not match: counting from 0, a prefix, a state dict inside of a checkpoint.
local function hints(self, missing, unexpected, base, given)
  if #missing == 0 or #unexpected == 0 then return nil end
  local names = {}
  for b = 0, 1 do names[b] = set_of(names_of(saved_entries(self, { base = b, keep_shared = true }))) end
  if count_fitting(unexpected, names[1 - base]) == #unexpected then
    return string.format("The keys count positions from %d: load_state_dict(state_dict, {index_base = %d}).",
      1 - base, 1 - base)
  end
  local prefix = common_prefix(unexpected, set_of(missing))
  if prefix then
    return string.format("The keys start with '%s': load_state_dict(state_dict, {strip_prefix = \"%s\"}).", prefix,
      prefix)
  end
  return nested_call(given, names, base)
end

local function describe_keys(title, keys, candidates)
  local parts = {}
  for i, key in ipairs(keys) do
    local near = text.nearest(key, candidates)
    parts[i] = string.format('"%s"', key) .. (near and string.format(' (nearest here: "%s")', near) or "")
  end
  return string.format("%s key(s) in state_dict: %s. ", title, table.concat(parts, ", "))
end

local load_arguments = arguments.signature("load_state_dict", {
  { "state_dict", "dict" }, { "strict", "boolean", true }, { "assign", "boolean", false },
  { "index_base", "integer", 1 }, { "strip_prefix", "string?" },
})

-- The arguments without the metadata that a reader of files gives after the tensors.
local function without_metadata(state_dict, second, ...)
  local meta = type(second) == "table" and getmetatable(second)
  if type(meta) == "table" and meta.__name == "metadata" then return state_dict, ... end
  return state_dict, second, ...
end

-- A copy of a state dict, in order, without the prefix.
local function working_copy(state_dict, prefix)
  local copy, names = ordered.new(), {}
  for name in pairs(state_dict) do
    if type(name) ~= "string" then
      core.raise("load_state_dict", "expected names as keys of the state dict, but got %s", tostring(name))
    end
    names[#names + 1] = name
  end
  if not ordered.is(state_dict) then table.sort(names) end
  for _, name in ipairs(names) do
    local short = prefix and name:sub(1, #prefix) == prefix and name:sub(#prefix + 1) or name
    copy[short] = state_dict[name]
  end
  return copy
end

-- Why `value` cannot be copied into the entry, or nil.
local function mismatch(entry, value)
  if not core.is_tensor(value) then
    return string.format("While copying the parameter named \"%s\", expected torch.Tensor or Tensor-like object from "
      .. "checkpoint but received %s", entry.name, arguments.type_name(value))
  end
  if value.shape ~= entry.value.shape and
    not (#value.shape == 1 and value.shape[1] == 1 and #entry.value.shape == 0) then
    return string.format("size mismatch for %s: copying a param with shape %s from checkpoint, the shape in current "
      .. "model is %s.", entry.name, text.size(value), text.size(entry.value))
  end
end

-- Sorts the module's tensors and the names of `given` into what can be copied and what does not fit. A shared tensor
-- may be given under any of its names; the last one counts, as in PyTorch.
local function compare(self, given, base, missing, unexpected, problems, copies)
  local entries = saved_entries(self, { base = base, keep_shared = true })
  local wanted, found = set_of(names_of(entries)), {}
  for name in pairs(given) do
    if not wanted[name] then unexpected[#unexpected + 1] = name end
  end
  for _, entry in ipairs(entries) do found[entry.value] = found[entry.value] or given[entry.name] ~= nil end
  for _, entry in ipairs(entries) do
    local value = given[entry.name]
    if value ~= nil then
      local problem = mismatch(entry, value)
      if problem then problems[#problems + 1] = problem else copies[#copies + 1] = { entry.value, value } end
    elseif not found[entry.value] then
      found[entry.value] = true
      missing[#missing + 1] = entry.name
    end
  end
end

-- Raises what is wrong, everything in one message. Keys that strict = false lets pass are a likely mistake when another
-- way of reading them would fit: positions counted from 0 would go into the wrong layers.
local function complain(self, keys, strict, problems, base, given)
  local missing, unexpected = keys.missing_keys, keys.unexpected_keys
  local hint = hints(self, missing, unexpected, base, given)
  if strict then
    if #unexpected > 0 then table.insert(problems, 1, describe_keys("Unexpected", unexpected, missing)) end
    if #missing > 0 then table.insert(problems, 1, describe_keys("Missing", missing, unexpected)) end
  end
  if #problems > 0 then
    if hint then problems[#problems + 1] = hint end
    core.raise("load_state_dict", "Error(s) in loading state_dict for %s:\n\t%s", self:_get_name(),
      table.concat(problems, "\n\t"))
  end
  if hint and not strict then
    arguments.warn_once(self, "load_state_dict(): %d missing and %d unexpected keys were ignored, as strict is false. "
      .. "%s", #missing, #unexpected, hint)
  end
end

local function copy_all(copies, assign)
  core.no_grad(function()
    for _, copy in ipairs(copies) do
      local target, value = copy[1], copy[2]
      if assign then target:set_data(value:detach()) else target:copy_(value:reshape(target.shape)) end
    end
  end)
end

-- Keeps what copy_all is about to overwrite; the function that comes back restores it.
local function backup(copies)
  local old = {}
  for i, copy in ipairs(copies) do
    local target = copy[1]
    old[i] = { target, target:detach(), core.no_grad(function() return target:detach():clone() end) }
  end
  return function()
    core.no_grad(function()
      for _, entry in ipairs(old) do
        entry[1]:set_data(entry[2])
        entry[2]:copy_(entry[3])
      end
    end)
  end
end

--- Copies the tensors of `state_dict` into the parameters and buffers of the same names.
-- Keywords: `strict = false` ignores missing and unexpected names; `assign = true` takes the given tensors' memory and
-- dtype instead of copying; `index_base = 0` reads PyTorch's own key names; `strip_prefix` removes a prefix from them.
-- Returns an object with missing_keys and unexpected_keys. A mismatch is an error that lists everything, and copies
-- nothing.
function Module:load_state_dict(...)
  local first = ...
  if first ~= nil and type(first) ~= "table" then
    core.raise("load_state_dict", "Expected state_dict to be dict-like, got %s: a table of tensors by name, such as "
      .. "another module's state_dict()", arguments.type_name(first))
  end
  local state_dict, strict, assign, base, strip_prefix = load_arguments(without_metadata(...))
  base = index_base("load_state_dict", base)
  local given = working_copy(state_dict, strip_prefix)
  local missing, unexpected, problems, copies = {}, {}, {}, {}
  visit(self, base, "", function(module, at)
    for _, hook in ipairs(hooks_of(module, "load_state_dict_pre_hooks")) do
      hook.fn(module, given, at, { assign_to_params_buffers = assign or nil }, strict, missing, unexpected, problems)
    end
    -- What files of older formats lack, as the class knows it.
    if module._complete_state then module:_complete_state(given, at) end
  end)
  compare(self, given, base, missing, unexpected, problems, copies)
  local keys = setmetatable({ missing_keys = missing, unexpected_keys = unexpected }, incompatible)
  if any_hooks(self, "load_state_dict_post_hooks") then
    local undo = backup(copies)
    copy_all(copies, assign)
    local _ <close> = setmetatable({}, { __close = function(_, failure)
      if failure ~= nil then undo() end
    end })
    visit(self, base, "", nil, function(module)
      for _, hook in ipairs(hooks_of(module, "load_state_dict_post_hooks")) do
        if hook.fn(module, keys) ~= nil then
          core.raise("load_state_dict", "Hooks registered with ``register_load_state_dict_post_hook`` are not "
            .. "expected to return new values, if incompatible_keys need to be modified, it should be done inplace.")
        end
      end
    end)
    complain(self, keys, strict, problems, base, given)
  else
    complain(self, keys, strict, problems, base, given)
    copy_all(copies, assign)
  end
  return keys
end

return Module
