--- Embedding and EmbeddingBag: tables of vectors looked up by index. Indices and padding_idx count from 1.

local core = require "moontorch.core"
local declare = require "moontorch.nn.declare"
local F = require "moontorch.nn.functional"
local init = require "moontorch.nn.initializers"
local text = require "moontorch.text"
local arguments = require "moontorch.arguments"

local sparse = {}

local none = core.none

-- Checks padding_idx, and makes the table or takes the one given.
local function setup(self, device, dtype)
  local name, rows, given = self:_get_name(), self.num_embeddings, self._weight
  local row = self.padding_idx
  if row ~= nil then
    if row == 0 or row > rows or row < -rows then
      core.raise(name, "%sadding_idx must be within num_embeddings: got %d for %d rows, and positions count from 1",
        name == "Embedding" and "P" or "p", row, rows)
    end
    if row < 0 then self.padding_idx = rows + 1 + row end
  end
  local trained = not self._freeze
  rawset(self, "_weight", nil)
  rawset(self, "_freeze", nil)
  if given == nil then
    self.weight = declare.parameter({ rows, self.embedding_dim }, device, dtype)
    self:reset_parameters()
    self.weight.requires_grad = trained
    return
  end
  if given.ndim ~= 2 or given:size(1) ~= rows or given:size(2) ~= self.embedding_dim then
    core.raise(name, "Shape of weight does not match num_embeddings and embedding_dim: %s is not [%d, %d]",
      text.sizes(given), rows, self.embedding_dim)
  end
  self.weight = core.parameter(given, trained)
end

-- Normal start values, zeros in the row of padding.
local function reset_parameters(self)
  init.normal_(self.weight)
  if self.padding_idx ~= nil then
    core.no_grad(function() self.weight[self.padding_idx]:fill_(0) end)
  end
end

local function explain(self, _, input)
  if input == nil then return nil end
  return ("%s(%d, %d) got %s"):format(self:_get_name(), self.num_embeddings, self.embedding_dim, text.sizes(input))
end

local function settings(self, list)
  local parts = { declare.fill("{num_embeddings}, {embedding_dim}", self) }
  for _, entry in ipairs(list) do
    local key, default = entry[1], entry[2]
    if self[key] ~= default then parts[#parts + 1] = key .. "=" .. text.repr(self[key]) end
  end
  return table.concat(parts, ", ")
end

-- Called as a function of the class, as in PyTorch: the parameters after `freeze`, with the table's own sizes.
local function from_pretrained(name, parameters)
  local list = { { "embeddings", "tensor" }, { "freeze", "boolean", true } }
  for _, entry in ipairs(parameters) do list[#list + 1] = entry end
  local resolve = arguments.signature(name .. ".from_pretrained", list)
  return function(...)
    local values = { resolve(...) }
    local table_, freeze = values[1], values[2]
    if table_.ndim ~= 2 then
      core.raise(name .. ".from_pretrained", "Embeddings parameter is expected to be 2-dimensional, but has shape %s",
        text.sizes(table_))
    end
    local keywords = {
      num_embeddings = table_:size(1), embedding_dim = table_:size(2), _weight = table_, _freeze = freeze,
    }
    for i = 3, #list do keywords[list[i][1]] = values[i] end
    return sparse[name](keywords)
  end
end

local max_norm, norm_type = { "max_norm", "number?" }, { "norm_type", "number", 2.0 }
local by_freq, is_sparse = { "scale_grad_by_freq", "boolean", false }, { "sparse", "boolean", false }
local padding_idx = { "padding_idx", "integer?" }
local sizes = { { "num_embeddings", "integer" }, { "embedding_dim", "integer" } }
local given, freeze = { "_weight", "tensor?" }, { "_freeze", "boolean", false }
local device, dtype = { "device", "any?" }, { "dtype", "any?" }

--- Embedding(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse): the row of
-- the table for each index from 1. The row padding_idx is zero and gets no gradient. Rows start normal.
-- Embedding.from_pretrained(table, freeze = true, …) takes a table that is there.
sparse.Embedding = declare.layer("Embedding", {
  sizes[1], sizes[2], padding_idx, max_norm, norm_type, by_freq, is_sparse, given, freeze, device, dtype,
}, {
  setup = setup,
  text = function(self)
    return settings(self, {
      { "padding_idx" }, { "max_norm" }, { "norm_type", 2.0 }, { "scale_grad_by_freq", false }, { "sparse", false },
    })
  end,
  forward = function(self, input)
    return (F.embedding(input, self.weight, self.padding_idx or none, self.max_norm or none, self.norm_type,
      self.scale_grad_by_freq, self.sparse))
  end,
})

sparse.Embedding.from_pretrained = from_pretrained("Embedding", {
  padding_idx, max_norm, norm_type, by_freq, is_sparse,
})

--- EmbeddingBag(num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, mode = "mean", sparse,
-- include_last_offset, padding_idx): the mean, sum or max of the rows of each bag. Called with indices (B, N), or with
-- indices in one row and the offsets (from 0) where bags begin; per_sample_weights go with mode "sum".
sparse.EmbeddingBag = declare.layer("EmbeddingBag", {
  sizes[1], sizes[2], max_norm, norm_type, by_freq, { "mode", "string", "mean" }, is_sparse, given,
  { "include_last_offset", "boolean", false }, padding_idx, device, dtype, freeze,
}, {
  setup = setup,
  text = function(self)
    return settings(self, {
      { "max_norm" }, { "norm_type", 2.0 }, { "scale_grad_by_freq", false }, { "mode" }, { "padding_idx" },
    })
  end,
  forward = function(self, input, offsets, per_sample_weights)
    if arguments.is_keywords(offsets) then
      offsets, per_sample_weights = offsets.offsets, offsets.per_sample_weights
    elseif arguments.is_keywords(per_sample_weights) then
      per_sample_weights = per_sample_weights.per_sample_weights
    end
    return (F.embedding_bag(input, self.weight, offsets or none, self.max_norm or none, self.norm_type,
      self.scale_grad_by_freq, self.mode, self.sparse, per_sample_weights or none, self.include_last_offset,
      self.padding_idx or none))
  end,
})

sparse.EmbeddingBag.from_pretrained = from_pretrained("EmbeddingBag", {
  max_norm, norm_type, by_freq, { "mode", "string", "mean" }, is_sparse, { "include_last_offset", "boolean", false },
  padding_idx,
})

for _, name in ipairs { "Embedding", "EmbeddingBag" } do
  sparse[name].reset_parameters, sparse[name]._explain = reset_parameters, explain
end

return sparse
