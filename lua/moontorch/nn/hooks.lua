--- Hooks around a module's forward: adding them, and calling a module that has some.
--
-- The library's table of a module (see module.lua) holds a list for each kind of hook; an entry has `fn` and the flags
-- `with_kwargs` and `always_call`. The keyword arguments of a call are its last argument, where that is a plain table
-- with string keys; hooks get them apart from the others if they ask for it. Invariant: a module without hooks around
-- its forward never comes here.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local hooks = {}

local AROUND_FORWARD = { "pre_hooks", "hooks", "backward_pre_hooks", "backward_hooks" }

local function note(state)
  state.hooked = nil
  for _, kind in ipairs(AROUND_FORWARD) do state.hooked = state.hooked or state[kind] ~= nil or nil end
end

-- Adding --------------------------------------------------------------------------------------------------------------

-- What takes a hook away: `handle:remove()`, or the end of the scope of `local handle <close>`.
local handle = { __name = "RemovableHandle" }
handle.__index = handle

function handle:remove()
  local list, state = self.list, self.state
  for i, other in ipairs(list) do
    if other == self.hook then table.remove(list, i) break end
  end
  if #list == 0 and state[self.kind] == list then state[self.kind] = nil end
  if self.changed then self.changed(state) end
end

handle.__close = handle.remove

