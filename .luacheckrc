std = "lua54"
max_line_length = 120
-- Methods that take self and callbacks that take more than they use are no mistakes.
self = false
unused_args = false
files["spec"] = { std = "+busted" }
-- It replaces coroutine.create, so that hooks reach coroutines.
files["spec/support/gcstress.lua"] = { globals = { "coroutine" } }
