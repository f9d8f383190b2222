--- Tells which module an error happened in.
--
-- The core calls `describe` while it raises an error, when the stack still shows who called whom; nothing is done on
-- the way that succeeds. A class may define `_explain(message, input)`, which gives a sentence about its own settings.
-- Likely mistakes that the core sees in a valid call come here too, and are warned about.

local core = require "moontorch.core"
local walk = require "moontorch.nn.walk"
local drops = require "moontorch.drops"
local arguments = require "moontorch.arguments"

local context = {}

-- Frames looked at: deep recursion of a script should not make its errors slow.
local DEPTH = 400

-- The modules whose methods are running, innermost first, and what the innermost was called with.
local function running_modules()
  local modules, input = {}, nil
  for level = 3, DEPTH do
    if not debug.getinfo(level, "l") then break end
    local name, value = debug.getlocal(level, 1)
    if name == "self" and walk.is_module(value) then
      if value ~= modules[#modules] then modules[#modules + 1] = value end
      if #modules == 1 and input == nil then
        local second, given = debug.getlocal(level, 2)
        if second == nil or second:sub(1, 1) == "(" or not core.is_tensor(given) then
          second, given = debug.getlocal(level, -1)
        end
        if second ~= nil and core.is_tensor(given) then input = given end
      end
    end
  end
  return modules, input
end

--- What to add to an error message: the path and class of the module that was running, or nil.
function context.describe(message)
  local modules, input = running_modules()
  local inner, root = modules[1], modules[#modules]
  if inner == nil then return nil end
  local path = ""
  for _, entry in ipairs(walk.modules(root)) do
    if entry.value == inner then path = entry.name end
  end
  local text = inner._explain and inner:_explain(message, input)
  if text == nil then
    -- A module's own messages start with its class; without a path there is nothing to add.
    if path == "" then return nil end
    text = inner:_get_name()
  end
  return "\n  in " .. (path == "" and "" or path .. ": ") .. text
end

-- What is said of a call that is valid but likely a mistake. Each returns a text, or nil when nothing is wrong.
local notices = {}

function notices.squeeze()
  local modules, input = running_modules()
  local inner = modules[1]
  -- With more samples than one the dim is not that of the batch.
  if inner == nil or (input ~= nil and (input.ndim == 0 or input:size(1) ~= 1)) then return nil end
  return inner:_get_name() .. ": squeeze() without a dim drops dim 1, the batch, when the batch has one sample. Name "
    .. "the dim that is meant, such as x:squeeze(-1)"
end

function notices.softmax()
  return "cross_entropy: its input comes from softmax, but it takes logits and computes log_softmax itself: the "
    .. "softmax of a softmax learns slowly and stops early. Leave the softmax out, or use nll_loss on the output of "
    .. "log_softmax"
end

-- In a model that is in evaluation mode, a part that trains was told to.
local function is_meant(asked)
  local modules = running_modules()
  if #modules == 0 then return asked end
  return not modules[#modules].training
end

function notices.dropout()
  local asked = drops.asked
  drops.asked = false
  if is_meant(asked) then return nil end
  return "dropout() drops values while gradients are off: call eval() before evaluating, or model:predict(x)"
end

function notices.batch_norm()
  if is_meant() then return nil end
  return "batch_norm moves its running statistics while gradients are off: call eval() before evaluating, or "
    .. "model:predict(x)"
end

--- Warns of a likely mistake that the core saw, once for each line of the script.
function context.notice(about, position)
  local text = notices[about]()
  if text then arguments.warn_once(about .. " " .. position, "%s", text) end
end

core._notice_handler(context.notice)

if core._error_context then core._error_context(context.describe) end

return context
