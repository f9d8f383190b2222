--- How much of PyTorch's surface is here, and how it is proved: `lua spec/support/coverage.lua LIST...`.
--
-- spec/coverage/LIST.txt holds PyTorch's names, one a line. For every list there a row: how many names exist (are
-- functions or values), have golden cases from PyTorch, are called in a spec file, have their gradients checked against
-- differences. Exit status 1, and the missing names, unless all names of the lists given exist.
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
local torch = require "moontorch"
local operators = require "spec.support.operators"

local FOLDER = "spec/coverage/"
local LISTS = {
  "torch", "tensor", "autograd", "functional", "nn", "init", "module_methods", "optim", "data", "cuda",
}

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

-- Existence: where a list's names are looked up -----------------------------------------------------------------------

-- What `path`, names separated by dots, leads to from `from`; nil when a step is missing or refuses.
local function walk(from, path)
  for name in path:gmatch("[^.]+") do
    local ok, value = pcall(function() return from[name] end)
    if not ok or value == nil then return nil end
    from = value
  end
  return from
end

-- A leaf with a gradient, a result and a matrix of integers: each property is there on one of them.
local function tensors()
  local leaf = torch.ones(2, 2, { requires_grad = true })
  local result = leaf * 2
  result:sum():backward()
  return { leaf, result, torch.ones(2, 2, { dtype = torch.int64 }) }
end

-- The object that a custom function's forward is given.
local function context()
  local seen
  local f = torch.autograd.Function {
    forward = function(ctx, x)
      seen = ctx
      return x * 1
    end,
    backward = function(_, g) return g end,
  }
  f.apply(torch.ones(1, { requires_grad = true }))
  return seen, f
end

local SOURCES = {
  torch = function() return { torch } end,
  tensor = tensors,
  functional = function() return { torch.nn.functional } end,
  nn = function() return { torch.nn } end,
  init = function() return { torch.nn.init } end,
  module_methods = function()
    local module = torch.nn.Linear(1, 1)
    return { module, getmetatable(module), torch.nn.Module }
  end,
  optim = function() return { torch.optim } end,
  data = function() return { torch.utils.data } end,
  cuda = function() return { torch.cuda } end,
}

local function autograd_value(name)
  local ctx, f = context()
  local member = name:match("^function%.FunctionCtx%.(.+)$")
  if member then return walk(ctx, member) end
  member = name:match("^Function%.(.+)$")
  if member then return walk(f, member) or walk(torch.autograd.Function, member) end
  member = name:match("^graph%.Node%.(.+)$")
  if member then return walk(tensors()[2].grad_fn, member) end
  -- PyTorch has the functions of its submodules in torch.autograd too.
  return walk(torch.autograd, name) or walk(torch.autograd, name:match("[^.]+$"))
end

local function finder(list)
  if list == "autograd" then return autograd_value end
  local from = SOURCES[list]()
  return function(name)
    for _, source in ipairs(from) do
      local value = walk(source, name)
      if value ~= nil then return value end
    end
  end
end

-- Proof ---------------------------------------------------------------------------------------------------------------

-- Every name under which operators can be called, to the operators.
local function by_name()
  local names = {}
  local function add(name, op)
    names[name] = names[name] or {}
    table.insert(names[name], op)
  end
  for _, op in ipairs(operators.all()) do
    if not op.hidden then
      for name in (op.name .. " " .. (op.alias or "")):gmatch("%S+") do
        if not op.inplace_only then add(name, op) end
        if op.inplace or op.inplace_only then add(name .. "_", op) end
      end
    end
  end
  return names
end

-- Names with golden cases, in-place forms with their underscore.
local function golden_names()
  local found = {}
  for _, entry in ipairs(dofile "spec/golden/table.lua") do
    local name = entry[1]:match "^[%w_]+"
    for k = 2, #entry do
      for form in entry[k][3]:gmatch "%f[%S]%a%a(%a)" do found[name .. (form == "i" and "_" or "")] = true end
    end
  end
  local pipe = assert(io.popen "ls spec/golden/*.lua")
  for path in pipe:lines() do
    local text = path:find "table.lua" and "" or read(path)
    for name, rest in text:gmatch "op = \"([%w_]+)\"([^\n]*)" do
      local forms = rest:match "^, form = \"(%a+)\"" or "m"
      if forms:find "[^i]" then found[name] = true end
      if forms:find "i" then found[name .. "_"] = true end
    end
    for name in text:gmatch "name = \"([%w_.]+)\"" do found[name] = true end
  end
  pipe:close()
  return found
end

-- Words in spec files behind a dot or colon.
local function called_names()
  local found = {}
  local pipe = assert(io.popen "ls spec/*_spec.lua")
  for path in pipe:lines() do
    for name in read(path):gmatch "[.:]([%a_][%w_]*)" do found[name] = true end
  end
  pipe:close()
  return found
end

local function set_of(names, golden)
  return function(name)
    local last = name:match "[^.]+$"
    if golden[last] then return true end
    for _, op in ipairs(names[last] or {}) do
      if golden[op.name .. (last:find "_$" and "_" or "")] then return true end
    end
    return false
  end
end

-- Names of which a golden call has gradients: functional_gradcheck_spec checks these.
local function names_with_gradients()
  local found, name = {}, nil
  for line in io.lines "spec/golden/functional.lua" do
    name = line:match "^{ space = \"%a+\", name = \"([%w_]+)\"" or name
    if line:find ",grads=\"[^\"]*%l" then found[name] = true end
  end
  return found
end

-- ops_spec checks every operator that has a gradient, by samples of floats.
local function has_gradient_check(names)
  local checked = names_with_gradients()
  return function(name, list)
    if (list == "functional" or list == "nn") and checked[name] then return true end
    for _, op in ipairs(names[name:match "[^.]+$"] or {}) do
      if not op.no_gradient and (op.gradient or op.composed) then return true end
    end
    return false
  end
end

-- The table -----------------------------------------------------------------------------------------------------------

local names, called = by_name(), called_names()
local is_golden, has_gradient = set_of(names, golden_names()), has_gradient_check(names)

print(("%-15s %6s %7s %7s %7s %9s"):format("list", "names", "exist", "golden", "called", "gradient"))
local absent, unproved, complete = {}, {}, true
for _, list in ipairs(LISTS) do
  local count = { all = 0, exist = 0, golden = 0, called = 0, gradient = 0 }
  local find = finder(list)
  absent[list], unproved[list] = {}, {}
  for name in read(FOLDER .. list .. ".txt"):gmatch "%S+" do
    count.all = count.all + 1
    if find(name) == nil then
      table.insert(absent[list], name)
    else
      count.exist = count.exist + 1
      local in_spec = called[name:match "[^.]+$"]
      if is_golden(name) then count.golden = count.golden + 1 end
      if in_spec then count.called = count.called + 1 end
      if not in_spec and not is_golden(name) then table.insert(unproved[list], name) end
      if has_gradient(name, list) then count.gradient = count.gradient + 1 end
    end
  end
  print(("%-15s %6d %7d %7d %7d %9d"):format(list, count.all, count.exist, count.golden, count.called,
    count.gradient))
end
for _, list in ipairs(arg) do
  local missing = assert(absent[list], "no list spec/coverage/" .. list .. ".txt")
  if #unproved[list] > 0 then
    print(("\n%d of %s are neither golden nor called in a spec: %s"):format(#unproved[list], list,
      table.concat(unproved[list], " ")))
  end
  if #missing > 0 then
    complete = false
    print(("\n%d of %s are missing: %s"):format(#missing, list, table.concat(missing, " ")))
  end
end
os.exit(complete)
