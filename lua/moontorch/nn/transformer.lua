--- Transformer, its encoder and decoder, and their layers (Vaswani et al. 2017).
--
-- A stack holds deep copies of one layer, so that all its layers start from the same values; Transformer draws the
-- matrices of all of them anew. Bool masks are true where nothing may be attended to.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local F = require "moontorch.nn.functional"
local init = require "moontorch.nn.initializers"
local layers = require "moontorch.nn.layers"
local norms = require "moontorch.nn.norm"
local containers = require "moontorch.nn.containers"
local attention = require "moontorch.nn.attention"
local masks = require "moontorch.nn.functional_attention"
local arguments = require "moontorch.arguments"

local transformer = {}

local signature, deepcopy = arguments.signature, require("moontorch.nn.copy").deepcopy

local function clones(layer, count)
  local list = {}
  for i = 1, count do list[i] = deepcopy(layer) end
  return containers.ModuleList(list)
end

local function activation_of(owner, activation)
  -- an empty table in the place of the activation holds no keywords
  local is_empty = type(activation) == "table" and getmetatable(activation) == nil and next(activation) == nil
  if activation == nil or is_empty or activation == "relu" then return F.relu end
  if activation == "gelu" then return F.gelu end
  if type(activation) == "string" then
    core.raise(owner, "activation should be relu/gelu, not %s", activation)
  elseif type(activation) ~= "function" and not (getmetatable(activation) or {}).__call then
    core.raise(owner, "activation should be relu/gelu or a function, not %s", arguments.type_name(activation))
  end
  return activation
end

-- Is it one of the two activations that PyTorch has fused layers for?
local function is_plain(activation)
  if activation == F.relu or activation == F.gelu then return true end
  local name = type(activation) == "table" and (getmetatable(activation) or {}).__name
  return name == "ReLU" or name == "GELU"
end

local LAYER = {
  { "d_model", "integer" }, { "nhead", "integer" }, { "dim_feedforward", "integer", 2048 },
  { "dropout", "number", 0.1 }, { "activation", "any?" }, { "layer_norm_eps", "number", 1e-5 },
  { "batch_first", "boolean", false }, { "norm_first", "boolean", false }, { "bias", "boolean", true },
  { "device", "any?" }, { "dtype", "any?" },
}

-- Encoder layer -------------------------------------------------------------------------------------------------------

-- The settings of a layer by name.
local function settings(resolve, ...)
  local values, s = table.pack(resolve(...)), {}
  for i, parameter in ipairs(LAYER) do s[parameter[1]] = values[i] end
  return s
end

local function new_attention(s)
  return attention.MultiheadAttention(s.d_model, s.nhead, {
    dropout = s.dropout, bias = s.bias, batch_first = s.batch_first, device = s.device, dtype = s.dtype,
  })
end

local function new_norm(s)
  return norms.LayerNorm(s.d_model, {
    eps = s.layer_norm_eps, bias = s.bias, device = s.device, dtype = s.dtype,
  })
end

-- Everything but attention: two linear layers, norms 1 … count and their dropouts, in PyTorch's order.
local function add_rest(self, s, count)
  local options = { bias = s.bias, device = s.device, dtype = s.dtype }
  self.linear1 = layers.Linear(s.d_model, s.dim_feedforward, options)
  self.dropout = layers.Dropout(s.dropout)
  self.linear2 = layers.Linear(s.dim_feedforward, s.d_model, options)
  self.norm_first = s.norm_first
  for i = 1, count do self["norm" .. i] = new_norm(s) end
  for i = 1, count do self["dropout" .. i] = layers.Dropout(s.dropout) end
  self.activation = activation_of(self:_get_name(), s.activation)
end

local function feed_forward(self, x)
  return self.linear2(self.dropout((self.activation(self.linear1(x)))))
end

local function attend(module, x, memory, mask, padding, is_causal)
  return (module(x, memory, memory, {
    attn_mask = mask, key_padding_mask = padding, need_weights = false, is_causal = is_causal,
  }))
end

--- TransformerEncoderLayer(d_model, nhead, dim_feedforward = 2048, dropout = 0.1, activation = relu, layer_norm_eps =
-- 1e-5, batch_first = false, norm_first = false, bias = true, device, dtype): self-attention and a feedforward network,
-- each with a residual connection and a norm. activation: "relu", "gelu" or a function.
local TransformerEncoderLayer = class.extend("TransformerEncoderLayer", Module)

local encoder_layer_arguments = signature("TransformerEncoderLayer", LAYER)