--- Puts a hook into `state[kind]`, at its end or, with `prepend`, in front. `changed(state)` is called when the list
-- has changed. Returns a handle with remove(), which is to-be-closed too.
function hooks.insert(state, kind, hook, prepend, changed)
  local list = state[kind] or {}
  state[kind] = list
  table.insert(list, prepend and 1 or #list + 1, hook)
  if changed then changed(state) end
  return setmetatable({ state = state, kind = kind, list = list, hook = hook, changed = changed }, handle)
end

--- Is `v` a function, or an object that can be called?
function hooks.callable(v)
  local meta = getmetatable(v)
  return type(v) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

-- The flags that a kind of hook takes, in the order of PyTorch's arguments.
local FLAGS = {
  pre_hooks = { "prepend", "with_kwargs" }, hooks = { "prepend", "with_kwargs", "always_call" },
  backward_pre_hooks = { "prepend" }, backward_hooks = { "prepend" },
}

--- Adds the hook that register_…(self, hook, {flags}) was given.
function hooks.add(self, kind, owner, fn, ...)
  if arguments.is_keywords(fn) and fn.hook ~= nil then
    local rest = {}
    for name, value in pairs(fn) do rest[name] = value end
    rest.hook = nil
    return hooks.add(self, kind, owner, fn.hook, rest)
  end
  if not hooks.callable(fn) then core.raise(owner, "expected a function, but got %s", arguments.type_name(fn)) end
  local hook, flags, first = { fn = fn }, FLAGS[kind] or {}, ...
  if arguments.is_keywords(first) then
    local accepted = {}
    for _, name in ipairs(flags) do accepted[name] = true end
    for name, value in pairs(first) do
      if not accepted[name] then
        core.raise(owner, "got an unexpected keyword argument '%s'; it takes: hook%s%s", tostring(name),
          #flags > 0 and ", " or "", table.concat(flags, ", "))
      end
      hook[name] = value
    end
  else
    for i, name in ipairs(flags) do hook[name] = (select(i, ...)) end
  end
  return hooks.insert(self._module, kind, hook, hook.prepend, note)
end

-- Calling -------------------------------------------------------------------------------------------------------------

-- The positional arguments of a call and its keywords. A table that is the only argument may as well be the input: it
-- is kept among the positional ones, too, for hooks that do not ask for keywords.
local function split(args)
  local last = args[args.n]
  if args.n == 0 or not arguments.is_keywords(last) or next(last) == nil then return args, {}, args end
  local positional = { n = args.n - 1, table.unpack(args, 1, args.n - 1) }
  return positional, last, args.n == 1 and args or positional
end

-- What a hook returned, as the list that takes the place of `before`: nothing leaves it, several values or an array are
-- taken one by one. A single value that is an array stays one where `before` was one such value.
local function taken(before, keep_array, n, first, ...)
  if n == 0 or (n == 1 and first == nil) then return before end
  if n > 1 then return { n = n, first, ... } end
  local array = type(first) == "table" and getmetatable(first) == nil and (first[1] ~= nil or first.n ~= nil
    or next(first) == nil)
  if not array or keep_array then return { n = 1, first } end
  return { n = first.n or #first, table.unpack(first, 1, first.n or #first) }
end

local function counted(before, keep_array, ...)
  return taken(before, keep_array, select("#", ...), ...)
end

local function replaced_arguments(args, kwargs, ...)
  local new_args, new_kwargs = ...
  if new_args == nil then return args, kwargs end
  if select("#", ...) == 1 and type(new_args) == "table" and #new_args == 2 and getmetatable(new_args) == nil then
    new_args, new_kwargs = new_args[1], new_args[2]
  end
  if type(new_args) ~= "table" or type(new_kwargs) ~= "table" then
    core.raise("register_forward_pre_hook", "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
      .. "but got %s, %s: return the array of arguments and the table of keywords", arguments.type_name(new_args),
      arguments.type_name(new_kwargs))
  end
  return { n = new_args.n or #new_args, table.unpack(new_args, 1, new_args.n or #new_args) }, new_kwargs
end

-- Positional and keyword arguments as a call has them.
local function join(args, kwargs)
  if next(kwargs) == nil then return args end
  local all = { n = args.n + 1, table.unpack(args, 1, args.n) }
  all[all.n] = kwargs
  return all
end

-- The hooks that a call runs: one may take itself away meanwhile.
local function copy(list)
  return list and table.move(list, 1, #list, 1, {}) or {}
end

local function run_pre_hooks(self, state, args)
  local positional, kwargs, plain = split(args)
  for _, hook in ipairs(copy(state.pre_hooks)) do
    if hook.with_kwargs then
      positional, kwargs = replaced_arguments(positional, kwargs, hook.fn(self, positional, kwargs))
      plain = positional.n == 0 and join(positional, kwargs) or positional
    else
      local new = counted(plain, false, hook.fn(self, plain))
      if new ~= plain then
        if plain ~= positional then kwargs = {} end
        positional, plain = new, new
      end
    end
  end
  return positional, kwargs, plain
end

local function as_output(results)
  if results.n <= 1 then return results[1] end
  return results
end

local function run_hook(self, hook, positional, kwargs, plain, results)
  local output = as_output(results)
  local keep = results.n == 1 and type(output) == "table" and getmetatable(output) == nil
  if hook.with_kwargs then return counted(results, keep, hook.fn(self, positional, kwargs, output)) end
  return counted(results, keep, hook.fn(self, plain, output))
end

-- Runs hooks that are always called and have not been yet; their own failures are warned about.
local function run_always(self, list, done, positional, kwargs, plain, results)
  for _, hook in ipairs(list) do
    if hook.always_call and not done[hook] then
      local ok, answer = pcall(run_hook, self, hook, positional, kwargs, plain, results)
      if ok then
        results = answer
      else
        core.warn("module forward hook with ``always_call=True`` raised an exception that was silenced as another "
          .. "error was raised in forward: " .. tostring(answer))
      end
    end
  end
end

local function has_always(list)
  for _, hook in ipairs(list) do
    if hook.always_call then return true end
  end
  return false
end

--- The call of a module that has hooks: pre-hooks, forward, hooks, with those on gradients around all that.
function hooks.call(self, state, ...)
  local positional, kwargs, plain = run_pre_hooks(self, state, table.pack(...))
  local backward = (state.backward_hooks or state.backward_pre_hooks)
    and require("moontorch.nn.backward_hooks").new(self, state)
  if backward then
    local watched = backward:watch_inputs(positional)
    if plain == positional then plain = watched end
    positional = watched
  end
  local list, done, results = copy(state.hooks), {}, { n = 0 }
  local _ <close> = has_always(list) and setmetatable({}, { __close = function(_, failure)
    if failure ~= nil then run_always(self, list, done, positional, kwargs, plain, results) end
  end }) or nil
  local args = join(positional, kwargs)
  results = table.pack(self:forward(table.unpack(args, 1, args.n)))
  for _, hook in ipairs(list) do
    done[hook] = true
    results = run_hook(self, hook, positional, kwargs, plain, results)
  end
  if backward then results = backward:watch_outputs(results) end
  return table.unpack(results, 1, results.n)
end

return hooks
