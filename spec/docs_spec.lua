--- The reference and the editor annotations that `make docs` writes: every operator of the table has its page, its line
-- in the index and its annotations in every form, and the annotation file is valid Lua.

local torch = require "moontorch"
local near = require "spec.support.near"

local folder, remove
setup(function()
  folder, remove = near.folder()
  local env = setmetatable({ arg = { folder }, print = function() end }, { __index = _G })
  assert(loadfile("spec/support/docs.lua", "t", env))()
end)
teardown(function() remove() end)

-- Faults of one `it`, shown together.
local function expect_none(list)
  assert.equal("", table.concat(list, "\n", 1, math.min(#list, 10)))
end

-- fn(op, name) for every operator that scripts see and every name it goes by.
local function each_name(fn)
  local count = 0
  for _, op in ipairs(torch._ops()) do
    if not op.hidden then
      for name in (op.name .. " " .. (op.alias or "")):gmatch("%S+") do
        fn(op, name)
        count = count + 1
      end
    end
  end
  assert.is_true(count > 200)
end

-- Parameter names of a schema, as they stand there.
local function parameters(schema)
  local names = {}
  for part in (schema:match("%((.-)%)%s*%->") .. ","):gmatch("([^,]*),") do
    local name = part:match("([%a_][%w_]*)%s*=") or part:match("([%a_][%w_]*)%s*$")
    if part:find("%a") and name and not name:find("^%d") then names[#names + 1] = name end
  end
  return names
end

describe("the reference", function()
  it("has a page for every operator, with all it says of itself", function()
    local faults = {}
    for _, op in ipairs(torch._ops()) do
      if not op.hidden then
        local ok, page = pcall(near.read, folder .. "/reference/" .. op.name .. ".md")
        if not ok then
          faults[#faults + 1] = op.name .. " has no page"
        else
          if not page:find(op.doc or "", 1, true) then faults[#faults + 1] = op.name .. ": its doc is missing" end
          for _, name in ipairs(parameters(op.schema)) do
            if not page:find("| `" .. name .. "` |", 1, true) then
              faults[#faults + 1] = op.name .. ": argument " .. name .. " is missing"
            end
          end
          for alias in (op.alias or ""):gmatch("%S+") do
            if not page:find("`" .. alias .. "`", 1, true) then faults[#faults + 1] = op.name .. ": alias " .. alias end
          end
        end
      end
    end
    expect_none(faults)
  end)

  it("has an index that leads to all of them", function()
    local index, faults = near.read(folder .. "/reference/index.md"), {}
    each_name(function(op, name)
      if not index:find(("| [%s](%s.md) |"):format(name, op.name), 1, true) then faults[#faults + 1] = name end
    end)
    expect_none(faults)
  end)

  it("counts dims from one", function()
    assert.is_truthy(near.read(folder .. "/reference/cat.md"):find("cat(tensors, dim = 1)", 1, true))
    assert.is_truthy(near.read(folder .. "/reference/argsort.md"):find("dim = -1", 1, true))
    assert.is_truthy(near.read(folder .. "/reference/flatten.md"):find("start_dim = 1, end_dim = -1", 1, true))
  end)
end)

describe("the annotations", function()
  local text
  setup(function() text = near.read(folder .. "/moontorch.d.lua") end)

  -- What the file defines when it is run: the torch table, and the class of tensors.
  local function run()
    local body = text:gsub("return torch\n$", "return torch, Tensor\n")
    return assert(load(body, "@moontorch.d.lua", "t", { math = math }))()
  end

  it("are valid Lua and start as annotations do", function()
    assert.equal(1, (text:find("---@meta moontorch\n", 1, true)))
    assert.is_function(load(text, "@moontorch.d.lua", "t"))
    local annotated, tensor = run()
    assert.is_table(annotated)
    assert.is_table(tensor)
  end)

  it("have every operator in every form under every name", function()
    local annotated, tensor = run()
    local faults = {}
    each_name(function(op, name)
      if op.func and not op.inplace_only and type(annotated[name]) ~= "function" then
        faults[#faults + 1] = "torch." .. name
      end
      if op.method and not op.inplace_only and type(tensor[name]) ~= "function" then
        faults[#faults + 1] = "x:" .. name
      end
      if (op.inplace or op.inplace_only) and type(tensor[name .. "_"]) ~= "function" then
        faults[#faults + 1] = "x:" .. name .. "_"
      end
    end)
    expect_none(faults)
  end)

  it("have every method, property and function that there is", function()
    local annotated, tensor = run()
    local faults = {}
    for name, v in pairs(torch.methods) do
      if type(v) == "function" and not name:find("^_") and type(tensor[name]) ~= "function" then
        faults[#faults + 1] = "x:" .. name
      end
    end
    for name in pairs(torch.properties) do
      if not name:find("^_") and not text:find("---@field " .. name .. " ", 1, true) then
        faults[#faults + 1] = "x." .. name
      end
    end
    for name, v in pairs(torch) do
      if type(v) == "function" and not name:find("^_") and type(annotated[name]) ~= "function" then
        faults[#faults + 1] = "torch." .. name
      end
    end
    expect_none(faults)
    assert.is_function(annotated.save)
    assert.is_function(annotated.autograd.functional.jacobian)
    assert.is_function(annotated.nn.functional.cross_entropy)
    assert.is_table(annotated.nn.Linear)
  end)

  it("say types, defaults and results", function()
    local at = assert(text:find("\nTensor.sum = function(self, dim, keepdim, keywords) end\n", 1, true))
    local above = text:sub(at - 700, at)
    for _, line in ipairs { "---@param self torch.Tensor", "---@param dim? integer|integer[] # a dim or a list of them",
      "---@param keepdim? boolean # true or false. Default: false.", "dtype?: torch.dtype|string }",
      "---@return torch.Tensor result" } do
      assert.is_truthy(above:find(line, 1, true), line)
    end
    assert.is_truthy(text:find("---@return torch.Tensor values", 1, true))
    assert.is_truthy(text:find("---@overload fun(self: torch.Tensor, dim: integer, keepdim?: boolean", 1, true))
    assert.is_truthy(text:find("---@overload fun(in_features: integer, out_features: integer, bias?: boolean", 1, true))
    local grad = assert(text:find("\ntorch.autograd.grad = ", 1, true))
    assert.is_truthy(text:sub(grad - 600, grad):find("gradients of outputs with respect to", 1, true))
  end)

  it("have an annotation above every function", function()
    local faults, previous = {}, ""
    for line in text:gmatch("[^\n]*") do
      if line:find(" = function%(") and not previous:find("^%-%-%-@") then faults[#faults + 1] = line end
      previous = line
    end
    expect_none(faults)
  end)
end)
