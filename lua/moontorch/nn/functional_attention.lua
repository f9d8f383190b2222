--- Multi-head attention as a function: nn.functional.multi_head_attention_forward.
--
-- Inside, sequences come first: query is (L, N, E), key (S, N, E), value (S, N, E). Masks become numbers that are added
-- to the scores before anything else happens, -inf where nothing may be attended to.

local core = require "moontorch.core"
local F = require "moontorch.nn.functional"
local arguments = require "moontorch.arguments"

local attention = {}

local signature = arguments.signature
local NAME = "multi_head_attention_forward"

-- Masks ---------------------------------------------------------------------------------------------------------------

--- A mask as numbers to add: -inf where a bool mask is true. `other` is the mask that should have the same dtype, if
-- there is one.
function attention.canonical_mask(owner, mask, name, other, other_name, dtype)
  if mask == nil then return nil end
  local is_float = mask:is_floating_point()
  if mask.dtype ~= core.bool and not is_float then
    core.raise(owner, "only bool and floating types of %s are supported, but it is %s: use mask:bool()", name,
      tostring(mask.dtype))
  end
  if other ~= nil and other.dtype ~= mask.dtype then
    arguments.warn_once(owner .. name, "Support for mismatched %s and %s is deprecated. Use same type for both "
      .. "instead.", name, other_name)
  end
  if is_float then return mask end
  return core.zeros_like(mask, { dtype = dtype }):masked_fill_(mask, -math.huge)
end

local function sizes_text(...)
  return "(" .. table.concat({ ... }, ", ") .. ")"
end

--- Refuses dims that do not go together; returns whether there is a batch.
function attention.check_dims(query, key, value, padding, mask, heads)
  if query.ndim ~= 2 and query.ndim ~= 3 then
    core.raise(NAME, "query should be unbatched 2D or batched 3D tensor but received %d-D query tensor", query.ndim)
  end
  local n = query.ndim
  local kind = n == 3 and "batched (3-D)" or "unbatched (2-D)"
  if key.ndim ~= n or value.ndim ~= n then
    core.raise(NAME, "For %s `query`, expected `key` and `value` to be %d-D but found %d-D and %d-D tensors "
      .. "respectively", kind, n, key.ndim, value.ndim)
  end
  if padding ~= nil and padding.ndim ~= n - 1 then
    core.raise(NAME, "For %s `query`, expected `key_padding_mask` to be `None` or %d-D but found %d-D tensor instead",
      kind, n - 1, padding.ndim)
  end
  if mask ~= nil and mask.ndim ~= 2 and mask.ndim ~= 3 then
    core.raise(NAME, "For %s `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found %d-D tensor instead",
      kind, mask.ndim)
  end
  if n == 2 and mask ~= nil and mask.ndim == 3 then
    local wanted = { heads, query:size(1), key:size(1) }
    if table.concat(mask.shape, " ") ~= table.concat(wanted, " ") then
      core.raise(NAME, "Expected `attn_mask` shape to be %s but got %s", sizes_text(table.unpack(wanted)),
        tostring(mask.shape))
    end
  end
  return n == 3
end

local function check_mask(mask, batch, heads, length, source)
  local wanted = { length, source }
  if mask.ndim == 3 then table.insert(wanted, 1, batch * heads) end
  if table.concat(mask.shape, " ") ~= table.concat(wanted, " ") then
    core.raise(NAME, "The shape of the %dD attn_mask is %s, but should be %s.", mask.ndim, tostring(mask.shape),
      sizes_text(table.unpack(wanted)))
  end
  return mask.ndim == 2 and mask:unsqueeze(1) or mask
end

-- Projections ---------------------------------------------------------------------------------------------------------

-- With one weight for all three; what is the same tensor takes part in one product.
local function project_packed(q, k, v, weight, bias)
  local size = q:size(-1)
  if rawequal(k, v) and rawequal(q, k) then
    return table.unpack(core.linear(q, weight, bias):chunk(3, -1))
  end
  local w_q, w_rest = table.unpack(weight:split({ size, weight:size(1) - size }, 1))
  local b_q, b_rest
  if bias ~= nil then b_q, b_rest = table.unpack(bias:split({ size, bias:size(1) - size }, 1)) end
  if rawequal(k, v) then
    local both = core.linear(k, w_rest, b_rest):chunk(2, -1)
    return core.linear(q, w_q, b_q), both[1], both[2]
  end
  local w_k, w_v = table.unpack(w_rest:chunk(2, 1))
  local b_k, b_v
  if bias ~= nil then b_k, b_v = table.unpack(b_rest:chunk(2, 1)) end
  return core.linear(q, w_q, b_q), core.linear(k, w_k, b_k), core.linear(v, w_v, b_v)
