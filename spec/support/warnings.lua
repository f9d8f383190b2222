--- A hook around what the library warns of: returns the texts that `fn` causes. The library says every warning through
-- torch.warn, which hands it to Lua's own `warn`; an error in `fn` goes on after the hook is taken away.
local torch = require "moontorch"

return function(fn, ...)
  local said, original = {}, torch.warn
  torch.warn = function(text) said[#said + 1] = text end
  local ok, message = pcall(fn, ...)
  torch.warn = original
  if not ok then error(message, 0) end
  return said
end
