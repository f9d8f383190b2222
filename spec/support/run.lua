-- Runs test programs and spec files, each in a process of its own and several at once, and sums them up.
--
--   lua run.lua [--build DIR] [--jobs N] [--timeout SECONDS] [--env K=V]... [--lua-env K=V]... [--busted "OPTIONS"]
--               (PROGRAM | FOLDER | FILE_spec.lua)...
--
-- Each process ends its output with `N passed, N failed`; one that does not, or whose exit status contradicts it
-- (a crash, a leak found at exit), counts as one failure more. The last line printed is the sum, alone. --env goes to
-- every process, --lua-env to those that run Lua. A process group that passes its timeout is ended.
local build, jobs, timeout, busted_options = "build", 1, 600, ""
local env, lua_env, targets = {}, {}, {}

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local i = 1
while arg[i] do
  local a = arg[i]
  if a:sub(1, 2) == "--" then
    i = i + 1
    local v = assert(arg[i], a .. " needs a value")
    if a == "--build" then build = v
    elseif a == "--jobs" then jobs = math.tointeger(v) or error("--jobs needs an integer")
    elseif a == "--timeout" then timeout = math.tointeger(v) or error("--timeout needs an integer")
    elseif a == "--busted" then busted_options = v
    elseif a == "--env" then env[#env + 1] = v
    elseif a == "--lua-env" then lua_env[#lua_env + 1] = v
    else error("unknown option " .. a) end
  else
    targets[#targets + 1] = a
  end
  i = i + 1
end

local function lines_of(command)
  local pipe = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do
    list[#list + 1] = line
  end
  pipe:close()
  return list
end

local function exists(path)
  local f = io.open(path)
  return f and f:close()
end

if not os.getenv("MNIST") and exists("../shared/data/mnist/train-images-idx3-ubyte.gz") then
  env[#env + 1] = "MNIST=../shared/data/mnist"
end
local limit = #lines_of("command -v timeout") > 0 and ("timeout -k 10 " .. timeout .. " ") or ""

local function environment(...)
  local words = { "env" }
  for _, list in ipairs { ... } do
    for _, assignment in ipairs(list) do
      words[#words + 1] = quote(assignment)
    end
  end
  return table.concat(words, " ") .. " "
end

local function spec_command(path)
  local paths = {
    "LUA_PATH_5_4=./lua/?.lua;./lua/?/init.lua;./?.lua;" .. package.path,
    "LUA_CPATH_5_4=" .. build .. "/?.so;" .. package.cpath,
  }
  return limit .. environment(env, paths, lua_env) .. quote(arg[-1])
    .. " spec/support/busted.lua --run=make --ignore-lua -o spec/support/handler.lua "
    .. busted_options .. " " .. quote(path)
end

local list = {} -- of {name, command}
for _, target in ipairs(targets) do
  if target:find("%.lua$") then
    list[#list + 1] = { target, spec_command(target) }
  elseif #lines_of("test -d " .. quote(target) .. " && echo d") > 0 then
    for _, path in ipairs(lines_of("find " .. quote(target) .. " -name '*_spec.lua' | LC_ALL=C sort")) do
      list[#list + 1] = { path, spec_command(path) }
    end
  else
    list[#list + 1] = { target, limit .. environment(env) .. quote(target) }
  end
end

local folder = assert(lines_of("mktemp -d")[1], "mktemp failed")
for n, item in ipairs(list) do
  local script = assert(io.open(folder .. "/" .. n .. ".sh", "w"))
  script:write("exec ", item[2], "\n")
  script:close()
end

local worker = quote [[sh "$0/$1.sh" >"$0/$1.log" 2>&1 </dev/null; echo "$1 $?"]]
local queue = ("i=1; while [ $i -le %d ]; do echo $i; i=$((i + 1)); done | xargs -n 1 -P %d sh -c %s %s"):format(
  #list, jobs, worker, quote(folder))

local passed, failed = 0, 0
local failures = {}
local pipe = assert(io.popen(queue))
for line in pipe:lines() do
  local n, status = line:match("^(%d+) (%d+)$")
  local name = list[tonumber(n)][1]
  status = tonumber(status)
  local log = assert(io.open(folder .. "/" .. n .. ".log", "rb"))
  local output = log:read("a")
  log:close()
  local p, f
  local rest = {}
  for l in output:gmatch("[^\n]+") do
    local a, b = l:match("^(%d+) passed, (%d+) failed$")
    if a then
      p, f = tonumber(a), tonumber(b)
    else
      rest[#rest + 1] = "  " .. l
    end
  end
  if not p then
    rest[#rest + 1] = "  no closing line; " .. (status == 124 and "timed out" or "exit status " .. status)
    p, f = 0, 1
  elseif status ~= 0 and f == 0 then
    rest[#rest + 1] = "  exit status " .. status
    f = 1
  end
  passed, failed = passed + p, failed + f
  print(("%s %-44s %4d passed%s"):format(f == 0 and "ok    " or "FAILED", name, p,
    f > 0 and (", " .. f .. " failed") or ""))
  if #rest > 0 then
    print(table.concat(rest, "\n"))
  end
  if f > 0 then
    failures[#failures + 1] = ("%s (%d)"):format(name, f)
  end
  io.stdout:flush()
end
pipe:close()
os.execute("rm -rf " .. quote(folder))

if #list == 0 then
  print("no tests found")
  failed = 1
end
if #failures > 0 then
  print("failed: " .. table.concat(failures, ", "))
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0, true)
