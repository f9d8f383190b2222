--- Annotations for editors (lua-language-server), as the text of build/moontorch.d.lua.
--
-- Operators come from the op table. Functions written in Lua are found by walking the package's tables: the debug
-- library says in which file and line each was defined, the comment above that line is its description, and the
-- declared signature or the parameter names are its parameters. Functions of the C module that are no operators are
-- listed without parameters. So nothing is written here by hand but the types of tensor properties.

local torch = require "moontorch"
local reference = require "spec.support.reference"

local annotations = {}

local KEYWORDS = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true "
  .. "until while"):gmatch("%S+") do KEYWORDS[word] = true end

local function identifier(name) return KEYWORDS[name] and name .. "_" or name end

-- `owner.name`, or owner["end"] for what is no name.
local function field(owner, name)
  if KEYWORDS[name] or not name:find("^[%a_][%w_]*$") then return ("%s[%q]"):format(owner, name) end
  return owner .. "." .. name
end

local function add(out, ...) out[#out + 1] = string.format(...) end

local function add_doc(out, doc)
  for line in ((doc or "") .. "\n"):gmatch("(.-)\n") do
    if line ~= "" or #doc > 0 then out[#out + 1] = "--- " .. line end
  end
end

-- Operators -----------------------------------------------------------------------------------------------------------

-- The table of keyword arguments of a schema, as a type.
local function keywords_type(params)
  local list = {}
  for i, p in ipairs(params) do
    list[i] = ("%s?: %s"):format(KEYWORDS[p.name] and ('["%s"]'):format(p.name) or p.name, p.type)
  end
  return "{ " .. table.concat(list, ", ") .. " }"
end

local function return_types(schema)
  local list = {}
  for i, r in ipairs(schema.returns) do list[i] = r.type end
  return #list == 0 and "nil" or table.concat(list, ", ")
end

-- fun(...) of one schema; skip: the first parameter is self.
local function function_type(schema, self)
  local list = {}
  for i, p in ipairs(schema.params) do
    if i == 1 and self then
      list[i] = "self: torch.Tensor"
    elseif p.varargs then
      list[#list + 1] = "...: " .. (p.type:match("^(.-)%[%]$") or "integer"):gsub("^integer|", "")
    elseif not p.keyword_only then
      list[#list + 1] = ("%s%s: %s"):format(identifier(p.name), p.optional and "?" or "", p.type)
    end
  end
  local last = schema.params[#schema.params]
  if last and not (#list > 0 and list[#list]:find("^%.%.%.")) then
    list[#list + 1] = "keywords?: " .. keywords_type(schema.params)
  end
  return ("fun(%s): %s"):format(table.concat(list, ", "), return_types(schema))
end

-- One form of a group: torch.name, Tensor.name or Tensor.name_.
local function add_operator(out, owner, name, overloads, self)
  local first = overloads[1]
  for _, overload in ipairs(overloads) do add_doc(out, overload.op.doc) end
  local names = {}
  for i, p in ipairs(first.schema.params) do
    if not p.keyword_only then
      local kind = p.varargs and "..." or identifier(p.name)
      if i == 1 and self then
        add(out, "---@param self torch.Tensor")
        names[1] = "self"
      else
        local default = p.default and " Default: " .. p.default .. "." or p.none and " May be nil." or ""
        local optional = p.optional and not p.varargs and "?" or ""
        local kinds = p.varargs and p.type:gsub("%[%]$", "") .. "|" .. p.type .. "|table" or p.type
        local words = p.words .. (p.varargs and ", or each as an argument of its own; keywords last" or "")
        add(out, "---@param %s%s %s # %s.%s", kind, optional, kinds, words, default)
        names[#names + 1] = kind
      end
    end
  end
  if #first.schema.params > 0 and names[#names] ~= "..." then
    add(out, "---@param keywords? %s", keywords_type(first.schema.params))
    names[#names + 1] = "keywords"
  end
  for _, r in ipairs(first.schema.returns) do add(out, "---@return %s %s # %s", r.type, r.name or "result", r.words) end
  for i = 2, #overloads do add(out, "---@overload %s", function_type(overloads[i].schema, self)) end
  add(out, "%s = function(%s) end", field(owner, name), table.concat(names, ", "))
  add(out, "")
end

-- Emits every form under every name; returns the sets of functions and methods that exist now.
local function add_operators(out, groups)
  local functions, methods = {}, {}
  local function emit(owner, set, name, overloads, self)
    if #overloads == 0 or set[name] then return end
    set[name] = true
    add_operator(out, owner, name, overloads, self)
  end
  for _, group in ipairs(groups) do
    local names, known = { group.name }, { [group.name] = true }
    for _, overload in ipairs(group.overloads) do
      for _, alias in ipairs(reference.aliases(overload.op)) do
        if not known[alias] then
          known[alias] = true
          names[#names + 1] = alias
        end
      end
    end
    local plain, method, inplace = {}, {}, {}
    for _, overload in ipairs(group.overloads) do
      local op = overload.op
      if op.func and not op.inplace_only then plain[#plain + 1] = overload end
      if op.method and not op.inplace_only then method[#method + 1] = overload end
      if op.inplace or op.inplace_only then inplace[#inplace + 1] = overload end
    end
    for _, name in ipairs(names) do
      emit("torch", functions, name, plain, false)
      emit("Tensor", methods, name, method, true)
      emit("Tensor", methods, name .. "_", inplace, true)
    end
  end
  return functions, methods
end

-- Functions written in Lua --------------------------------------------------------------------------------------------

local KINDS = { any = "any", tensor = "torch.Tensor", integer = "integer", number = "number", string = "string",
  boolean = "boolean", list = "any[]", dict = "table", callable = "function" }

local files = {}

-- Lines of a source file and the signatures that it declares, by owner.
local function file_of(path)
  if files[path] then return files[path] end
  local handle = io.open(path)
  if not handle then return nil end
  local lines = {}
  for line in handle:lines() do lines[#lines + 1] = line end
  handle:close()
  local signatures = {}
  for owner, body in table.concat(lines, "\n"):gmatch('signature%("([%w_]+)", (%b{})%)') do
    local params = {}
    for name, kind, optional, rest in body:gmatch('{ "([%w_]+)", "(%a+)(%??)"([^{}]*)}') do
      local default = rest:match("^,%s*(.-)%s*$")
      params[#params + 1] = { name = name, type = KINDS[kind] or "any", optional = optional ~= "" or default ~= nil,
        default = default }
    end
    signatures[owner] = signatures[owner] or params
  end
  files[path] = { lines = lines, signatures = signatures }
  return files[path]
end

-- The comment right above line n, if it is one that describes: it starts with ---.
local function doc_above(file, n)
  local list, at = {}, n - 1
  while at >= 1 and file.lines[at]:find("^%s*%-%-") do
    table.insert(list, 1, (file.lines[at]:gsub("^%s*%-%-+ ?", "")))
    if file.lines[at]:find("^%s*%-%-%-") then return table.concat(list, "\n") end
    at = at - 1
  end
end

local function add_function(out, owner, name, f, file, line)
  local doc = doc_above(file, line)
  if not doc then return false end
  add_doc(out, doc)
  local info, names = debug.getinfo(f, "u"), {}
  for i = 1, info.nparams do names[i] = identifier(debug.getlocal(f, i)) end
  local declared = info.isvararg and file.signatures[name]
  if declared then
    names = {}
    for i, p in ipairs(declared) do
      names[i] = identifier(p.name)
      add(out, "---@param %s%s %s%s", names[i], p.optional and "?" or "", p.type,
        p.default and " # Default: " .. p.default .. "." or "")
    end
  else
    for _, param in ipairs(names) do
      add(out, "---@param %s%s any", param, param == "self" and "" or "?")
    end
    if info.isvararg then
      add(out, "---@param ... any")
      names[#names + 1] = "..."
    end
  end
  add(out, "---@return any ...")
  add(out, "%s = function(%s) end", field(owner, name), table.concat(names, ", "))
  add(out, "")
  return true
end

-- A class declared by class.extend("Name", ...): its description and the parameters of its constructor.
local function add_class(out, owner, name, cls)
  local maker = rawget(cls, "forward") or rawget(cls, "init") or rawget(cls, "step")
  local info = maker and debug.getinfo(maker, "S")
  local file = info and file_of(info.source:gsub("^@", ""))
  if not file then return false end
  for n, line in ipairs(file.lines) do
    if line:find(('class%%.extend%%("%s"'):format(name)) then
      local params = {}
      for i, p in ipairs(file.signatures[name] or {}) do
        params[i] = ("%s%s: %s"):format(identifier(p.name), p.optional and "?" or "", p.type)
      end
      if #params == 0 then params[1] = "...: any" end
      add_doc(out, doc_above(file, n) or name)
      add(out, "---@class %s.%s: torch.nn.Module", owner, name)
      add(out, "---@overload fun(%s): %s.%s", table.concat(params, ", "), owner, name)
      add(out, "%s = {}", field(owner, name))
      add(out, "")
      return true
    end
  end
  return false
end

-- Where functions live. What a build does not have is left out.
local NAMESPACES = { "torch", "torch.autograd", "torch.autograd.functional", "torch.autograd.graph", "torch.nn",
  "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "torch.optim", "torch.optim.lr_scheduler", "torch.utils",
  "torch.utils.data", "torch.utils.safetensors", "torch.cuda", "torch.linalg", "torch.fft", "torch.special" }

local function namespace(path)
  local v = torch
  for part in path:gsub("^torch%.?", ""):gmatch("[^.]+") do v = type(v) == "table" and v[part] or nil end
  return v
end

local function sorted_names(t)
  local names = {}
  for name in next, t do
    if type(name) == "string" and not name:find("^_") then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- Functions and classes of one table; `done` holds the names that are there already.
local function add_members(out, owner, members, done, self)
  for _, name in ipairs(sorted_names(members)) do
    local v = members[name]
    if not done[name] then
      if type(v) == "function" then
        local info = debug.getinfo(v, "S")
        local file = info.what ~= "C" and file_of(info.source:gsub("^@", ""))
        local described = file and add_function(out, owner, name, v, file, info.linedefined)
        if not described then
          add(out, "---@param ... any")
          add(out, "---@return any ...")
          add(out, "%s = function(%s...) end", field(owner, name), self and "self, " or "")
          add(out, "")
        end
        done[name] = true
      elseif type(v) == "table" and rawget(v, "forward") and add_class(out, owner, name, v) then
        done[name] = true
      end
    end
  end
end

-- Objects -------------------------------------------------------------------------------------------------------------

local PROPERTIES = { shape = "torch.Size", dtype = "torch.dtype", device = "torch.device", ndim = "integer",
  is_cuda = "boolean", is_cpu = "boolean", nbytes = "integer", itemsize = "integer", T = "torch.Tensor",
  mT = "torch.Tensor", is_parameter = "boolean", requires_grad = "boolean", is_leaf = "boolean",
  grad = "torch.Tensor?", grad_fn = "torch.autograd.graph.Node?", data = "torch.Tensor", retains_grad = "boolean" }

local OPERATORS = { __add = "add", __sub = "sub", __mul = "mul", __div = "div", __idiv = "idiv", __mod = "mod",
  __pow = "pow", __band = "band", __bor = "bor", __bxor = "bxor", __shl = "shl", __shr = "shr" }

local function add_objects(out)
  add(out, "---@class torch.dtype\n---@field name string\n---@field itemsize integer\n---@field is_signed boolean")
  add(out, "---@field is_floating_point boolean\n")
  add(out, "---@class torch.device\n---@field type string\n---@field index integer?\n")
  add(out, "---@class torch.Size: integer[]\n---@field numel fun(self: torch.Size): integer\n")
  add(out, "---@class torch.Generator\n")
  add(out, "---@class torch.autograd.graph.Node\n---@field name fun(self: torch.autograd.graph.Node): string")
  add(out, "---@field next_functions table[]\n---@field metadata table\n")
  add(out, "---@class torch.Tensor")
  for _, name in ipairs(sorted_names(torch.properties)) do
    add(out, "---@field %s %s", name, PROPERTIES[name] or "any")
  end
  local events = {}
  for event in pairs(OPERATORS) do events[#events + 1] = event end
  table.sort(events)
  for _, event in ipairs(events) do
    if torch.metatable[event] then
      add(out, "---@operator %s(torch.Tensor|number): torch.Tensor", OPERATORS[event])
    end
  end
  add(out, "---@operator unm: torch.Tensor\n---@operator bnot: torch.Tensor\n---@operator len: integer")
  add(out, "local Tensor = {}\n")
end

local function add_constants(out)
  for _, name in ipairs(sorted_names(torch)) do
    local v = torch[name]
    if type(v) == "number" then
      add(out, "---@type number\n%s = %s", field("torch", name), v ~= v and "0 / 0" or v == math.huge and "math.huge"
        or ("%.17g"):format(v))
    elseif torch.is_dtype(v) then
      add(out, "---@type torch.dtype\n%s = {}", field("torch", name))
    end
  end
  add(out, "---@type torch.Generator\ntorch.default_generator = {}\n")
end

--- The text of the annotation file.
function annotations.text()
  local out = {}
  add(out, "---@meta moontorch\n-- Made by `make docs` from the op table and the comments of the Lua files.\n")
  add_objects(out)
  add(out, "---@class torch\nlocal torch = {}\n")
  add_constants(out)
  local functions, methods = add_operators(out, reference.groups(torch._ops()))
  for name in pairs(torch._lazy_functions) do rawset(torch, name, torch[name]) end
  add_members(out, "Tensor", torch.methods, methods, true)
  for _, path in ipairs(NAMESPACES) do
    local members = namespace(path)
    if type(members) == "table" then
      if path ~= "torch" then add(out, "---@class %s\n%s = {}\n", path, path) end
      add_members(out, path, members, path == "torch" and functions or {}, false)
    end
  end
  add(out, "return torch\n")
  return table.concat(out, "\n")
end

return annotations