end

local function project_apart(q, k, v, weights, bias)
  local size = q:size(-1)
  local biases, inputs, words = bias ~= nil and bias:chunk(3, 1) or {}, { q, k, v }, { "query", "key", "value" }
  local results = {}
  for i, x in ipairs(inputs) do
    local w = weights[i]
    if w.ndim ~= 2 or w:size(1) ~= size or w:size(2) ~= x:size(-1) then
      core.raise(NAME, "expecting %s weights shape of %s, but got %s", words[i], sizes_text(size, x:size(-1)),
        tostring(w.shape))
    end
    local b = biases[i]
    if bias ~= nil and (b == nil or b.ndim ~= 1 or b:size(1) ~= size) then
      core.raise(NAME, "expecting %s bias shape of (%d,), but got %s", words[i], size, tostring(b and b.shape))
    end
    results[i] = core.linear(x, w, b)
  end
  return results[1], results[2], results[3]
end

local function require_given(value, condition, name)
  if value == nil then core.raise(NAME, "use_separate_proj_weight is %s but %s is None", condition, name) end
end

-- The projected query, key and value.
local function project(s, query, key, value)
  if s.use_separate_proj_weight then
    if key:size(1) ~= value:size(1) or key:size(2) ~= value:size(2) then
      core.raise(NAME, "key's sequence and batch dims %s do not match value's %s", tostring(key.shape),
        tostring(value.shape))
    end
    local weights = { s.q_proj_weight, s.k_proj_weight, s.v_proj_weight }
    for i, name in ipairs { "q_proj_weight", "k_proj_weight", "v_proj_weight" } do
      require_given(weights[i], "True", name)
    end
    return project_apart(query, key, value, weights, s.in_proj_bias)
  end
  if table.concat(key.shape, " ") ~= table.concat(value.shape, " ") then
    core.raise(NAME, "key shape %s does not match value shape %s", tostring(key.shape), tostring(value.shape))
  end
  require_given(s.in_proj_weight, "False", "in_proj_weight")
  return project_packed(query, key, value, s.in_proj_weight, s.in_proj_bias)
end

-- Attention -----------------------------------------------------------------------------------------------------------

-- (steps, batch, E) as (batch * heads, steps, head size), or what the caller computed before.
local function split_heads(t, heads, size, static, word)
  local count = t:size(2) * heads
  if static == nil then return t:reshape(t:size(1), count, size):transpose(1, 2) end
  if static:size(1) ~= count then
    core.raise(NAME, "expecting %s.size(1) of %d, but got %d", word, count, static:size(1))
  elseif static:size(3) ~= size then
    core.raise(NAME, "expecting %s.size(3) of %d, but got %d", word, size, static:size(3))
  end
  return static
end

-- One more place in the masks, where attention is paid.
local function widen(mask)
  return mask and F.pad(mask, { 0, 1 })
end

-- The learned key and value at the end of every sequence.
local function add_bias(s, k, v, batch)
  if s.bias_k == nil and s.bias_v == nil then return k, v, false end
  if s.bias_k == nil then core.raise(NAME, "bias_v is set but bias_k is None") end
  if s.bias_v == nil then core.raise(NAME, "bias_k is set but bias_v is None") end
  if s.static_k ~= nil then core.raise(NAME, "bias cannot be added to static key.") end
  if s.static_v ~= nil then core.raise(NAME, "bias cannot be added to static value.") end
  return core.cat({ k, s.bias_k:expand(1, batch, -1) }, 1), core.cat({ v, s.bias_v:expand(1, batch, -1) }, 1), true
end

local function merge_padding(mask, padding, batch, heads, source)
  if padding == nil then return mask end
  for d, wanted in ipairs { batch, source } do
    if padding:size(d) ~= wanted then
      core.raise(NAME, "Expected key_padded_mask.shape[%d] to be %d, but got %d", d, wanted, padding:size(d))
    end
  end
  padding = padding:view(batch, 1, 1, source):expand(-1, heads, -1, -1):reshape(batch * heads, 1, source)
  return mask == nil and padding or mask + padding
end

