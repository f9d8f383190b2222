--- The workers of a DataLoader, from the side of the loop: who loads which batch, and in which order they arrive.
--
-- Batch i goes to the workers in turn, as in PyTorch, and each answers in order, so the next batch is the next answer
-- of the worker that has it. At most prefetch_factor * num_workers batches are asked for and not yet taken.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local crew = {}

local Crew = {}
Crew.__index = Crew

-- Globals that hold parts of the library: scripts say `torch = require "moontorch"`.
local function library_globals()
  local ours, found = {}, {}
  for name, module in pairs(package.loaded) do
    if type(name) == "string" and type(module) == "table" and name:find("^moontorch") then ours[module] = true end
  end
  for name, value in next, _G do
    if type(name) == "string" and type(value) == "table" and ours[value] then found[name] = value end
  end
  return found
end

-- Starts the workers; nil when threads cannot be made.
local function start(loader, seed, options)
  local self = setmetatable({ workers = {}, number = 0, timeout = loader.timeout }, Crew)
  local globals = library_globals()
  for i = 1, loader.num_workers do
    local worker = core._worker_start {
      dataset = loader.given, options = options, collate_fn = rawget(loader, "collate_fn"),
      worker_init_fn = loader.worker_init_fn, id = i, count = loader.num_workers, seed = seed + i - 1,
      globals = globals, default_dtype = core.get_default_dtype(),
    }
    if worker == nil then
      self:close()
      arguments.warn_once("DataLoader workers", "DataLoader: worker %d of %d cannot be started, as the system gives no "
        .. "thread; the data is loaded in the calling thread", i, loader.num_workers)
      return nil
    end
    self.workers[i] = worker
  end
  return self
end

--- Ends the threads: all are asked first, so that they end side by side.
function Crew:close()
  for _, worker in ipairs(self.workers) do worker:stop() end
  for _, worker in ipairs(self.workers) do worker:close() end
  self.workers, self.number = {}, self.number + 1
end

-- The next answer of worker `w` in epoch `number`.
function Crew:receive(w, number)
  while true do
    local good, message = self.workers[w]:receive(self.timeout)
    if not good then
      if message == "timeout" then
        self.workers[w]:stop(true)
        core.raise("DataLoader", "DataLoader timed out after %g seconds: worker %d has not finished its batch",
          self.timeout, w)
      end
      core.raise("DataLoader", "DataLoader worker %d exited unexpectedly: %s", w, message)
    end
    if type(message) == "string" then
      warn(message)
    elseif message.epoch == number then
      return message
    end
  end
end

--- An epoch: a function that gives the next batch, and one that ends it early; nil when there can be no threads.
function crew.epoch(loader, seed, next_item, options)
  local self = loader.crew or start(loader, seed, options)
  if self == nil then return nil end
  local persistent = loader.persistent_workers
  if persistent then loader.crew = self end
  self.number = self.number + 1
  local number, count = self.number, #self.workers
  local alive, owner, sent, taken, turn = {}, {}, 0, 0, 0
  for w = 1, count do alive[w] = true end

  local function finish()
    if self.number ~= number then return end
    if not persistent then self:close() else self.number = number + 1 end
  end

  local function put()
    local w
    for _ = 1, count do
      turn = turn % count + 1
      if alive[turn] then w = turn break end
    end
    if not w then return false end
    local item = next_item()
    if item == nil then return false end
    sent = sent + 1
    owner[sent] = w
    self.workers[w]:send({ epoch = number, index = sent, item = item }, "what the sampler gave")
    return true
  end

  local function following()
    while true do
      while taken < sent and not alive[owner[taken + 1]] do
        taken = taken + 1
        owner[taken] = nil
      end
      if taken == sent then return nil end
      local w = owner[taken + 1]
      local reply = self:receive(w, number)
      taken = taken + 1
      owner[taken] = nil
      if reply.error then
        core.raise("DataLoader", "Caught an error in DataLoader worker %d%s.\n%s", w, reply.at or "", reply.error)
      end
      if reply.ended then alive[w] = false end
      put()
      if not reply.ended then return reply end
    end
  end

  local function guarded(f)
    local good, result = pcall(f)
    if good then return result end
    finish()
    error(result, 0)
  end

  guarded(function()
    for _ = 1, loader.prefetch_factor * count do
      if not put() then break end
    end
  end)
  local over = false
  return function()
    if over then return nil end
    if self.number ~= number then
      core.raise("DataLoader", "this loop has ended: the loader was closed, or another loop over its persistent "
        .. "workers has begun")
    end
    local reply = guarded(following)
    if reply == nil then
      over = true
      finish()
      return nil
    end
    return table.unpack(reply.values, 1, reply.n)
  end, finish
end

return crew
