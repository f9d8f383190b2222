--- Helpers for specs that compare numbers and messages.
local near = {}

--- Raises unless `got` (a tensor, number, or nested array) equals the nested array `wanted` within `tolerance`
-- (relative for large numbers, absolute below 1).
function near.check(wanted, got, tolerance, path)
  path = path or "value"
  tolerance = tolerance or 1e-12
  if type(got) == "userdata" then got = got:tolist() end
  if type(wanted) == "table" then
    if type(got) ~= "table" or #got ~= #wanted then
      error(("%s: expected %d entries, got %s"):format(path, #wanted, type(got) == "table" and #got or type(got)), 2)
    end
    for i = 1, #wanted do near.check(wanted[i], got[i], tolerance, path .. "[" .. i .. "]") end
    return
  end
  if type(wanted) ~= "number" or type(got) ~= "number" then
    if wanted ~= got then error(("%s: expected %s, got %s"):format(path, tostring(wanted), tostring(got)), 2) end
    return
  end
  if wanted ~= wanted then
    if got == got then error(("%s: expected nan, got %.17g"):format(path, got), 2) end
    return
  end
  if wanted == got then return end
  local close = math.abs(wanted - got) <= tolerance * math.max(1, math.abs(wanted))
  if not close then
    error(("%s: expected %.17g, got %.17g"):format(path, wanted, got), 2)
  end
end

--- Waits for the GPU, if one is in use: what a kernel met is told where something waits. Raises it.
function near.settle()
  local torch = package.loaded["moontorch"]
  if torch and torch.cuda.is_initialized() then torch.cuda.synchronize() end
end

--- Calls `fn`, which must raise; the message must contain every further argument as plain text. Returns the message.
function near.refuses(fn, ...)
  local ok, message = pcall(fn)
  if ok then ok, message = pcall(near.settle) end
  if ok then error("expected an error, but there was none", 2) end
  message = tostring(message)
  for _, part in ipairs { ... } do
    if not message:find(part, 1, true) then
      error(("expected the message to contain\n  %s\nbut it is\n  %s"):format(part, message), 2)
    end
  end
  return message
end

--- A temporary folder, and a function that removes it.
function near.folder()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir '" .. path .. "'"))
  return path, function() os.execute("rm -rf '" .. path .. "'") end
end

--- The interpreter that runs this spec, for a shell.
function near.interpreter()
  local lowest = 0
  while arg and arg[lowest - 1] do lowest = lowest - 1 end
  return "'" .. (lowest < 0 and arg[lowest] or "lua5.4") .. "'"
end

--- What a shell command prints, errors too.
function near.output(command)
  local pipe = assert(io.popen("(" .. command .. ") 2>&1"))
  local text = pipe:read("a")
  pipe:close()
  return text
end

function near.write(path, bytes)
  local file = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  file:close()
end

function near.read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("a")
  file:close()
  return bytes
end

return near
