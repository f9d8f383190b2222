-- Output handler for busted: failures in full with their place, pending ones by name, and one closing line
-- `N passed, N failed` that spec/support/run.lua sums up. Errors outside of tests count as failures.
local busted = require "busted"
local pretty = require "pl.pretty"

local function describe(failure)
  local message = failure.message
  if type(message) == "table" then
    message = pretty.write(message)
  end
  local trace = failure.element.trace or failure.trace or {}
  local place = trace.short_src and (trace.short_src .. ":" .. tostring(trace.currentline) .. ": ") or ""
  local text = ("FAILED %s%s\n%s"):format(place, failure.name or "?", tostring(message or "no message"))
  local raised = failure.trace
  if failure.isError and raised and raised.traceback and not raised.traceback:find("^\n*$") then
    text = text .. "\n" .. raised.traceback
  end
  return (text:gsub("\n+$", ""):gsub("\n", "\n    ")) .. "\n"
end

return function()
  local handler = require "busted.outputHandlers.base"()
  local function flush(...)
    io.stdout:write(...)
    io.stdout:flush()
    return nil, true
  end
  local function failed()
    return #handler.failures + #handler.errors
  end
  local shown = 0
  -- Failures appear as they happen, so that a crash later in the file hides none.
  local function show()
    local all = {}
    for _, list in ipairs { handler.failures, handler.errors } do
      for _, f in ipairs(list) do
        all[#all + 1] = f
      end
    end
    local last = handler.last
    handler.last = nil
    if last and #all > shown then
      shown = #all
      flush(describe(last))
    end
    return nil, true
  end
  local function remember(element, parent, message, debug)
    local is_error = not (element.descriptor == "it" and handler.failing)
    handler.last = handler.format(element, parent, message, debug, is_error)
    return show()
  end
  busted.subscribe({ "failure" }, function(...)
    handler.failing = true
    return remember(...)
  end, { priority = 100 })
  busted.subscribe({ "error" }, function(...)
    handler.failing = false
    return remember(...)
  end, { priority = 100 })
  busted.subscribe({ "suite", "end" }, function()
    for _, p in ipairs(handler.pendings) do
      flush("pending ", tostring(p.name), type(p.message) == "string" and (": " .. p.message) or "", "\n")
    end
    return flush(("%d passed, %d failed\n"):format(handler.successesCount, failed()))
  end)
  return handler
end
