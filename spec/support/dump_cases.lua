--- Writes what spec/golden/make_table.py asks PyTorch about: every sample of every operator that users can call.
--
--   lua spec/support/dump_cases.lua FOLDER
--
-- FOLDER/schemas.txt    one schema a line, then # and the aliases
-- FOLDER/calls.json the calls, FOLDER/inputs.safetensors their tensors.
-- A call is an operator's sample: positional arguments, keywords, and for each dtype in which the sample can be built
-- the name of its run. Tensor k of a run is called "run.k" in the file; arguments refer to it by k. Positions are
-- written as Lua sees them.
local torch = require "moontorch"
local operators = require "spec.support.operators"
local json = require "moontorch.utils.json"
local golden_table = require "spec.support.golden_table"

local folder = assert(arg[1], "usage: lua spec/support/dump_cases.lua FOLDER")

local function list_of(items) return "[" .. table.concat(items, ", ") .. "]" end

local function object(fields)
  local parts = {}
  for k = 1, #fields, 2 do parts[#parts + 1] = json.quote(fields[k]) .. ": " .. fields[k + 1] end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- An argument: {"tensor": k}, {"list": [...]}, {"float": text}, or itself. `count` numbers the tensors.
local function encode(v, count)
  if v == nil then return "null" end
  if torch.is_tensor(v) then
    count[1] = count[1] + 1
    return object { "tensor", tostring(count[1]) }
  end
  if math.type(v) == "float" then return object { "float", json.quote(("%.17g"):format(v)) } end
  if type(v) == "string" then return json.quote(v) end
  if type(v) ~= "table" then return tostring(v) end
  local items = {}
  for k = 1, #v do items[k] = encode(v[k], count) end
  return object { "list", list_of(items) }
end

local tensors, calls, schemas, runs = {}, {}, {}, 0

local function add(op, sample, refused)
  local made, special = {}, {}
  local text
  local function keep(list, dtype, args)
    runs = runs + 1
    list[#list + 1] = json.quote(dtype) .. ": " .. runs
    for k, t in ipairs(golden_table.tensors(args)) do tensors[("%d.%d"):format(runs, k)] = t:contiguous() end
  end
  for _, dtype in ipairs(golden_table.dtypes(sample)) do
    local args = golden_table.build(sample, op.name, dtype)
    keep(made, dtype, args)
    if not refused and dtype ~= "bool" and not op.random and #golden_table.tensors(args) > 0 then
      keep(special, dtype, golden_table.special(args, sample, dtype))
    end
    if not text then
      local count, items, keywords = { 0 }, {}, {}
      for k = 1, args.n do items[k] = encode(args[k], count) end
      for _, name in ipairs(golden_table.names(args)) do
        keywords[#keywords + 1] = name
        keywords[#keywords + 1] = encode(args.keywords[name], count)
      end
      text = { "args", list_of(items), "keywords", object(keywords) }
    end
  end
  local fields = {
    "schema", json.quote(op.schema), "sample", json.quote(sample.text), "refused", tostring(refused),
    "checksum", json.quote(golden_table.checksum(sample, op.name)), "runs", "{" .. table.concat(made, ", ") .. "}",
    "special", "{" .. table.concat(special, ", ") .. "}",
    table.unpack(text),
  }
  for _, flag in ipairs { "func", "method", "inplace", "inplace_only", "random", "no_gradient" } do
    fields[#fields + 1] = flag
    fields[#fields + 1] = tostring(op[flag] or false)
  end
  fields[#fields + 1] = "unwritten"
  fields[#fields + 1] = tostring(operators.unwritten[op.name] or false)
  calls[#calls + 1] = object(fields)
end

for _, op in ipairs(operators.all()) do
  if not op.hidden then
    schemas[#schemas + 1] = op.schema .. (op.alias and "  # " .. op.alias or "") .. "\n"
    for _, sample in ipairs(op.cases) do
      add(op, sample, false)
    end
    for _, sample in ipairs(op.refused) do
      add(op, sample, true)
    end
  end
end

local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  assert(file:write(text))
  assert(file:close())
end

write("schemas.txt", table.concat(schemas))
write("calls.json", "[" .. table.concat(calls, ",\n") .. "]\n")
torch.utils.safetensors.save_file(tensors, folder .. "/inputs.safetensors")
print(("%d operators, %d samples, %d runs"):format(#schemas, #calls, runs))
