--- torch.save and torch.load: nested tables of tensors, numbers, strings and booleans in one file.
--
-- The file is a safetensors file that other programs can read: its tensors lie under the path of keys that leads to
-- them. What the tables were stands as JSON in its metadata, entry "moontorch":
--   {"version": 1, "root": n, "nodes": [node, ...]}, every node an array that names others by their number from 1:
--   ["nil"] ["none"] ["bool", 0 or 1] ["int", digits] ["num", hexadecimal float] ["str", text] ["bytes", hexadecimal]
--   ["dtype", name] ["device", name] ["size", n, ...] ["table", key, value, ...] ["ordered", key, value, ...]
--   ["tensor", entry, requires_grad, is_parameter, device]
--   ["view", entry, requires_grad, is_parameter, device, dtype, offset, shape..., stride...]
-- A view lies in the memory that another entry holds: tensors that shared memory share it again. Loading builds tables
-- and tensors and does nothing else; what a file says is checked before it is used. Nothing here recurses, so that no
-- nesting is too deep.

local core = require "moontorch.core"
local arguments = require "moontorch.arguments"
local json = require "moontorch.utils.json"
local ordered = require "moontorch.nn.ordered"
local safetensors = require "moontorch.utils.safetensors"
local location = require "moontorch.utils.location"
local pickle = require "moontorch.utils.pickle"
local files = require "moontorch.utils.bytes"

local serialization = {}

local VERSION = 1

-- Saving --------------------------------------------------------------------------------------------------------------

local function is_size(v)
  local meta = getmetatable(v)
  return type(meta) == "table" and meta.__name == "torch.Size"
end

local function refuse(path, v)
  local remedy = "save what it is made of: tensors, numbers, strings, booleans and tables of them"
  if type(v) == "table" and type(v.state_dict) == "function" then
    remedy = "save its state_dict() and load it with load_state_dict()"
  end
  local word = type(v) == "table" and arguments.type_name(v) ~= "table" and "a " .. arguments.type_name(v)
    or "a " .. type(v)
  core.raise("save", "%s is %s, which torch.save cannot write; %s", path == "" and "the object" or "'" .. path .. "'",
    word, remedy)
end

-- Integers first, then other numbers, strings, booleans; each in order.
local RANK = { integer = 1, float = 2, string = 3, boolean = 4 }
local function key_before(a, b)
  local x, y = RANK[math.type(a) or type(a)], RANK[math.type(b) or type(b)]
  if x ~= y then return x < y end
  if x == 4 then return a == false and b == true end
  return a < b
end