function TransformerEncoderLayer:init(...)
  local s = settings(encoder_layer_arguments, ...)
  self.self_attn = new_attention(s)
  add_rest(self, s, 2)
end

local encoder_layer_forward = signature("TransformerEncoderLayer", {
  { "src", "tensor" }, { "src_mask", "tensor?" }, { "src_key_padding_mask", "tensor?" },
  { "is_causal", "boolean", false },
})

function TransformerEncoderLayer:forward(...)
  local src, mask, padding, is_causal = encoder_layer_forward(...)
  padding = masks.canonical_mask("TransformerEncoderLayer", padding, "src_key_padding_mask", mask, "src_mask",
    src.dtype)
  mask = masks.canonical_mask("TransformerEncoderLayer", mask, "src_mask", nil, "", src.dtype)
  local function attended(x) return self.dropout1(attend(self.self_attn, x, x, mask, padding, is_causal)) end
  local function forwarded(x) return self.dropout2(feed_forward(self, x)) end
  if self.norm_first then
    local x = src + attended(self.norm1(src))
    return x + forwarded(self.norm2(x))
  end
  local x = self.norm1(src + attended(src))
  return self.norm2(x + forwarded(x))
end

-- Decoder layer -------------------------------------------------------------------------------------------------------

--- TransformerDecoderLayer(d_model, nhead, dim_feedforward = 2048, dropout = 0.1, activation = relu, layer_norm_eps =
-- 1e-5, batch_first = false, norm_first = false, bias = true, device, dtype): self-attention, attention to the
-- encoder's result, and a feedforward network.
local TransformerDecoderLayer = class.extend("TransformerDecoderLayer", Module)

local decoder_layer_arguments = signature("TransformerDecoderLayer", LAYER)

function TransformerDecoderLayer:init(...)
  local s = settings(decoder_layer_arguments, ...)
  self.self_attn = new_attention(s)
  self.multihead_attn = new_attention(s)
  add_rest(self, s, 3)
end

local DECODER = {
  { "tgt", "tensor" }, { "memory", "tensor" }, { "tgt_mask", "tensor?" }, { "memory_mask", "tensor?" },
  { "tgt_key_padding_mask", "tensor?" }, { "memory_key_padding_mask", "tensor?" }, { "tgt_is_causal", "boolean?" },
  { "memory_is_causal", "boolean", false },
}
local decoder_layer_forward = signature("TransformerDecoderLayer", DECODER)

function TransformerDecoderLayer:forward(...)
  local tgt, memory, tgt_mask, memory_mask, tgt_padding, memory_padding, tgt_causal, memory_causal =
    decoder_layer_forward(...)
  local function self_attended(x)
    return self.dropout1(attend(self.self_attn, x, x, tgt_mask, tgt_padding, tgt_causal))
  end
  local function attended(x)
    return self.dropout2(attend(self.multihead_attn, x, memory, memory_mask, memory_padding, memory_causal))
  end
  local function forwarded(x) return self.dropout3(feed_forward(self, x)) end
  if self.norm_first then
    local x = tgt + self_attended(self.norm1(tgt))
    x = x + attended(self.norm2(x))
    return x + forwarded(self.norm3(x))
  end
  local x = self.norm1(tgt + self_attended(tgt))
  x = self.norm2(x + attended(x))
  return self.norm3(x + forwarded(x))
end

-- Stacks --------------------------------------------------------------------------------------------------------------

local function check_layer(owner, layer, word)
  if type(layer) ~= "table" or not class.isinstance(layer, Module) then
    core.raise(owner, "argument '%s' (position 1) must be a Module, not %s", word, arguments.type_name(layer))
  end
end

--- TransformerEncoder(encoder_layer, num_layers, norm, enable_nested_tensor = true, mask_check = true): copies of a
-- layer, and a norm behind them unless it is nil.
-- With enable_nested_tensor, padded places are 0 before the norm where PyTorch leaves them out of its nested tensors:
-- in evaluation without gradients, batch first, for masks that pad at the end.
local TransformerEncoder = class.extend("TransformerEncoder", Module)

local encoder_arguments = signature("TransformerEncoder", {
  { "encoder_layer", "any" }, { "num_layers", "integer" }, { "norm", "callable?" },
  { "enable_nested_tensor", "boolean", true }, { "mask_check", "boolean", true },
})

-- May padded places of layers like this one be left out?
local function leaves_out_padding(layer)
  if not class.isinstance(layer, TransformerEncoderLayer) or layer.norm_first then return false end
  local attn = layer.self_attn
  return attn.batch_first and attn._qkv_same_embed_dim and attn.in_proj_bias ~= nil and attn.num_heads % 2 == 0
    and is_plain(layer.activation) and layer.norm1.eps == layer.norm2.eps
