--- What a DataLoader's worker does, in a Lua state and a thread of its own.
--
-- It gets a copy of the dataset and of the functions, fetches batch after batch in the order in which they are asked
-- for, and sends each back with its number. An error is sent as text, with its traceback, in the batch's place.
-- os.exit ends the worker, not the process, and the loop is told.

local core = require "moontorch.core"
local fetch = require "moontorch.utils.fetch"
local arguments = require "moontorch.arguments"

local STOPPED = {}

-- Why the worker ends, once os.exit has been called.
local exited

local function exit(code)
  if code == nil or code == true then code = 0 elseif code == false then code = 1 end
  exited = debug.traceback(("exit code %s: it called os.exit"):format(tostring(code)), 2)
  error(STOPPED, 0)
end

-- An error value in words; one of its own may fail to be put into them.
local function words(message)
  if type(message) == "string" or type(message) == "number" then return tostring(message) end
  local meta = getmetatable(message)
  if type(meta) == "table" and meta.__tostring then
    local good, text = pcall(tostring, message)
    if good then return text end
  end
  return ("(error object is a %s value)"):format(type(message))
end

-- A stack that has overflowed is a list of a million entries, along which debug.traceback would go many times.
local DEEP, SHOWN = 2000, 12

-- `message` with a traceback from `level` on.
local function traced(message, level)
  if not debug.getinfo(DEEP, "l") then return debug.traceback(message, level + 1) end
  local lines = { message, "stack traceback:" }
  for i = level, level + SHOWN do
    local at = debug.getinfo(i, "Sl")
    local source = at.short_src
    lines[#lines + 1] = ("\t%s:%d: in function <%s:%d>"):format(source, at.currentline, source, at.linedefined)
  end
  lines[#lines + 1] = "\t..."
  return table.concat(lines, "\n")
end

local function describe(message)
  if message == STOPPED then return STOPPED end
  message = words(message)
  local name = message:match("global '([%a_][%w_]*)'")
  if name and _G[name] == nil then
    message = message .. " (the globals of the program do not exist in a worker: make '" .. name .. "' local, or "
      .. "require it where it is used)"
  end
  return traced(message, 2)
end

-- Makes the dataset, runs worker_init_fn; returns a function that makes the fetcher of an epoch.
local function prepare(port, setup)
  for name, module in pairs(setup.globals) do _G[name] = module end
  core.set_default_dtype(setup.default_dtype)
  core.manual_seed(setup.seed)
  math.randomseed(setup.seed)
  rawset(os, "exit", exit)
  local dataset = fetch.dataset(setup.dataset, arguments.type_name(setup.dataset))
  core._worker_info = { id = setup.id, num_workers = setup.count, seed = setup.seed, dataset = dataset }
  if setup.worker_init_fn then setup.worker_init_fn(setup.id) end
  setup.options.collate_fn = setup.collate_fn
  setup.options.pause = function()
    if port.stopped() then error(STOPPED, 0) end
  end
  return function() return fetch.fetcher(core._worker_info.dataset, setup.options) end
end

-- Which sample, or which samples, the fetcher was at.
local function place(state)
  if state.sample then return (" at sample %s"):format(tostring(state.sample)) end
  if not state.samples then return nil end
  local n = #state.samples
  local list = table.concat(state.samples, ", ", 1, math.min(n, 10))
  return (" collating sample%s %s%s"):format(n == 1 and "" or "s", list, n > 10 and ", ..." or "")
end

-- The answer to a task: what the fetcher returned, an error, or that the stream has ended.
local function answer(fetcher, state, task)
  local result = table.pack(xpcall(fetcher, describe, task.item))
  local reply = { epoch = task.epoch, index = task.index }
  if not result[1] then
    reply.error, reply.at = result[2], place(state)
  elseif task.item == true and result[2] == nil then
    reply.ended = true
  else
    reply.n, reply.values = result.n - 1, table.move(result, 2, result.n, 1, {})
  end
  return reply
end

return function(port, setup)
  local ready, new_fetcher = xpcall(prepare, describe, port, setup)
  local epoch, fetcher, state, ended
  while true do
    local good, task = port.receive()
    if not good then return end
    if exited then error(exited, 0) end
    if not ready then
      port.send({ epoch = task.epoch, index = task.index, error = new_fetcher }, "an error")
    else
      if task.epoch ~= epoch then epoch, fetcher, ended = task.epoch, nil, false end
      local reply
      if not ended then
        local made, first, second = true, fetcher, state
        if not fetcher then made, first, second = xpcall(new_fetcher, describe) end
        if made then
          fetcher, state = first, second
          reply = answer(fetcher, state, task)
        else
          reply = { epoch = epoch, index = task.index, error = first }
        end
        if exited then error(exited, 0) end
        if reply.error == STOPPED then return end
        ended = reply.ended
        -- What cannot be sent is an error of this batch, not the end of the worker.
        local sent, reason = pcall(port.send, reply, "batch")
        if not sent then
          port.send({ epoch = epoch, index = task.index, error = words(reason), at = reply.at or place(state) },
            "an error")
        end
      end
    end
  end
end
