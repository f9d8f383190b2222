--- Mistakes that newcomers make, a test for each that starts with its number: by topic in the folder pitfalls. What is
-- no mistake must stay silent: correct_programs_spec.lua.
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."

for _, topic in ipairs { "losses", "layers", "autograd", "data", "tensors", "device" } do
  assert(loadfile(("%s/pitfalls/%s.lua"):format(here, topic), "t", _ENV))() -- _ENV has describe and it
end