end

function TransformerEncoder:init(...)
  local layer, count, norm, nested, mask_check = encoder_arguments(...)
  check_layer("TransformerEncoder", layer, "encoder_layer")
  self.layers = clones(layer, count)
  self.num_layers, self.norm, self.mask_check = count, norm, mask_check
  self.enable_nested_tensor, self.use_nested_tensor = nested, nested and leaves_out_padding(layer)
end

local encoder_forward = signature("TransformerEncoder", {
  { "src", "tensor" }, { "mask", "tensor?" }, { "src_key_padding_mask", "tensor?" }, { "is_causal", "boolean?" },
})

-- Does padding, if there is any, stand at the end of every row? `real` is 1 at places that are not padded.
local function pads_at_end(real)
  return not (real:size(2) > 1 and (real:narrow(2, 2, real:size(2) - 1) - real:narrow(2, 1, real:size(2) - 1)):max()
    :item() > 0)
end

-- Bool, true at the padded places to be zeroed, or nil.
local function places_to_zero(self, src, mask, padding)
  local first = self.layers[1]
  if not self.use_nested_tensor or first == nil or first.training or src.ndim ~= 3 or padding == nil or mask ~= nil then
    return nil
  end
  if core.is_grad_enabled() then
    if src.requires_grad then return nil end
    for _, parameter in ipairs(first:parameters()) do
      if parameter.requires_grad then return nil end
    end
  end
  local real = padding:eq(0)
  if self.mask_check and not pads_at_end(real:long()) then return nil end
  return real:logical_not()
end

function TransformerEncoder:forward(...)
  local src, mask, padding, is_causal = encoder_forward(...)
  padding = masks.canonical_mask("TransformerEncoder", padding, "src_key_padding_mask", mask, "mask", src.dtype)
  mask = masks.canonical_mask("TransformerEncoder", mask, "mask", nil, "", src.dtype)
  local zeroed, x = places_to_zero(self, src, mask, padding), src
  -- is_causal only says something about the mask, whose numbers are the same without it
  for _, layer in ipairs(self.layers) do
    x = layer(x, { src_mask = mask, is_causal = is_causal or false, src_key_padding_mask = padding })
  end
  if zeroed then x = x:masked_fill(zeroed:unsqueeze(-1), 0) end
  if self.norm ~= nil then x = self.norm(x) end
  return x
end

--- TransformerDecoder(decoder_layer, num_layers, norm): copies of a layer, and a norm behind them unless it is nil.
local TransformerDecoder = class.extend("TransformerDecoder", Module)

local decoder_arguments = signature("TransformerDecoder", {
  { "decoder_layer", "any" }, { "num_layers", "integer" }, { "norm", "callable?" },
})

function TransformerDecoder:init(...)
  local layer, count, norm = decoder_arguments(...)
  check_layer("TransformerDecoder", layer, "decoder_layer")
  self.layers = clones(layer, count)
  self.num_layers, self.norm = count, norm
end

local decoder_forward = signature("TransformerDecoder", DECODER)

function TransformerDecoder:forward(...)
  local x, memory, tgt_mask, memory_mask, tgt_padding, memory_padding, tgt_causal, memory_causal = decoder_forward(...)
  for _, layer in ipairs(self.layers) do
    x = layer(x, memory, {
      tgt_mask = tgt_mask, memory_mask = memory_mask, tgt_key_padding_mask = tgt_padding,
      memory_key_padding_mask = memory_padding, tgt_is_causal = tgt_causal or false, memory_is_causal = memory_causal,
    })
  end
  if self.norm ~= nil then x = self.norm(x) end
  return x
end

-- Transformer ---------------------------------------------------------------------------------------------------------

--- Transformer(d_model = 512, nhead = 8, num_encoder_layers = 6, num_decoder_layers = 6, dim_feedforward = 2048,
-- dropout = 0.1, activation = relu, custom_encoder, custom_decoder, layer_norm_eps = 1e-5, batch_first = false,
-- norm_first = false, bias = true, device, dtype): `local out = model(src, tgt, {src_mask, tgt_mask, memory_mask,
-- src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask, src_is_causal, tgt_is_causal,
-- memory_is_causal})`. Matrices start by xavier_uniform_.
local Transformer = class.extend("Transformer", Module)

