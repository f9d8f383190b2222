--- torch.nn.utils.rnn: sequences of several lengths in one tensor, padded or packed.
--
-- A packed sequence holds the elements of all sequences step by step: `data` has those of step 1 first, then those of
-- step 2, longest sequence first; `batch_sizes[t]` says how many sequences reach step t. `sorted_indices` are the
-- positions (from 1) of the sequences before they were sorted by length, `unsorted_indices` lead back. Everything is
-- made of differentiable operators.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local rnn = {}

local function type_text(v)
  return core.is_tensor(v) and v:type() or arguments.type_name(v)
end

--- invert_permutation(permutation): the permutation that undoes it; nil of nil.
function rnn.invert_permutation(permutation)
  if permutation == nil or permutation == core.none then return nil end
  if not core.is_tensor(permutation) then
    core.raise("invert_permutation", "argument 'permutation' (position 1) must be Tensor, not %s",
      type_text(permutation))
  end
  local n = permutation:numel()
  local count = core.arange(1, n + 1, { dtype = permutation.dtype, device = permutation.device })
  return core.zeros_like(permutation):scatter_(1, permutation, count)
end

-- PackedSequence ------------------------------------------------------------------------------------------------------

local PackedSequence = class.root("PackedSequence")
rnn.PackedSequence = PackedSequence

--- PackedSequence(data, batch_sizes, sorted_indices, unsorted_indices), made by the functions below rather than by
-- hand.
function PackedSequence:init(data, batch_sizes, sorted_indices, unsorted_indices)
  if batch_sizes == nil and type(data) == "table" and #data == 2 then data, batch_sizes = data[1], data[2] end
  if not core.is_tensor(data) or not core.is_tensor(batch_sizes) then
    core.raise("PackedSequence", "expected the tensors data and batch_sizes, but got %s and %s", type_text(data),
      type_text(batch_sizes))
  end
  if batch_sizes.is_cuda then
    core.raise("PackedSequence", "batch_sizes should always be on CPU. Instances of PackedSequence should never be "
      .. "created manually. They should be instantiated by functions like pack_sequence and pack_padded_sequences in "
      .. "nn.utils.rnn")
  end
  self.data, self.batch_sizes, self.is_cuda = data, batch_sizes, data.is_cuda
  self.sorted_indices = sorted_indices
  self.unsorted_indices = unsorted_indices or rnn.invert_permutation(sorted_indices)
end

--- The same with its data on another device or of another dtype; itself when nothing changes.
function PackedSequence:to(...)
  local data = self.data:to(...)
  if data == self.data then return self end
  local function follow(t) return t and t:to(data.device) end
  return PackedSequence(data, self.batch_sizes, follow(self.sorted_indices), follow(self.unsorted_indices))
end

for name, dtype in pairs {
  double = "float64", float = "float32", half = "float16", long = "int64", int = "int32", short = "int16",
  char = "int8", byte = "uint8",
} do
  rawset(PackedSequence, name, function(self) return self:to { dtype = core[dtype] } end)
end

--- With its data on a GPU.
function PackedSequence:cuda(device)
  return self:to(device == nil and "cuda" or "cuda:" .. device)
end

--- With its data in main memory.
function PackedSequence:cpu()
  return self:to("cpu")
end

--- With its tensors in pinned memory, from which copies to a GPU need not wait.
function PackedSequence:pin_memory()
  local function pinned(t) return t and t:pin_memory() end
  return PackedSequence(self.data:pin_memory(), self.batch_sizes, pinned(self.sorted_indices),
    pinned(self.unsorted_indices))
end

--- Is its data in pinned memory?
function PackedSequence:is_pinned()
  return self.data:is_pinned()
end

rawset(PackedSequence, "__tostring", function(self)
  return ("PackedSequence(data=%s, batch_sizes=%s, sorted_indices=%s, unsorted_indices=%s)"):format(
    tostring(self.data), tostring(self.batch_sizes), text.repr(self.sorted_indices), text.repr(self.unsorted_indices))
end)

