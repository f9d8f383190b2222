--- Differences on purpose: a list of { name or *, pattern, reason }. The pattern is looked for in the text of a run and
-- of what is wrong with it. A list's exceptions are all needed: a spec asks for those that nothing took.
local exceptions = {}

--- Is the difference in `text`, about `name`, one of the list? Notes that it was needed.
function exceptions.excused(list, name, text)
  for _, e in ipairs(list) do
    if (e[1] == name or e[1] == "*") and text:find(e[2]) then
      e.used = true
      return true
    end
  end
  return false
end

--- Raises for the first exception that nothing needed.
function exceptions.check_needed(list)
  for _, e in ipairs(list) do
    if not e.used then error(("no longer needed: %s, %s"):format(e[1], e[2]), 0) end
  end
end

return exceptions
