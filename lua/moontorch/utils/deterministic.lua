--- torch.utils.deterministic: what torch.use_deterministic_algorithms(true) does besides.
--
-- fill_uninitialized_memory (true unless set): while the mode is on, torch.empty, empty_like, new_empty, empty_strided
-- and what resize_ adds hold NaN, the largest integer or true. It costs one pass over memory that will be written
-- anyway. Source: https://pytorch.org/docs/stable/deterministic.html

local core = require "moontorch.core"

local FILL <const> = "fill_uninitialized_memory"

return setmetatable({}, {
  __name = "torch.utils.deterministic",
  __index = function(_, key)
    if key == FILL then return (select(3, core._deterministic())) end
  end,
  __newindex = function(_, key, value)
    if key ~= FILL then
      core.raise("torch.utils.deterministic", "no setting is called '%s'; there is %s", tostring(key), FILL)
    end
    if type(value) ~= "boolean" then
      core.raise("torch.utils.deterministic", "expected a bool, but got %s for %s", type(value), FILL)
    end
    core._deterministic(nil, nil, value)
  end,
})
