--- torch.utils.data: datasets, samplers, DataLoader.
--
--     local loader = data.DataLoader(data.TensorDataset(x, y), {batch_size = 64, shuffle = true})
--     for x, y in loader do … end                -- a batch's parts as several values
--     for i, batch in pairs(loader) do … end     -- numbered, the parts in an array
--
-- `#loader` is the number of batches. Every loop is a new epoch with a new order; orders are PyTorch's for the same
-- seed. `loader()` gives an iterator of its own, for loops over the same loader that are inside one another.

local core = require "moontorch.core"
local collate = require "moontorch.utils.collate"

local data = { default_collate = collate.default_collate, default_convert = collate.default_convert }

for _, name in ipairs { "dataset", "sampler", "loader" } do
  for key, value in pairs(require("moontorch.utils." .. name)) do
    if key:find("^%u") or key == "random_split" then data[key] = value end
  end
end

--- Inside a worker: a table with its `id` (from 1), `num_workers`, `seed` and `dataset` (its copy); elsewhere nil.
function data.get_worker_info()
  return core._worker_info
end

return data
