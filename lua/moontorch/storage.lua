--- The memory under tensors, as an object: x:storage().
--
-- A Storage shows all elements of the memory that a tensor is a part of, in the tensor's dtype: #s, s[i], s:tolist().
-- Elements count from 1. It keeps the memory alive, and what is written through it is seen by every tensor that shares
-- it. x:untyped_storage() shows the same as bytes.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"

local storage = {}

local FLAT = {}  -- key of the vector that covers the whole memory
local UNTYPED = {}
local methods, meta = {}, { __name = "torch.storage.TypedStorage" }

local function wrap(flat, untyped)
  return setmetatable({ [FLAT] = flat, [UNTYPED] = untyped }, meta)
end

-- All of the memory under t as a vector of dtype.
local function whole(t, dtype)
  local flat = core.empty(0, { dtype = dtype, device = t.device })
  return (core._set(flat, t, true, 0, { core._storage_bytes(t) // dtype.itemsize }))
end

--- The storage of t, in its dtype.
function storage.of(t) return wrap(whole(t, t.dtype), false) end
--- The storage of t as bytes.
function storage.bytes_of(t) return wrap(whole(t, core.uint8), true) end

--- Is v a Storage?
function storage.is(v) return type(v) == "table" and rawget(v, FLAT) ~= nil end
--- The vector of dtype that covers all of a Storage (bytes may be read as any), and whether it was asked for as bytes.
function storage.vector(s, dtype)
  if s[UNTYPED] then return whole(s[FLAT], dtype), true end
  return s[FLAT], false
end

local set_arguments = arguments.signature("set_", {
  { "source", "any?" }, { "storage_offset", "integer?" }, { "size", "list?" }, { "stride", "list?" },
})
--- The arguments of x:set_, checked.
function storage.set_arguments(...)
  local source, offset, size, stride = set_arguments(...)
  if source ~= nil and not core.is_tensor(source) and not storage.is(source) then
    core.raise("set_", "argument 'source' (position 1) must be Tensor or Storage, not %s", arguments.type_name(source))
  end
  if (offset == nil) ~= (size == nil) then
    core.raise("set_", "storage_offset and size come together: x:set_(source, storage_offset, size, stride)")
  end
  return source, offset, size, stride
end

--- Number of elements.
function methods.size(s) return s[FLAT]:numel() end
--- Number of bytes.
function methods.nbytes(s) return s[FLAT].nbytes end
--- Bytes of an element.
function methods.element_size(s) return s[FLAT].itemsize end
--- Address of the first element.
function methods.data_ptr(s) return s[FLAT]:data_ptr() end
--- All elements as a Lua array.
function methods.tolist(s) return s[FLAT]:tolist() end
--- Every element set to value; returns the storage.
function methods.fill_(s, value)
  s[FLAT]:fill_(value)
  return s
end
--- The elements of another storage of that size written into this one; returns the storage.
function methods.copy_(s, other)
  if not storage.is(other) then core.raise("copy_", "argument 'source' must be a Storage, not %s", type(other)) end
  if #other ~= #s then core.raise("copy_", "size mismatch: %d elements into a storage of size %d", #other, #s) end
  s[FLAT]:copy_(other[FLAT])
  return s
end
--- A storage of its own with the same elements.
function methods.clone(s) return wrap(s[FLAT]:clone(), s[UNTYPED]) end
--- The same memory as bytes.
function methods.untyped(s) return storage.bytes_of(s[FLAT]) end

local function position(s, i)
  local n, at = #s, math.tointeger(i)
  if not at then core.raise("storage", "index must be an integer, not %s", tostring(i)) end
  if at == 0 then core.raise("storage", "position 0: positions count from 1 in Lua (1 is the first, -1 the last)") end
  if at > n or at < -n then core.raise("storage", "index %d out of range for storage of size %d", at, n) end
  return at
end

function meta.__index(s, key)
  if type(key) == "number" then return s[FLAT][position(s, key)]:item() end
  if key == "dtype" or key == "device" then return s[FLAT][key] end
  return methods[key]
end
function meta.__newindex(s, key, value)
  if type(key) ~= "number" then core.raise("storage", "a Storage has no field '%s' to write", tostring(key)) end
  s[FLAT][position(s, key)] = value
end
function meta.__len(s) return s[FLAT]:numel() end
function meta.__eq(a, b) return #a == #b and a.dtype == b.dtype and a:data_ptr() == b:data_ptr() end
function meta.__tostring(s)
  local lines = {}
  for i, v in ipairs(s:tolist()) do lines[i] = " " .. tostring(v) end
  lines[#lines + 1] = s[UNTYPED] and ("[torch.storage.UntypedStorage(device=%s) of size %d]"):format(s.device, #s)
    or ("[torch.storage.TypedStorage(dtype=%s, device=%s) of size %d]"):format(s.dtype, s.device, #s)
  return table.concat(lines, "\n")
end

return storage
