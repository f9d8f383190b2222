--- nn.MultiheadAttention: the parameters of attention; functional_attention.lua computes it.
--
-- Start values are PyTorch's, drawn in its order: out_proj first, then the input projections.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local Module = require "moontorch.nn.module"
local functional = require "moontorch.nn.functional_attention"
local init = require "moontorch.nn.initializers"
local layers = require "moontorch.nn.layers"
local arguments = require "moontorch.arguments"

-- PyTorch's name for the layer, which its text shows.
local OutProjection = class.extend("NonDynamicallyQuantizableLinear", layers.Linear)

--- MultiheadAttention(embed_dim, num_heads, dropout = 0, bias = true, add_bias_kv = false, add_zero_attn = false, kdim,
-- vdim, batch_first = false, device, dtype): `local out, weights = attention(query, key, value, {key_padding_mask,
-- need_weights = true, attn_mask, average_attn_weights = true, is_causal = false})`.
-- Sequences come first unless batch_first. Bool masks are true where nothing may be attended to.
local MultiheadAttention = class.extend("MultiheadAttention", Module)

local init_arguments = arguments.signature("MultiheadAttention", {
  { "embed_dim", "integer" }, { "num_heads", "integer" }, { "dropout", "number", 0.0 }, { "bias", "boolean", true },
  { "add_bias_kv", "boolean", false }, { "add_zero_attn", "boolean", false }, { "kdim", "integer?" },
  { "vdim", "integer?" }, { "batch_first", "boolean", false }, { "device", "any?" }, { "dtype", "any?" },
})

function MultiheadAttention:init(...)
  local embed, heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first, device, dtype =
    init_arguments(...)
  if embed <= 0 or heads <= 0 then
    core.raise("MultiheadAttention", "embed_dim and num_heads must be greater than 0, got embed_dim=%d and "
      .. "num_heads=%d instead", embed, heads)
  elseif embed % heads ~= 0 then
    core.raise("MultiheadAttention", "embed_dim must be divisible by num_heads, but they are %d and %d", embed, heads)
  end
  self.embed_dim, self.kdim, self.vdim = embed, kdim or embed, vdim or embed
  self._qkv_same_embed_dim = self.kdim == embed and self.vdim == embed
  self.num_heads, self.dropout, self.batch_first, self.head_dim = heads, dropout, batch_first, embed // heads
  local function add(name, wanted, ...)
    self:register_parameter(name,
      wanted and core.parameter(core.empty({ ... }, { device = device, dtype = dtype })) or nil)
  end
  local same = self._qkv_same_embed_dim
  add("q_proj_weight", not same, embed, embed)
  add("k_proj_weight", not same, embed, self.kdim)
  add("v_proj_weight", not same, embed, self.vdim)
  add("in_proj_weight", same, 3 * embed, embed)
  add("in_proj_bias", bias, 3 * embed)
  self.out_proj = OutProjection(embed, embed, { bias = bias, device = device, dtype = dtype })
  add("bias_k", add_bias_kv, 1, 1, embed)
  add("bias_v", add_bias_kv, 1, 1, embed)
  self.add_zero_attn = add_zero_attn
  self:_reset_parameters()
end

--- Draws new start values, all but those of out_proj.weight.
function MultiheadAttention:_reset_parameters()
  for _, name in ipairs { "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight" } do
    if self[name] ~= nil then init.xavier_uniform_(self[name]) end
  end
  if self.in_proj_bias ~= nil then
    init.constant_(self.in_proj_bias, 0.0)
    init.constant_(self.out_proj.bias, 0.0)
  end
  if self.bias_k ~= nil then init.xavier_normal_(self.bias_k) end
  if self.bias_v ~= nil then init.xavier_normal_(self.bias_v) end
end

local forward_arguments = arguments.signature("MultiheadAttention", {
  { "query", "tensor" }, { "key", "tensor" }, { "value", "tensor" }, { "key_padding_mask", "tensor?" },
  { "need_weights", "boolean", true }, { "attn_mask", "tensor?" }, { "average_attn_weights", "boolean", true },
  { "is_causal", "boolean", false },
})

function MultiheadAttention:forward(...)
  local query, key, value, padding, need_weights, mask, average, is_causal = forward_arguments(...)
  local turned = self.batch_first and query.ndim == 3
  if turned then
    if key.ndim ~= 3 or value.ndim ~= 3 then functional.check_dims(query, key, value, padding, mask, self.num_heads) end
    local own, pair = rawequal(query, key), rawequal(key, value)
    key = key:transpose(1, 2)
    query, value = own and key or query:transpose(1, 2), pair and key or value:transpose(1, 2)
  end
  local output, weights = functional.forward {
    query = query, key = key, value = value, embed_dim_to_check = self.embed_dim, num_heads = self.num_heads,
    in_proj_weight = self.in_proj_weight, in_proj_bias = self.in_proj_bias, bias_k = self.bias_k, bias_v = self.bias_v,
    add_zero_attn = self.add_zero_attn, dropout_p = self.dropout, out_proj_weight = self.out_proj.weight,
    out_proj_bias = self.out_proj.bias, training = self.training, key_padding_mask = padding,
    need_weights = need_weights, attn_mask = mask, use_separate_proj_weight = not self._qkv_same_embed_dim,
    q_proj_weight = self.q_proj_weight, k_proj_weight = self.k_proj_weight, v_proj_weight = self.v_proj_weight,
    average_attn_weights = average, is_causal = is_causal,
  }
  return turned and output:transpose(1, 2) or output, weights
end

return { MultiheadAttention = MultiheadAttention }
