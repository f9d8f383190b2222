--- Random numbers on GPUs: seeds and states of their default generators.
--
-- A GPU draws with Philox from a seed and an offset, so its numbers are not the CPU's for the same seed, but PyTorch's
-- on a GPU with as many multiprocessors. torch.manual_seed seeds all of them.
-- https://docs.pytorch.org/docs/stable/cuda.html#random-number-generator

local core = require "moontorch.core"

local random = {}

-- The default generator of a device: the current one when left out. `device` may be a number, a string, a torch.device.
local function generator(name, device)
  if math.type(device) == "integer" then device = "cuda:" .. device end
  local ok, found = pcall(core._default_generator, device or "cuda")
  if not ok then core.raise(name, "%s", (tostring(found):gsub("^.-default_generator%(%): ", ""))) end
  if found.device.type ~= "cuda" then core.raise(name, "Expected a cuda device, but got: %s", tostring(device)) end
  return found
end

local function each(fn)
  for index = 0, require("moontorch.cuda").device_count() - 1 do fn(index) end
end

local function check_seed(name, seed)
  if math.type(seed) == "integer" then return end
  core.raise(name, "seed must be an integer, not %s", type(seed))
end

--- Seeds the current device's generator; does nothing where there is no GPU.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.manual_seed.html
function random.manual_seed(seed)
  check_seed("manual_seed", seed)
  if require("moontorch.cuda").is_available() then generator("manual_seed"):manual_seed(seed) end
end

--- Seeds the generators of all devices.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.manual_seed_all.html
function random.manual_seed_all(seed)
  check_seed("manual_seed_all", seed)
  each(function(index) generator("manual_seed_all", index):manual_seed(seed) end)
end

--- Seeds the current device's generator from the system.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.seed.html
function random.seed() generator("seed"):seed() end

--- Seeds the generators of all devices from the system, alike.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.seed_all.html
function random.seed_all()
  local seed
  each(function(index)
    local g = generator("seed_all", index)
    if seed then g:manual_seed(seed) else seed = g:seed() end
  end)
end

--- The seed of the current device's generator.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.initial_seed.html
function random.initial_seed() return generator("initial_seed"):initial_seed() end

--- The state of a device's generator: a uint8 tensor of 16 bytes on the CPU, seed and offset.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.get_rng_state.html
function random.get_rng_state(device) return generator("get_rng_state", device):get_state() end

--- Sets what get_rng_state returned.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.set_rng_state.html
function random.set_rng_state(state, device)
  local g = generator("set_rng_state", device)
  local ok, why = pcall(g.set_state, g, state)
  if not ok then core.raise("set_rng_state", "%s", (tostring(why):gsub("^.-set_%w+%(%): ", ""))) end
end

--- The states of all devices, an array.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.get_rng_state_all.html
function random.get_rng_state_all()
  local states = {}
  each(function(index) states[index + 1] = random.get_rng_state(index) end)
  return states
end

--- Sets the states of all devices from an array.
-- https://docs.pytorch.org/docs/stable/generated/torch.cuda.set_rng_state_all.html
function random.set_rng_state_all(states)
  for index, state in ipairs(states) do random.set_rng_state(state, index - 1) end
end

return random
