--- Writes the reference of all operators and the annotations for editors: `lua spec/support/docs.lua FOLDER`.
--
-- FOLDER/reference/index.md, a page FOLDER/reference/NAME.md for each operator, and FOLDER/moontorch.d.lua.

package.path = "./?.lua;./lua/?.lua;./lua/?/init.lua;" .. package.path
local torch = require "moontorch"
local reference = require "spec.support.reference"
local annotations = require "spec.support.annotations"

local folder = arg[1] or "."

local function write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

assert(os.execute(("mkdir -p '%s/reference'"):format(folder)))
local groups = reference.groups(torch._ops())
for _, group in ipairs(groups) do write(("%s/reference/%s.md"):format(folder, group.name), reference.page(group)) end
write(folder .. "/reference/index.md", reference.index(groups))
local text = annotations.text()
write(folder .. "/moontorch.d.lua", text)
print(("%s/reference: %d pages; %s/moontorch.d.lua: %d lines"):format(folder, #groups, folder,
  select(2, text:gsub("\n", ""))))