-- Output (L, N, E), and the weights (N, heads, L, S) when they are asked for. q, k, v: (N * heads, steps, head size).
local function attend(s, q, k, v, mask, batch)
  local heads, length, source, size = s.num_heads, q:size(2), k:size(2), q:size(3)
  local p = s.training and s.dropout_p or 0.0
  local output, weights
  if s.need_weights then
    local scaled = q * math.sqrt(1 / size)
    local scores = core.bmm(scaled, k:transpose(2, 3))
    if mask ~= nil then scores = scores + mask end
    weights = core.softmax(scores, -1)
    if p > 0 then weights = core.dropout(weights, p, true) end
    output = core.bmm(weights, v):transpose(1, 2)
    weights = weights:view(batch, heads, length, source)
    if s.average_attn_weights then weights = weights:mean(2) end
  else
    if mask ~= nil then
      mask = mask:size(1) == 1 and mask:unsqueeze(1) or mask:view(batch, heads, -1, source)
    end
    local function apart(t) return t:reshape(batch, heads, -1, size) end
    output = F.scaled_dot_product_attention(apart(q), apart(k), apart(v), mask, p, s.is_causal)
    output = output:permute(3, 1, 2, 4)
  end
  output = core.linear(output:reshape(length * batch, heads * size), s.out_proj_weight, s.out_proj_bias)
  return output:view(length, batch, output:size(2)), weights
end

--- Does the work, with the arguments of multi_head_attention_forward by name.
function attention.forward(s)
  local query, key, value, padding, mask = s.query, s.key, s.value, s.key_padding_mask, s.attn_mask
  local heads = s.num_heads
  local is_batched = attention.check_dims(query, key, value, padding, mask, heads)
  if not is_batched then
    local own, pair = rawequal(query, key), rawequal(key, value)
    key = key:unsqueeze(2)
    query, value = own and key or query:unsqueeze(2), pair and key or value:unsqueeze(2)
    padding = padding and padding:unsqueeze(1)
  end
  local length, batch, embed = query:size(1), query:size(2), query:size(3)
  padding = attention.canonical_mask(NAME, padding, "key_padding_mask", mask, "attn_mask", query.dtype)
  if s.is_causal and mask == nil then
    core.raise(NAME, "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
      .. "`generate_square_subsequent_mask` to create this mask.")
  end
  s.is_causal = s.is_causal and padding == nil and not s.need_weights
  mask = not s.is_causal and attention.canonical_mask(NAME, mask, "attn_mask", nil, "", query.dtype) or nil
  if embed ~= s.embed_dim_to_check then
    core.raise(NAME, "was expecting embedding dimension of %d, but got %d", s.embed_dim_to_check, embed)
  elseif heads <= 0 or embed % heads ~= 0 then
    core.raise(NAME, "embed_dim %d not divisible by num_heads %d", embed, heads)
  end
  local q, k, v = project(s, query, key, value)
  if mask ~= nil then mask = check_mask(mask, batch, heads, length, key:size(1)) end
  local size = embed // heads
  local added
  k, v, added = add_bias(s, k, v, batch)
  if added then mask, padding = widen(mask), widen(padding) end
  q, k = split_heads(q, heads, size), split_heads(k, heads, size, s.static_k, "static_k")
  v = split_heads(v, heads, size, s.static_v, "static_v")
  if s.add_zero_attn then
    local zeros = core.zeros({ batch * heads, 1, size }, { dtype = k.dtype, device = k.device })
    k, v, mask, padding = core.cat({ k, zeros }, 2), core.cat({ v, zeros }, 2), widen(mask), widen(padding)
  end
  mask = merge_padding(mask, padding, batch, heads, k:size(2))
  local output, weights = attend(s, q, k, v, mask, batch)
  if is_batched then return output, weights end
  return output:squeeze(2), weights and weights:squeeze(1)
end

local parameters = {
  { "query", "tensor" }, { "key", "tensor" }, { "value", "tensor" }, { "embed_dim_to_check", "integer" },
  { "num_heads", "integer" }, { "in_proj_weight", "tensor?" }, { "in_proj_bias", "tensor?" }, { "bias_k", "tensor?" },
  { "bias_v", "tensor?" }, { "add_zero_attn", "boolean" }, { "dropout_p", "number" }, { "out_proj_weight", "tensor" },
  { "out_proj_bias", "tensor?" }, { "training", "boolean", true }, { "key_padding_mask", "tensor?" },
  { "need_weights", "boolean", true }, { "attn_mask", "tensor?" }, { "use_separate_proj_weight", "boolean", false },
  { "q_proj_weight", "tensor?" }, { "k_proj_weight", "tensor?" }, { "v_proj_weight", "tensor?" },
  { "static_k", "tensor?" }, { "static_v", "tensor?" }, { "average_attn_weights", "boolean", true },
  { "is_causal", "boolean", false },
}
local resolve = signature(NAME, parameters)

--- multi_head_attention_forward(query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k,
-- bias_v, add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, {…}): what nn.MultiheadAttention computes, with
-- sequences first. Returns the output, and the attention weights unless need_weights is false.
function attention.multi_head_attention_forward(...)
  local values, s = table.pack(resolve(...)), {}
  for i, parameter in ipairs(parameters) do s[parameter[1]] = values[i] end
  return attention.forward(s)
end

return attention
