--- Specs and the stand-in for a GPU (spec/support/standin): its controls, and scripts in processes of their own that
-- set its environment. false where torch.cuda is a real one, or none.
local path = package.searchpath("moontorch.cuda", package.cpath)
local open = path and package.loadlib(path, "luaopen_standin")
if not open then return false end

local standin = open() -- fail_at(n, for_good), calls(), count()

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

--- What `lua SCRIPT` prints with these settings, and its exit status.
function standin.run(settings, script)
  local words = { "env", "ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1" }
  for name, value in pairs(settings) do words[#words + 1] = quote(name .. "=" .. value) end
  words[#words + 1] = ("timeout -k 5 120 %s -e %s 2>&1"):format(quote(arg[-1]), quote("package.path = "
    .. ("%q"):format(package.path) .. " package.cpath = " .. ("%q"):format(package.cpath)
    .. " torch = require 'moontorch' " .. script))
  local pipe = assert(io.popen(table.concat(words, " ")))
  local text = pipe:read "a"
  local _, _, status = pipe:close()
  return text:gsub("==%d+==WARNING: ASan doesn't fully support makecontext[^\n]*\n", ""), status
end

return standin