local function sorted_keys(t, path)
  local keys = {}
  for key in next, t do
    if not RANK[math.type(key) or type(key)] then
      core.raise("save", "'%s' has a key that is a %s: keys must be numbers, strings or booleans", path, type(key))
    end
    keys[#keys + 1] = key
  end
  table.sort(keys, key_before)
  return keys
end

-- Names of entries need not tell how deep the deepest nesting is.
local LONGEST = 1000

local function child_path(path, key)
  if #path > LONGEST then return path end
  local word = type(key) == "string" and key or tostring(key)
  return path == "" and word or path .. "." .. word
end

-- One of the file's entries for each tensor: its own, or one that holds the memory it shares with others.
local function plan_tensors(list)
  local memory, entries, used = {}, {}, {}
  for _, item in ipairs(list) do
    local group = memory[item.storage]
    if not group then
      group = { count = 0 }
      memory[item.storage] = group
    end
    group.count = group.count + 1
  end
  local function entry_name(item)
    local path = item.path ~= "" and item.path ~= "__metadata__" and utf8.len(item.path) and item.path or "tensor"
    local name, k = path, 1
    while used[name] do
      k = k + 1
      name = path .. "#" .. k
    end
    used[name] = true
    return name
  end
  for _, item in ipairs(list) do
    local t, group = item.tensor, memory[item.storage]
    local flags = { t.requires_grad and 1 or 0, t.is_parameter and 1 or 0, json.quote(tostring(t.device)) }
    local whole = group.count == 1 and (t:is_contiguous() or t:numel() < item.elements)
    if whole or t:numel() == 0 then
      local name = entry_name(item)
      entries[name] = t
      item.node = ('["tensor",%s,%d,%d,%s]'):format(json.quote(name), table.unpack(flags))
    else
      if not group.name then
        group.name = entry_name(item)
        entries[group.name] = core._over_storage(t, t.dtype, 0, { item.elements }, { 1 })
      end
      local numbers = { item.offset }
      for _, n in ipairs(t.shape) do numbers[#numbers + 1] = n end
      for _, n in ipairs(t:stride()) do numbers[#numbers + 1] = n end
      item.node = ('["view",%s,%d,%d,%s,"%s",%s]'):format(json.quote(group.name), flags[1], flags[2], flags[3],
        t.dtype.name, table.concat(numbers, ","))
    end
  end
  return entries
end

local function leaf_text(v)
  if v == nil then return '["nil"]' end
  if v == core.none then return '["none"]' end
  if type(v) == "boolean" then return v and '["bool",1]' or '["bool",0]' end
  if math.type(v) == "integer" then return ('["int","%d"]'):format(v) end
  if type(v) == "number" then
    local text = v ~= v and "nan" or v == math.huge and "inf" or v == -math.huge and "-inf" or ("%a"):format(v)
    return ('["num","%s"]'):format(text)
  end
  if type(v) == "string" then
    if utf8.len(v) then return '["str",' .. json.quote(v) .. "]" end
    return '["bytes","' .. v:gsub(".", function(c) return ("%02x"):format(c:byte()) end) .. '"]'
  end
  if core.is_dtype(v) then return '["dtype","' .. v.name .. '"]' end
  if location.is_device(v) then return '["device","' .. tostring(v) .. '"]' end
  if type(v) == "table" and is_size(v) then
    return #v == 0 and '["size"]' or '["size",' .. table.concat(v, ",") .. "]"
  end
end

-- The nodes of obj as JSON, and the file's tensors by name.
local function describe(obj)
  local nodes, tensors, leaves, objects, waiting = {}, {}, {}, {}, {}
  local function number_of(v, path)
    if core.is_tensor(v) then
      if core.is_freed(v) then core.raise("save", "'%s' is a freed tensor: it has no memory any more", path) end
      local storage, identity, elements, offset = core._storage_of(v)
      if not objects[identity] then
        nodes[#nodes + 1] = false
        objects[identity] = #nodes
        tensors[#tensors + 1] = { tensor = v, path = path, at = #nodes, storage = storage, elements = elements,
          offset = offset }
      end
      return objects[identity]
    end
    local text = leaf_text(v)
    if text then
      if not leaves[text] then
        nodes[#nodes + 1] = text
        leaves[text] = #nodes
      end
      return leaves[text]
    end
    if type(v) ~= "table" or (getmetatable(v) ~= nil and not ordered.is(v)) then refuse(path, v) end
    if not objects[v] then
      nodes[#nodes + 1] = false
      objects[v] = #nodes
      waiting[#waiting + 1] = { table = v, path = path, at = #nodes }
    end
    return objects[v]
  end
  local root, done = number_of(obj, ""), 0
  while done < #waiting do
    done = done + 1
    local item = waiting[done]
    local parts = { ordered.is(item.table) and '["ordered"' or '["table"' }
    local keys = {}
    if ordered.is(item.table) then
      for key in pairs(item.table) do keys[#keys + 1] = key end
    else
      keys = sorted_keys(item.table, item.path)
    end
    for _, key in ipairs(keys) do
      parts[#parts + 1] = number_of(key, item.path)
      parts[#parts + 1] = number_of(rawget(item.table, key), child_path(item.path, key))
    end
    nodes[item.at] = table.concat(parts, ",") .. "]"
  end
  local entries = plan_tensors(tensors)
  for _, item in ipairs(tensors) do nodes[item.at] = item.node end
  return ('{"version":%d,"root":%d,"nodes":[%s]}'):format(VERSION, root, table.concat(nodes, ",")), entries
end

local save_arguments = arguments.signature("save", { { "obj", "any?" }, { "f", "any" } })

--- save(obj, f), f a path or an open file: writes tensors, numbers, strings, booleans, dtypes, and tables of them,
-- nested as deep as you like. Tables and tensors that stand in several places, and tensors that share memory, do so
-- again after torch.load; requires_grad and being a Parameter are kept. The file at a path is replaced only when the
-- new one is whole and on the disk.
function serialization.save(...)
  local obj, path = save_arguments(...)
  local structure, entries = describe(obj)
  safetensors.write(entries, path, { moontorch = structure }, "save", "f")
end

-- Loading -------------------------------------------------------------------------------------------------------------

local function bad(path, format, ...)
  core.raise("load", "%s holds no valid moontorch object: " .. format, path, ...)
end

local function is_array(v) return type(v) == "table" and v.keys == nil end

local function is_count(v) return math.type(v) == "integer" and v >= 0 end

local function finished(t, requires_grad, is_parameter)
  if is_parameter == 1 then return core.parameter(t, requires_grad == 1) end
  if requires_grad == 1 then t:requires_grad_(true) end
  return t
end

local LOCATION = { cpu = true, cuda = true }

-- Makers of values from the fields of a node; `file` has path, entries, place, moved.
local make = {}
make["nil"] = function() return nil end
make.none = function() return core.none end
make.bool = function(_, v) return v == 1 end
make.int = function(file, v)
  local n = type(v) == "string" and v:match("^-?%d+$") and math.tointeger(tonumber(v))
  if not n then bad(file.path, "an integer is spelled %s", tostring(v)) end
  return n
end
make.num = function(file, v)
  if v == "nan" then return 0 / 0 end
  if v == "inf" then return math.huge end
  if v == "-inf" then return -math.huge end
  local n = type(v) == "string" and v:match("^-?0x[%x.]+p[+-]?%d+$") and tonumber(v)
  if not n then bad(file.path, "a number is spelled %s", tostring(v)) end
  return n
end
make.str = function(file, v)
  if type(v) ~= "string" then bad(file.path, "a string is none") end
  return v
end
make.bytes = function(file, v)
  if type(v) ~= "string" or #v % 2 ~= 0 or v:find("%X") then bad(file.path, "bytes are no hexadecimal digits") end
  return (v:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end
make.dtype = function(file, v)
  local dtype = type(v) == "string" and rawget(core, v)
  if not core.is_dtype(dtype) then bad(file.path, "there is no dtype %s", tostring(v)) end
  return dtype
end
make.device = function(file, v)
  local kind = type(v) == "string" and (v:match("^(%a+)$") or v:match("^(%a+):%d%d?$"))
  if not LOCATION[kind or ""] then bad(file.path, "there is no device %s", tostring(v)) end
  return core.device(v)
end
make.size = function(file, ...)
  local list = { ... }
  for _, n in ipairs(list) do
    if not is_count(n) then bad(file.path, "a size holds something that is none") end
  end
  if #list > 64 then bad(file.path, "a size has %d entries", #list) end
  return core.Size(list)
end

local function entry_of(file, name, requires_grad, is_parameter, device)
  local t = type(name) == "string" and file.entries[name]
  if not t then bad(file.path, "a tensor '%s' is missing", tostring(name)) end
  if (requires_grad ~= 0 and requires_grad ~= 1) or (is_parameter ~= 0 and is_parameter ~= 1) then
    bad(file.path, "the tensor '%s' is described wrongly", name)
  end
  make.device(file, device)
  return t
end

local function check_float(file, name, dtype, requires_grad)
  if requires_grad == 1 and not dtype.is_floating_point then
    bad(file.path, "the tensor '%s' is %s and cannot require a gradient", name, tostring(dtype))
  end
end

make.tensor = function(file, name, requires_grad, is_parameter, device)
  local t = entry_of(file, name, requires_grad, is_parameter, device)
  check_float(file, name, t.dtype, requires_grad)
  return finished(file.place(t, device), requires_grad, is_parameter)
end

make.view = function(file, name, requires_grad, is_parameter, device, dtype, offset, ...)
  local memory = entry_of(file, name, requires_grad, is_parameter, device)
  local numbers = { ... }
  local n = #numbers // 2
  if #numbers % 2 ~= 0 or n > 16 or not is_count(offset) then bad(file.path, "the view of '%s' is no view", name) end
  for _, v in ipairs(numbers) do
    if not is_count(v) then bad(file.path, "the view of '%s' has a size that is none", name) end
  end
  local kind = make.dtype(file, dtype)
  check_float(file, name, kind, requires_grad)
  if not file.moved[name] then file.moved[name] = file.place(memory, device) end
  local ok, t = pcall(core._over_storage, file.moved[name], kind, offset, { table.unpack(numbers, 1, n) },
    { table.unpack(numbers, n + 1) })
  if not ok then bad(file.path, "the view of '%s' reaches outside of its memory", name) end
  return finished(t, requires_grad, is_parameter)
end

-- Tables are made empty first and filled when every value is there.
local function build(file, structure)
  local object, reason = json.read(structure)
  if not object then bad(file.path, "%s", (reason:gsub("the header", "its description"))) end
  local top = type(object) == "table" and object.values
  if not top or not is_array(top.nodes) then bad(file.path, "its description is no object with nodes") end
  if top.version ~= VERSION then
    bad(file.path, "it is of version %s; this moontorch reads version %d", tostring(top.version), VERSION)
  end
  local values, fill, count = {}, {}, #top.nodes
  for i, node in ipairs(top.nodes) do
    local kind = is_array(node) and node[1]
    if kind == "table" or kind == "ordered" then
      if #node % 2 ~= 1 then bad(file.path, "node %d has a key without a value", i) end
      values[i] = kind == "table" and {} or ordered.new()
      fill[#fill + 1] = i
    else
      local maker = type(kind) == "string" and make[kind]
      if not maker then bad(file.path, "node %d is of no known kind", i) end
      values[i] = maker(file, table.unpack(node, 2))
    end
  end
  local function number(i, at)
    if math.type(at) ~= "integer" or at < 1 or at > count then
      bad(file.path, "node %d names node %s of %d", i, tostring(at), count)
    end
    return at
  end
  for _, i in ipairs(fill) do
    local node, to = top.nodes[i], values[i]
    for k = 2, #node, 2 do
      local key = values[number(i, node[k])]
      if (type(key) ~= "string" and type(key) ~= "boolean" and type(key) ~= "number") or key ~= key then
        bad(file.path, "node %d has a key that is none", i)
      end
      to[key] = values[number(i, node[k + 1])]
    end
  end
  return values[number(0, top.root)]
end

-- What the tensors of a safetensors file stand for: the object that `structure` describes, without it themselves.
local function rebuild(source, entries, structure, place)
  if structure then
    return build({ path = source.name, entries = entries, place = place, moved = {} }, structure)
  end
  for name, t in pairs(entries) do entries[name] = place(t, "cpu") end
  return entries
end

local load_arguments = arguments.signature("load", {
  { "f", "any" }, { "map_location", "any?" }, { "weights_only", "boolean", true }, { "mmap", "boolean?" },
})

--- load(f, {map_location = ...}), f a path or an open file: what torch.save wrote, here or in PyTorch (.pt and .pth
-- files, see utils/pickle); of any other safetensors file its tensors by name. The content tells what a file is, not
-- its name. Numbers and names in PyTorch's files count from 0: load_state_dict(state, {index_base = 0}).
-- map_location says where tensors go: a device, a table from saved to wanted devices, or a function(tensor, location)
-- that returns a tensor, a device or nil; of PyTorch's files it gets each storage as a tensor of one dim. Nothing in a
-- file is ever executed, so weights_only and mmap change nothing.
function serialization.load(...)
  local path, map = load_arguments(...)
  map = location.check(map, "load")
  local function place(t, saved) return location.placed(t, map, saved, "load") end
  local source = files.file(path, "load", "f")
  local head = files.head(source, 9)
  -- A safetensors header starts at its ninth byte.
  if head:byte(9) ~= 0x7B and pickle.recognizes(source) then return pickle.read(source, place) end
  if head:byte(9) ~= 0x7B then
    if head:sub(1, 6) == "\x93NUMPY" then
      core.raise("load", "%s holds a NumPy array: torch.utils.npy.load(path) reads it", source.name)
    end
    core.raise("load", "%s is %s: torch.load reads what torch.save wrote, here or in PyTorch, and safetensors files; "
      .. "it is no valid one of them", source.name, head == "" and "empty (Ran out of input)" or "of no known format")
  end
  local entries, metadata = safetensors.read(source)
  return files.naming(source, rebuild, entries, metadata.moontorch, place)
end

return serialization
