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
-- `index_base = 0` for PyTorch's own key names (positions counted from 0).
function Module:state_dict(...)
  local only = ...
  local destination, prefix, keep_vars, base
  if select("#", ...) == 1 and arguments.is_keywords(only) then
    destination, prefix, keep_vars, base = state_arguments(nil, only)
  else
    destination, prefix, keep_vars, base = state_arguments(...)
  end
  local result = destination or ordered.new()
  for _, entry in ipairs(saved_entries(self, { base = index_base("state_dict", base) })) do
    result[prefix .. entry.name] = keep_vars and entry.value or entry.value:detach()
  end
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

-- Remedies for keys that do not match: counting from 0, a prefix.
local function hints(self, missing, unexpected, base)
  if #missing == 0 or #unexpected == 0 then return nil end
  local other = set_of(names_of(saved_entries(self, { base = 1 - base, keep_shared = true })))
  local fits = 0
  for _, key in ipairs(unexpected) do
    if other[key] then fits = fits + 1 end
  end
  if fits == #unexpected then
    return string.format("The keys count positions from %d: load_state_dict(state_dict, {index_base = %d}).",
      1 - base, 1 - base)
  end
  local prefix = common_prefix(unexpected, set_of(missing))
  if prefix then
    return string.format("The keys start with '%s': load_state_dict(state_dict, {strip_prefix = \"%s\"}).", prefix,
      prefix)
  end
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

-- The entries of a state dict by name, in order, without the prefix.
local function read_entries(state_dict, prefix)
  local names, given = {}, {}
  for name, value in pairs(state_dict) do
    if type(name) ~= "string" then
      core.raise("load_state_dict", "expected names as keys of the state dict, but got %s", tostring(name))
    end
    if prefix and name:sub(1, #prefix) == prefix then name = name:sub(#prefix + 1) end
    names[#names + 1] = name
    given[name] = value
  end
  if not ordered.is(state_dict) then table.sort(names) end
  return names, given
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

--- Copies the tensors of `state_dict` into the parameters and buffers of the same names.
-- Keywords: `strict = false` ignores missing and unexpected names; `assign = true` takes the given tensors' memory and
-- dtype instead of copying; `index_base = 0` reads PyTorch's own key names; `strip_prefix` removes a prefix from them.
-- Returns an object with missing_keys and unexpected_keys. A mismatch is an error that lists everything, and copies
-- nothing.
function Module:load_state_dict(...)
  local state_dict, strict, assign, base, strip_prefix = load_arguments(...)
  base = index_base("load_state_dict", base)
  local names, given = read_entries(state_dict, strip_prefix)
  local entries = saved_entries(self, { base = base })
  local wanted = set_of(names_of(saved_entries(self, { base = base, keep_shared = true })))
  local missing, unexpected, problems, copies = {}, {}, {}, {}
  for _, name in ipairs(names) do
    if not wanted[name] then unexpected[#unexpected + 1] = name end
  end
  for _, entry in ipairs(entries) do
    local value = given[entry.name]
    if value == nil then
      missing[#missing + 1] = entry.name
    else
      local problem = mismatch(entry, value)
      if problem then problems[#problems + 1] = problem else copies[#copies + 1] = { entry.value, value } end
    end
  end
  if strict then
    if #unexpected > 0 then table.insert(problems, 1, describe_keys("Unexpected", unexpected, missing)) end
    if #missing > 0 then table.insert(problems, 1, describe_keys("Missing", missing, unexpected)) end
    local hint = hints(self, missing, unexpected, base)
    if hint then problems[#problems + 1] = hint end
  end
  if #problems > 0 then
    core.raise("load_state_dict", "Error(s) in loading state_dict for %s:\n\t%s", self:_get_name(),
      table.concat(problems, "\n\t"))
  end
  core.no_grad(function()
    for _, copy in ipairs(copies) do
      local target, value = copy[1], copy[2]
      if assign then target:set_data(value:detach()) else target:copy_(value:reshape(target.shape)) end
    end
  end)
  return setmetatable({ missing_keys = missing, unexpected_keys = unexpected }, incompatible)
end

return Module
