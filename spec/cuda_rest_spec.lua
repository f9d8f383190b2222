--- The operators that cuda_spec.lua leaves to another process.
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."

assert(loadfile(here .. "/cuda_spec.lua", "t", _ENV))("rest") -- _ENV has describe and it
