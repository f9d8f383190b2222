-- Helper for busted (`make gcstress`): the collector at its most eager while specs run, in the mode $GCSTRESS.
--
-- incremental: small steps, a new cycle after 4 % of growth. generational: a minor collection after
-- 1 % of growth and a major one after 10 %. Besides, a full collection every 2,000 instructions finds values that only
-- the C stack holds.
local mode = os.getenv("GCSTRESS") or "incremental"
if mode == "generational" then
  collectgarbage("generational", 1, 10)
else
  collectgarbage("incremental", 104, 1000, 10)
end

local collect = collectgarbage
local every = math.tointeger(os.getenv("GCSTRESS_EVERY") or 2000)
local function hook()
  collect()
end
debug.sethook(hook, "", every)
local create, wrap = coroutine.create, coroutine.wrap
-- Hooks belong to one coroutine, so each new one gets it.
coroutine.create = function(f)
  local co = create(f)
  debug.sethook(co, hook, "", every)
  return co
end
coroutine.wrap = function(f)
  return wrap(function(...)
    debug.sethook(hook, "", every)
    return f(...)
  end)
end
