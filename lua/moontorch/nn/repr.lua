--- The text of modules, as PyTorch's repr, with positions counted from 1.

local Module = require "moontorch.nn.module"
local walk = require "moontorch.nn.walk"
local text = require "moontorch.text"

local repr = {}

-- Modules whose text is being made: one that holds itself is named instead of being followed.
local active = {}

--- The text of `module` built from extra_repr() and `lines` (the children's, already made).
function repr.assemble(module, lines)
  local extra = module:extra_repr()
  local all = {}
  if extra ~= "" then
    for line in (extra .. "\n"):gmatch("(.-)\n") do all[#all + 1] = line end
  end
  local name = module:_get_name()
  if #lines == 0 and #all <= 1 then return name .. "(" .. (all[1] or "") .. ")" end
  for _, line in ipairs(lines) do all[#all + 1] = line end
  return name .. "(\n  " .. table.concat(all, "\n  ") .. "\n)"
end

function repr.child_lines(module)
  local lines = {}
  for _, child in ipairs(walk.own(module).children) do
    lines[#lines + 1] = "(" .. child.name .. "): " .. text.indent(tostring(child.value))
  end
  return lines
end

--- What stands between the brackets of a module's text; classes override it.
function Module:extra_repr()
  return ""
end

rawset(Module, "__tostring", function(self)
  if active[self] then return self:_get_name() .. "(...)" end
  active[self] = true
  local _ <close> = setmetatable({}, { __close = function() active[self] = nil end })
  return (repr.assemble(self, repr.child_lines(self)))
end)

return repr
