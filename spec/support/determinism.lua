--- Cases whose results must not depend on the number of threads or on the machine, and a digest of what they give.
--
-- A case is {name, make}: make() builds the inputs, the same each time, and gives back run(), which computes the
-- results and their gradients anew each time, an array of tensors; perhaps the digest of a first run too, or nil where
-- there is nothing to run. `small` walks the op table's samples as they are, `enlarged` the same with every dim grown
-- until threads share the work; what is written for its size stands in large_cases.lua.
local torch = require "moontorch"
local samples = require "spec.support.samples"
local operators = require "spec.support.operators"

local determinism = {}

local ELEMENTS <const> = 210000 -- of the largest tensor of an enlarged sample
local MEMORY <const> = 64 << 20 -- that it may take

-- Work that grows faster than the tensors: how much longer a dim may become.
local most_growth = {
  lstm = 30, gru = 30, rnn_tanh = 30, rnn_relu = 30, recurrent = 30, recurrent_back = 30, lstm_cell = 60, gru_cell = 60,
  conv1d = 20, conv2d = 5, conv3d = 3, conv_transpose1d = 20, conv_transpose2d = 5, conv_transpose3d = 3,
  convolution = 20, conv_output = 20, conv_input = 20, conv_weight = 20, svd = 30, combinations = 20, cdist = 20,
  pdist = 100, distances = 100, plane_put = 100,
}

-- Digests ------------------------------------------------------------------------------------------------------------

local words = { [1] = torch.uint8, [2] = torch.int16, [4] = torch.int32, [8] = torch.int64 }

local LENGTH <const> = 1 << 20
local function odd(n) return torch.arange(n) * 0x4a8be9229ecdba3a + 1 end
local weights = odd(LENGTH)

--- A text of the bits of tensors, numbers and booleans: sums of all words with odd weights, modulo 2^64, so any one bit
-- that differs shows.
function determinism.digest(list)
  local parts = {}
  for k = 1, list.n or #list do
    local v = list[k]
    if torch.is_tensor(v) then
      local t = v:detach():contiguous():reshape(-1)
      local bits = (t.dtype == torch.bool and t:to(torch.uint8) or t:view(words[t.dtype.itemsize])):to(torch.int64)
      local n = t:numel()
      local factors = n > LENGTH and odd(n) or weights:narrow(1, 1, n)
      parts[k] = ("%s%s:%x"):format(v.dtype.name, tostring(v.shape), (bits * factors):sum():item())
    else
      parts[k] = math.type(v) == "float" and ("%a"):format(v) or tostring(v)
    end
  end
  return table.concat(parts, " ")
end

--- The digest of one run, or nil and why it failed.
function determinism.try(run)
  local ok, out = pcall(function() return determinism.digest(run()) end)
  if ok then return out end
  return nil, tostring(out)
end

-- The op table -------------------------------------------------------------------------------------------------------

-- Normal and uniform numbers from one supply, as drawing them anew would take most of the time.
local SUPPLY <const> = 1 << 21
local supply, taken = {}, 0