local transformer_arguments = signature("Transformer", {
  { "d_model", "integer", 512 }, { "nhead", "integer", 8 }, { "num_encoder_layers", "integer", 6 },
  { "num_decoder_layers", "integer", 6 }, { "dim_feedforward", "integer", 2048 }, { "dropout", "number", 0.1 },
  { "activation", "any?" }, { "custom_encoder", "callable?" }, { "custom_decoder", "callable?" },
  { "layer_norm_eps", "number", 1e-5 }, { "batch_first", "boolean", false }, { "norm_first", "boolean", false },
  { "bias", "boolean", true }, { "device", "any?" }, { "dtype", "any?" },
})

function Transformer:init(...)
  local d_model, nhead, encoders, decoders, dim_feedforward, dropout, activation, encoder, decoder, eps, batch_first,
    norm_first, bias, device, dtype = transformer_arguments(...)
  local s = {
    dim_feedforward = dim_feedforward, dropout = dropout, activation = activation, layer_norm_eps = eps,
    batch_first = batch_first, norm_first = norm_first, bias = bias, device = device, dtype = dtype,
  }
  local norm = { d_model = d_model, layer_norm_eps = eps, bias = bias, device = device, dtype = dtype }
  self.encoder = encoder or TransformerEncoder(TransformerEncoderLayer(d_model, nhead, s), encoders, new_norm(norm))
  self.decoder = decoder or TransformerDecoder(TransformerDecoderLayer(d_model, nhead, s), decoders, new_norm(norm))
  self:_reset_parameters()
  self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
end

--- Draws new start values for all parameters of two dims or more.
function Transformer:_reset_parameters()
  for _, parameter in ipairs(self:parameters()) do
    if parameter.ndim > 1 then init.xavier_uniform_(parameter) end
  end
end

local mask_arguments = signature("generate_square_subsequent_mask", {
  { "sz", "integer" }, { "device", "any?" }, { "dtype", "any?" },
})

--- Transformer.generate_square_subsequent_mask(sz, device, dtype): -inf above the diagonal and 0 elsewhere, so that a
-- place sees itself and what is before it. A method of models too.
function Transformer.generate_square_subsequent_mask(first, ...)
  local function make(...)
    local size, device, dtype = mask_arguments(...)
    return core.full({ size, size }, -math.huge, { device = device, dtype = dtype }):triu(1)
  end
  if type(first) == "table" and (class.is_class(first) or class.isinstance(first, Module)) then return make(...) end
  return make(first, ...)
end

local transformer_forward = signature("Transformer", {
  { "src", "tensor" }, { "tgt", "tensor" }, { "src_mask", "tensor?" }, { "tgt_mask", "tensor?" },
  { "memory_mask", "tensor?" }, { "src_key_padding_mask", "tensor?" }, { "tgt_key_padding_mask", "tensor?" },
  { "memory_key_padding_mask", "tensor?" }, { "src_is_causal", "boolean?" }, { "tgt_is_causal", "boolean?" },
  { "memory_is_causal", "boolean", false },
})

function Transformer:forward(...)
  local src, tgt, src_mask, tgt_mask, memory_mask, src_padding, tgt_padding, memory_padding, src_causal, tgt_causal,
    memory_causal = transformer_forward(...)
  local batch = self.batch_first and 1 or 2
  if src.ndim == 3 and (tgt.ndim ~= 3 or src:size(batch) ~= tgt:size(batch)) then
    core.raise("Transformer", "the batch number of src and tgt must be equal: they are %s and %s", tostring(src.shape),
      tostring(tgt.shape))
  end
  if src.ndim == 0 or tgt.ndim == 0 or src:size(-1) ~= self.d_model or tgt:size(-1) ~= self.d_model then
    core.raise("Transformer", "the feature number of src and tgt must be equal to d_model: they are %s and %s, d_model "
      .. "is %d", tostring(src.shape), tostring(tgt.shape), self.d_model)
  end
  local memory = self.encoder(src, { mask = src_mask, src_key_padding_mask = src_padding, is_causal = src_causal })
  return self.decoder(tgt, memory, {
    tgt_mask = tgt_mask, memory_mask = memory_mask, tgt_key_padding_mask = tgt_padding,
    memory_key_padding_mask = memory_padding, tgt_is_causal = tgt_causal, memory_is_causal = memory_causal,
  })
end

transformer.Transformer = Transformer
transformer.TransformerEncoder, transformer.TransformerDecoder = TransformerEncoder, TransformerDecoder
transformer.TransformerEncoderLayer = TransformerEncoderLayer
transformer.TransformerDecoderLayer = TransformerDecoderLayer

return transformer
