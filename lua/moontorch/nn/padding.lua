--- Padding layers: a mode of nn.functional.pad for 1, 2 or 3 spatial dims, `padding` on each side as one number or
-- (left, right, top, bottom, front, back).

local core = require "moontorch.core"
local declare = require "moontorch.nn.declare"
local F = require "moontorch.nn.functional"
local text = require "moontorch.text"

local padding = {}

for _, row in ipairs {
  { "ReflectionPad", "reflect" }, { "ReplicationPad", "replicate" }, { "CircularPad", "circular" },
  { "ZeroPad", "constant" }, { "ConstantPad", "constant" },
} do
  local mode, constant = row[2], row[1] == "ConstantPad"
  for n = 1, 3 do
    local name = ("%s%dd"):format(row[1], n)
    local parameters = { { "padding", "any" } }
    if constant then parameters[2] = { "value", "number" } end
    padding[name] = declare.layer(name, parameters, {
      text = constant and "padding={padding}, value={value}" or "{padding}",
      setup = function(self)
        if type(self.padding) == "table" and #self.padding % 2 ~= 0 then
          core.raise(name, "Padding length must be divisible by 2: a number for each side, but got %s",
            text.repr(self.padding))
        end
        self.padding = declare.each(name, "padding", self.padding, 2 * n)
      end,
      forward = function(self, input)
        if mode == "constant" then return (F.pad(input, self.padding, mode, self.value or 0)) end
        return (F.pad(input, self.padding, mode))
      end,
    })
  end
end

return padding