local function numbers_of(kind, shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  if n > SUPPLY then return torch[kind](shape) end
  if not supply[kind] then
    torch.manual_seed(7)
    supply[kind] = torch[kind](SUPPLY)
  end
  if taken + n > SUPPLY then taken = 0 end
  taken = taken + n
  return supply[kind]:narrow(1, taken - n + 1, n):reshape(shape)
end

local function uniform(shape) return numbers_of("rand", shape) end
local function normal(shape) return numbers_of("randn", shape) end

local draw = {
  f = function(shape) return normal(shape):clone() end,
  p = function(shape) return uniform(shape) * 1.5 + 0.5 end,
  u = function(shape) return uniform(shape) * 0.9 + 0.05 end,
  h = function(shape) return uniform(shape) * 2 + 1.2 end,
  g = function(shape) return normal(shape):double() end,
  i = function(shape) return (uniform(shape) * 9):floor():long() - 3 end,
  b = function(shape) return uniform(shape):lt(0.5) end,
}

local function largest(item, so_far)
  if item.kind == "list" then
    for _, part in ipairs(item.items) do so_far = largest(part, so_far) end
  elseif item.kind == "tensor" and #item.shape > 0 then
    local n, grows = 1, 0
    for _, size in ipairs(item.shape) do
      n = n * size
      if size > 1 then grows = grows + 1 end
    end
    if n > 1 and n > so_far.n then so_far = { n = n, grows = grows } end
  end
  return so_far
end

-- An item with every dim of its tensors that is longer than 1 `factor` times as long; with `numbers` also what its
-- lists hold, which may be sizes.
local function grown(item, factor, numbers)
  if item.kind == "value" then return item.value end
  if item.kind == "list" then
    local list = {}
    for k, part in ipairs(item.items) do
      local whole = numbers and part.kind == "value" and math.type(part.value) == "integer" and part.value > 1
      list[k] = whole and part.value * factor or grown(part, factor, numbers)
    end
    return list
  end
  local shape = {}
  for d, size in ipairs(item.shape) do shape[d] = size > 1 and size * factor or size end
  local t = item.letter == "x" and (uniform(shape) * item.limit):floor():long() + 1 or draw[item.letter](shape)
  return item.swapped and samples.swapped(t) or t
end

local function grow(sample, factor, numbers)
  taken = 0
  local args = { n = sample.n, keywords = {} }
  for k = 1, sample.n do args[k] = grown(sample[k], factor, numbers) end
  local names = {}
  for name in pairs(sample.keywords) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do args.keywords[name] = grown(sample.keywords[name], factor, numbers) end
  return args
end

-- What operators.differentiable finds; nothing for an operator that refuses tensors that want gradients.
local function wanted_gradients(form, args)
  local ok, wanted = pcall(operators.differentiable, form, args)
  return ok and wanted or {}
end

-- Results of a call and the gradients of the float tensors that `wanted` names.
local function results(form, args, wanted)
  local given, leaves = operators.with_leaves(args, wanted)
  local out = operators.call(form, given)
  local heads, grads = {}, {}
  if #leaves > 0 then
    taken = 0
    for k = 1, out.n do
      if torch.is_tensor(out[k]) and out[k].requires_grad then
        heads[#heads + 1] = out[k]
        grads[#grads + 1] = normal(out[k].shape):to(out[k].dtype)
      end
    end
  end
  if #heads > 0 then
    local got = table.pack(torch.autograd.grad(heads, leaves,
      { grad_outputs = grads, allow_unused = true, materialize_grads = true }))
    for k = 1, got.n do out[out.n + k] = got[k] end
    out.n = out.n + got.n
  end
  return out
end

--- Every sample of the op table in every float dtype. What a dtype has no kernel for has no run.
function determinism.small()
  local list = {}
  for _, op in ipairs(operators.all()) do
    if not operators.unwritten[op.name] then
      local form = operators.pure(op)
      for _, sample in ipairs(op.cases) do
        for _, dtype in ipairs { torch.float32, torch.float64, torch.float16, torch.bfloat16 } do
          list[#list + 1] = { name = ("%s of %s in %s"):format(op.label, sample.text, dtype.name), make = function()
            local args = samples.build(sample, op.name, dtype)
            local wanted = wanted_gradients(form, args)
            return function() return results(form, args, wanted) end
          end }
        end
      end
    end
  end
  return list
end

local function too_much(why) return why:find("out of memory", 1, true) ~= nil end

-- The largest run of a sample that fits into memory; nil where sizes do not fit each other once they have grown. Memory
-- is capped, for an enlarged result may be of any size.
local function enlarged_run(op, form, sample)
  local most = { n = 1, grows = 1 }
  for k = 1, sample.n do most = largest(sample[k], most) end
  if most.n == 1 then return nil end
  local factor = math.min(math.ceil((ELEMENTS / most.n) ^ (1 / most.grows)), most_growth[op.name] or ELEMENTS)
  local wanted = wanted_gradients(form, samples.build(sample, op.name))
  collectgarbage() -- so that what is free does not depend on when garbage was collected last
  local before = torch.memory()
  local _ <close> = setmetatable({}, { __close = function() torch.set_memory_cap(before.cap) end })
  torch.set_memory_cap(before.in_use + MEMORY)
  while factor > 1 do
    local again = false
    for _, numbers in ipairs { false, true } do
      local ok, args = pcall(grow, sample, factor, numbers)
      local function run() return results(form, args, wanted) end
      local digest, why = nil, args
      if ok then digest, why = determinism.try(run) end
      if digest then return run, digest end
      again = again or too_much(why)
    end
    if not again then return nil end
    factor = factor // 8
  end
end

--- The first samples of each operator that can be enlarged, at most so many (2).
function determinism.enlarged(most)
  local list = {}
  for _, op in ipairs(operators.all()) do
    if not operators.unwritten[op.name] then
      local form, found = operators.pure(op), 0
      for _, sample in ipairs(op.cases) do
        list[#list + 1] = { name = ("%s of %s"):format(op.label, sample.text), make = function()
          if found == (most or 2) then return nil end
          local run, digest = enlarged_run(op, form, sample)
          if run then found = found + 1 end
          return run, digest
        end }
      end
    end
  end
  return list
end

--- Calls written for their size.
function determinism.large() return require "spec.support.large_cases" end

--- What each case of a set gives: names, in order, and digest by name; cases without a run are left out. With `again`,
-- a function (name, run, digest) that is called for each besides. most: enlarged samples of an operator.
function determinism.walk(set, again, most)
  local names, digests = {}, {}
  for _, case in ipairs(determinism[set](most)) do
    local run, digest = case.make()
    if run and not digest then digest = determinism.try(run) end
    if digest then
      names[#names + 1] = case.name
      digests[case.name] = digest
      if again then again(case.name, run, digest) end
    end
  end
  return names, digests
end

--- The program of another process: prints the digests of all sets, each after its name and a tab.
function determinism.print()
  for _, set in ipairs { "small", "enlarged", "large" } do
    local names, digests = determinism.walk(set, nil, 1)
    for _, name in ipairs(names) do print(("%s: %s\t%s"):format(set, name, digests[name])) end
  end
end

return determinism
