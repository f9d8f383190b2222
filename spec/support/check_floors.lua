-- Proves the floors of the house: each folder of src includes only those below it and only src/lua knows lua.h; the
-- modules in lua/moontorch require only what stands before them; no file outgrows 1,000 lines (a warning from 800).
-- Exit status 1 with one line per breach.

-- What the files of a folder may include, by the first folder of the path.
local includes = {
  ["src/base"] = { base = true },
  ["src/tensor"] = { base = true, tensor = true },
  ["src/cpu"] = { base = true, tensor = true, cpu = true },
  ["src/cuda"] = { base = true, tensor = true, cuda = true, cpu = true },
  ["src/graph"] = { base = true, tensor = true, cpu = true, cuda = true, graph = true },
  ["src/ops"] = { base = true, tensor = true, cpu = true, cuda = true, graph = true, ops = true },
  ["src/lua"] = { base = true, tensor = true, graph = true, ops = true, lua = true },
}
-- Of src/cpu, src/cuda sees the formulas that C and CUDA share and what kernels are asked for, not how the host
-- does it.
local cuda_sees = {
  ["cpu/formulas.h"] = true, ["cpu/formulas_plain.h"] = true,
  ["cpu/formula_ids.h"] = true, ["cpu/special.h"] = true, ["cpu/device_kernels.h"] = true,
  ["cpu/optim_steps.h"] = true, ["cpu/draw.h"] = true,
  ["cpu/kinds.h"] = true,
  ["cpu/pool_span.h"] = true, ["cpu/resample_taps.h"] = true, ["cpu/conv.h"] = true,
  ["cpu/recurrent.h"] = true, ["cpu/recurrent_cells.h"] = true,
}
local lua_headers = { ["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true, ["luaconf.h"] = true }

-- Order of the Lua modules: a module requires its own floor and those below.
local floors = { sugar = 1, functional = 2, nn = 3, optim = 4, utils = 5, init = 6 }

local breaches, warnings = {}, {}
local function breach(...)
  breaches[#breaches + 1] = table.concat({ ... })
end

local function files(folder, pattern)
  local list = {}
  local pipe = assert(io.popen("find " .. folder .. " -type f | LC_ALL=C sort"))
  for path in pipe:lines() do
    if path:find(pattern) then
      list[#list + 1] = path
    end
  end
  pipe:close()
  return list
end

local function check_include(path, number, header, quoted)
  local where = path .. ":" .. number .. ": "
  local folder = path:match("^src/[^/]+") or "src"
  if lua_headers[header] then
    if folder ~= "src/lua" and path ~= "src/moontorch.h" then
      breach(where, "only src/lua includes ", header)
    end
    return
  end
  if not quoted then
    return
  end
  local target = header:match("^([^/]+)/")
  if header:find("..", 1, true) then
    breach(where, "includes are written from src/, without ..: ", header)
  elseif not target then
    if header ~= "moontorch.h" then
      breach(where, "includes are written from src/: ", header)
    end
  elseif path == "src/lua/cuda.c" and target == "cuda" then
    return -- the binding of moontorch/cuda.so itself
  elseif includes[folder] and not includes[folder][target] then
    breach(where, folder, " may not include ", header)
  elseif folder == "src/cuda" and target == "cpu" and not cuda_sees[header] then
    breach(where, "of src/cpu, src/cuda may include only the shared formulas and device_kernels.h, not ", header)
  end
end

-- The floor of a module by its path below lua/moontorch: functional wherever it lies, else the first part of the path.
local function floor_of(name)
  if name == "" then
    return floors.init, "init"
  end
  if name:find("functional") then
    return floors.functional, "functional"
  end
  local first = name:match("^[^.]+")
  if floors[first] then
    return floors[first], first
  end
  return floors.sugar, "sugar"
end

local function check_require(path, number, required)
  local name = required:match("^moontorch%.?(.*)$")
  if not name or name == "core" then
    return
  end
  local own = path:gsub("^lua/moontorch/", ""):gsub("%.lua$", ""):gsub("/?init$", function(tail)
    -- nn/init.lua may be nn itself; either way it stands on nn's floor.
    return tail == "/init" and "" or ""
  end):gsub("/", ".")
  local mine, my_name = floor_of(own)
  local theirs, their_name = floor_of(name)
  if theirs > mine then
    breach(path, ":", number, ": ", my_name, " may not require ", required, " (", their_name, ")")
  end
end

local function each_line(path, body)
  local number = 0
  for line in io.lines(path) do
    number = number + 1
    body(line, number)
  end
  if path:find("^spec/golden/") then
    return -- recorded values, however many
  elseif number > 1000 then
    breach(path, ": ", number, " lines; split it along a seam that has a name")
  elseif number > 800 then
    warnings[#warnings + 1] = path .. ": " .. number .. " lines"
  end
end

local count = 0
for _, path in ipairs(files("src", "%.[ch]u?h?$")) do
  count = count + 1
  each_line(path, function(line, number)
    local open, header = line:match('^%s*#%s*include%s*([<"])([^>"]+)')
    if header then
      check_include(path, number, header, open == '"')
    end
  end)
end
for _, path in ipairs(files("lua", "%.lua$")) do
  count = count + 1
  each_line(path, function(line, number)
    local code = line:gsub("%-%-.*", "")
    for required in code:gmatch("require%s*%(?%s*[\"']([%w_.]+)[\"']") do
      check_require(path, number, required)
    end
  end)
end
for _, path in ipairs(files("spec examples bench", "%.[lch]u?a?$")) do
  count = count + 1
  each_line(path, function() end)
end

for _, line in ipairs(warnings) do
  print("warning: " .. line)
end
for _, line in ipairs(breaches) do
  print("floors: " .. line)
end
if #breaches == 0 then
  print(("floors: %d files in order"):format(count))
end
os.exit(#breaches == 0)