-- Padding -------------------------------------------------------------------------------------------------------------

-- A block of `like`'s dtype: `sizes` filled with the padding value, as an integer where the dtype is one.
local function filler(like, sizes, value)
  if not like:is_floating_point() then value = value >= 0 and math.floor(value) or math.ceil(value) end
  return core.full(sizes, value, { dtype = like.dtype, device = like.device })
end

local function sizes_of(t, from)
  local sizes = {}
  for d = from, t.ndim do sizes[#sizes + 1] = t:size(d) end
  return sizes
end

local function check_sequences(sequences)
  local first
  for i, s in ipairs(sequences) do
    if not core.is_tensor(s) then
      core.raise("pad_sequence", "expected Tensor as element %d in argument 1, but got %s", i, type_text(s))
    end
    if s.ndim == 0 then
      core.raise("pad_sequence", "sequence %d has no dims: a sequence has its steps in dim 1; x:view(1) has one "
        .. "step", i)
    end
    first = first or s
    if s.ndim ~= first.ndim or table.concat(sizes_of(s, 2), " ") ~= table.concat(sizes_of(first, 2), " ") then
      core.raise("pad_sequence", "the sizes of sequences must match but for dim 1, but sequence 1 is %s and "
        .. "sequence %d is %s", text.sizes(first), i, text.sizes(s))
    end
  end
  if first == nil then core.raise("pad_sequence", "received an empty list of sequences") end
  return first
end

local pad_arguments = arguments.signature("pad_sequence", {
  { "sequences", "any" }, { "batch_first", "boolean", false }, { "padding_value", "number", 0.0 },
  { "padding_side", "string", "right" },
})

--- pad_sequence(sequences, batch_first = false, padding_value = 0.0, padding_side = "right" or "left"): an array of
-- tensors of shape [L, …] as one of shape [T, B, …] (batch_first: [B, T, …]), T the longest length.
function rnn.pad_sequence(...)
  local sequences, batch_first, value, side = pad_arguments(...)
  if core.is_tensor(sequences) then sequences = sequences:unbind(1) end
  if type(sequences) ~= "table" then
    core.raise("pad_sequence", "pad_sequence: Expected iterable for input sequences, but got arg of type: %s",
      type_text(sequences))
  end
  if side ~= "left" and side ~= "right" then
    core.raise("pad_sequence", "Expected padding_side to be one of left or right, but got %s", side)
  end
  local first, longest, padded = check_sequences(sequences), 0, {}
  for _, s in ipairs(sequences) do longest = math.max(longest, s:size(1)) end
  for i, s in ipairs(sequences) do
    s = s:to(first.dtype)
    if s:size(1) < longest then
      local rest = filler(first, { longest - s:size(1), table.unpack(sizes_of(s, 2)) }, value)
      s = core.cat(side == "left" and { rest, s } or { s, rest }, 1)
    end
    padded[i] = s
  end
  return core.stack(padded, batch_first and 1 or 2)
end

-- Lengths as an array of integers.
local function length_list(owner, lengths)
  if core.is_tensor(lengths) then
    if lengths.ndim ~= 1 then
      core.raise(owner, "'lengths' argument should be a 1D CPU int64 tensor, but got %dD %s %s", lengths.ndim,
        tostring(lengths.device), lengths:type())
    end
    return lengths:long():tolist()
  end
  if type(lengths) ~= "table" then
    core.raise(owner, "'lengths' argument should be a 1D CPU int64 tensor or an array of integers, but got %s",
      type_text(lengths))
  end
  local list = {}
  for i, n in ipairs(lengths) do
    list[i] = math.tointeger(n)
    if list[i] == nil then core.raise(owner, "length %d must be an integer, not %s", i, type_text(n)) end
  end
  return list
end

local unpad_arguments = arguments.signature("unpad_sequence", {
  { "padded_sequences", "tensor" }, { "lengths", "any" }, { "batch_first", "boolean", false },
})

--- unpad_sequence(padded_sequences, lengths, batch_first = false): the array of sequences that pad_sequence made one.
function rnn.unpad_sequence(...)
  local padded, lengths, batch_first = unpad_arguments(...)
  lengths = length_list("unpad_sequence", lengths)
  if not batch_first then padded = padded:transpose(1, 2) end
  if padded:size(1) ~= #lengths then
    core.raise("unpad_sequence", "Expected `len(lengths)` to be equal to batch_size, but got %d (batch_size=%d)",
      #lengths, padded:size(1))
  end
  local sequences = {}
  for i, n in ipairs(lengths) do
    sequences[i] = padded[i]:narrow(1, 1, math.max(0, math.min(n, padded:size(2)))):clone()
  end
  return sequences
end

-- Packing -------------------------------------------------------------------------------------------------------------

local function check_lengths(lengths, input)
  local name = "pack_padded_sequence"
  if input:numel() == 0 then core.raise(name, "Cannot pack empty tensors.") end
  if #lengths ~= input:size(2) then
    core.raise(name, "Expected `len(lengths)` to be equal to batch_size, but got %d (batch_size=%d)", #lengths,
      input:size(2))
  end
  for i, n in ipairs(lengths) do
    if n <= 0 then
      core.raise(name, "Length of all samples has to be greater than 0, but found an element in 'lengths' that is "
        .. "<= 0: %d, number %d", n, i)
    end
    if n > input:size(1) then
      core.raise(name, "length %d is %d, but the padded sequences have %d steps", i, n, input:size(1))
    end
    if i > 1 and n > lengths[i - 1] then
      core.raise(name, "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
        .. "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do "
        .. "not need ONNX exportability.")
    end
  end
end

local pack_arguments = arguments.signature("pack_padded_sequence", {
  { "input", "tensor" }, { "lengths", "any" }, { "batch_first", "boolean", false },
  { "enforce_sorted", "boolean", true },
})

--- pack_padded_sequence(input, lengths, batch_first = false, enforce_sorted = true): a PackedSequence of a padded
-- tensor of shape [T, B, …]. Lengths (an array or a tensor) must fall, unless enforce_sorted is false.
function rnn.pack_padded_sequence(...)
  local input, lengths, batch_first, enforce_sorted = pack_arguments(...)
  lengths = length_list("pack_padded_sequence", lengths)
  if input.ndim < 2 then
    core.raise("pack_padded_sequence", "Dimension out of range: input must have the dims of steps and sequences, "
      .. "but has shape %s", text.sizes(input))
  end
  if batch_first then input = input:transpose(1, 2) end
  local sorted_indices
  if not enforce_sorted and #lengths == input:size(2) then
    local sorted
    sorted, sorted_indices = core.tensor(lengths, { dtype = core.int64, device = "cpu" }):sort {
      descending = true, stable = true,
    }
    lengths = sorted:tolist()
    sorted_indices = sorted_indices:to(input.device)
    input = input:index_select(2, sorted_indices)
  end
  check_lengths(lengths, input)
  local parts, batch_sizes, done = {}, {}, 0
  for batch = #lengths, 1, -1 do -- the shortest sequence ends first; up to there `batch` sequences go on
    local steps = lengths[batch] - done
    if steps > 0 then
      local block = input:narrow(1, done + 1, steps):narrow(2, 1, batch)
      parts[#parts + 1] = block:reshape({ steps * batch, table.unpack(sizes_of(input, 3)) })
      for _ = 1, steps do batch_sizes[#batch_sizes + 1] = batch end
      done = lengths[batch]
    end
  end
  return PackedSequence(core.cat(parts, 1), core.tensor(batch_sizes, { dtype = core.int64, device = "cpu" }),
    sorted_indices)
end

local unpack_arguments = arguments.signature("pad_packed_sequence", {
  { "sequence", "any" }, { "batch_first", "boolean", false }, { "padding_value", "number", 0.0 },
  { "total_length", "integer?" },
})

local function check_packed(owner, sequence)
  if not class.isinstance(sequence, PackedSequence) then
    core.raise(owner, "argument 'sequence' (position 1) must be a PackedSequence, not %s", type_text(sequence))
  end
  local sizes, sum = sequence.batch_sizes:tolist(), 0
  for t, n in ipairs(sizes) do
    if n < 1 or (t > 1 and n > sizes[t - 1]) then
      core.raise(owner, "batch_sizes must be positive and fall, but step %d has %d", t, n)
    end
    sum = sum + n
  end
  if sum ~= sequence.data:size(1) then
    core.raise(owner, "batch_sizes stand for %d elements, but data has shape %s", sum, text.sizes(sequence.data))
  end
  return sizes
end

-- Steps of the same batch size as one block [steps, batch, …], padded to the whole batch.
local function blocks_of(data, sizes, value)
  local blocks, offset, t = {}, 0, 1
  while t <= #sizes do
    local batch, steps = sizes[t], 1
    while sizes[t + steps] == batch do steps = steps + 1 end
    local rest = sizes_of(data, 2)
    local block = data:narrow(1, offset + 1, steps * batch):reshape({ steps, batch, table.unpack(rest) })
    if batch < sizes[1] then
      block = core.cat({ block, filler(data, { steps, sizes[1] - batch, table.unpack(rest) }, value) }, 2)
    end
    blocks[#blocks + 1] = block
    offset, t = offset + steps * batch, t + steps
  end
  return blocks
end

--- pad_packed_sequence(sequence, batch_first = false, padding_value = 0.0, total_length = nil): the padded tensor of a
-- PackedSequence, and the lengths as an int64 tensor.
function rnn.pad_packed_sequence(...)
  local sequence, batch_first, value, total = unpack_arguments(...)
  local sizes = check_packed("pad_packed_sequence", sequence)
  local data = sequence.data
  if total ~= nil and total < #sizes then
    core.raise("pad_packed_sequence", "Expected total_length to be at least the length of the longest sequence in "
      .. "input, but got total_length=%d and max sequence length being %d", total, #sizes)
  end
  local blocks = blocks_of(data, sizes, value)
  if total ~= nil and total > #sizes then
    blocks[#blocks + 1] = filler(data, { total - #sizes, sizes[1], table.unpack(sizes_of(data, 2)) }, value)
  end
  local padded, lengths = core.cat(blocks, 1), {}
  for i = 1, sizes[1] do
    local n = 0
    for t = 1, #sizes do
      if sizes[t] >= i then n = t end
    end
    lengths[i] = n
  end
  lengths = core.tensor(lengths, { dtype = core.int64, device = "cpu" })
  if sequence.unsorted_indices ~= nil then
    padded = padded:index_select(2, sequence.unsorted_indices)
    lengths = lengths:index_select(1, sequence.unsorted_indices:cpu())
  end
  if batch_first then padded = padded:transpose(1, 2) end
  return padded, lengths
end

local pack_sequence_arguments = arguments.signature("pack_sequence", {
  { "sequences", "list" }, { "enforce_sorted", "boolean", true },
})

--- pack_sequence(sequences, enforce_sorted = true): a PackedSequence of an array of tensors of shape [L, …].
function rnn.pack_sequence(...)
  local sequences, enforce_sorted = pack_sequence_arguments(...)
  local padded, lengths = rnn.pad_sequence(sequences), {}
  for i, s in ipairs(sequences) do lengths[i] = s:size(1) end
  return rnn.pack_padded_sequence(padded, lengths, { enforce_sorted = enforce_sorted })
end

--- unpack_sequence(packed_sequences): the array of tensors that a PackedSequence was made of.
function rnn.unpack_sequence(packed)
  local padded, lengths = rnn.pad_packed_sequence(packed, { batch_first = true })
  return rnn.unpad_sequence(padded, lengths, { batch_first = true })
end

return rnn
