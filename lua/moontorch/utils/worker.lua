--- What a DataLoader's worker does, in a Lua state and a thread of its own.
--
-- It gets a copy of the dataset and of the functions, fetches batch after batch in the order in which they are asked
-- for, and sends each back with its number. An error is sent as text, with its traceback, in the batch's place.

local core = require "moontorch.core"
local fetch = require "moontorch.utils.fetch"
local arguments = require "moontorch.arguments"

local STOPPED = {}

local function describe(message)
  if message == STOPPED then return STOPPED end
  message = tostring(message)
  local name = message:match("global '([%a_][%w_]*)'")
  if name and _G[name] == nil then
    message = message .. " (the globals of the program do not exist in a worker: make '" .. name .. "' local, or "
      .. "require it where it is used)"
  end
  return debug.traceback(message, 2)
end

-- Makes the dataset, runs worker_init_fn; returns a function that makes the fetcher of an epoch.
local function prepare(port, setup)
  for name, module in pairs(setup.globals) do _G[name] = module end
  core.set_default_dtype(setup.default_dtype)
  core.manual_seed(setup.seed)
  math.randomseed(setup.seed)
  local dataset = fetch.dataset(setup.dataset, arguments.type_name(setup.dataset))
  core._worker_info = { id = setup.id, num_workers = setup.count, seed = setup.seed, dataset = dataset }
  if setup.worker_init_fn then setup.worker_init_fn(setup.id) end
  setup.options.collate_fn = setup.collate_fn
  setup.options.pause = function()
    if port.stopped() then error(STOPPED, 0) end
  end
  return function() return fetch.fetcher(core._worker_info.dataset, setup.options) end
end

-- The answer to a task: what the fetcher returned, an error, or that the stream has ended.
local function answer(fetcher, task)
  local result = table.pack(xpcall(fetcher, describe, task.item))
  local reply = { epoch = task.epoch, index = task.index }
  if not result[1] then
    reply.error = result[2]
  elseif task.item == true and result[2] == nil then
    reply.ended = true
  else
    reply.n, reply.values = result.n - 1, table.move(result, 2, result.n, 1, {})
  end
  return reply
end

return function(port, setup)
  local ready, new_fetcher = xpcall(prepare, describe, port, setup)
  local epoch, fetcher, ended
  while true do
    local good, task = port.receive()
    if not good then return end
    if not ready then
      port.send({ epoch = task.epoch, index = task.index, error = new_fetcher }, "an error")
    else
      if task.epoch ~= epoch then epoch, fetcher, ended = task.epoch, nil, false end
      local reply
      if not ended then
        local made, message = true, nil
        if not fetcher then made, message = xpcall(new_fetcher, describe) end
        if made then
          fetcher = fetcher or message
          reply = answer(fetcher, task)
        else
          reply = { epoch = epoch, index = task.index, error = message }
        end
        if reply.error == STOPPED then return end
        ended = reply.ended
        -- What cannot be sent is an error of this batch, not the end of the worker.
        local sent, reason = pcall(port.send, reply, "batch")
        if not sent then port.send({ epoch = epoch, index = task.index, error = reason }, "an error") end
      end
    end
  end
end
