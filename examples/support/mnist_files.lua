--- Where the demo finds MNIST: $MNIST, then the user's cache folder, which it fills with curl from public mirrors.
-- A file is used only if its unpacked content has the known SHA-256.

local files = {}

local MIRRORS = {
  "https://ossci-datasets.s3.amazonaws.com/mnist/",
  "https://storage.googleapis.com/cvdf-datasets/mnist/",
}

local CONTENT = {
  ["t10k-images-idx3-ubyte"] = "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  ["t10k-labels-idx1-ubyte"] = "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
  ["train-images-idx3-ubyte"] = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  ["train-labels-idx1-ubyte"] = "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
}

local NAMES = {
  train_images = "train-images-idx3-ubyte", train_labels = "train-labels-idx1-ubyte",
  test_images = "t10k-images-idx3-ubyte", test_labels = "t10k-labels-idx1-ubyte",
}

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- The folder's file of that name, gzipped or not.
local function find(folder, name)
  for _, path in ipairs { folder .. "/" .. name .. ".gz", folder .. "/" .. name } do
    if exists(path) then return path end
  end
end

-- All four paths in a folder, or nil and the name that is missing.
local function find_all(folder)
  local found = {}
  for key, name in pairs(NAMES) do
    found[key] = find(folder, name)
    if not found[key] then return nil, name end
  end
  return found
end

local function cache_folder()
  local base = os.getenv("XDG_CACHE_HOME")
  if not base or base == "" then
    local home = os.getenv("HOME")
    if not home or home == "" then return nil end
    base = home .. (exists("/System/Library/CoreServices/SystemVersion.plist") and "/Library/Caches" or "/.cache")
  end
  return base .. "/moontorch/mnist"
end

local function output_of(command)
  local pipe = io.popen(command)
  if not pipe then return "" end
  local text = pipe:read("a")
  pipe:close()
  return text
end

local function has_known_content(path, name)
  local sum = output_of("gzip -dc < " .. quote(path) .. " 2>/dev/null | { sha256sum || shasum -a 256; } 2>/dev/null")
  return sum:match("^%x+") == CONTENT[name]
end

local function download(folder, name)
  local path = folder .. "/" .. name .. ".gz"
  local part = path .. ".part"
  for _, mirror in ipairs(MIRRORS) do
    local url = mirror .. name .. ".gz"
    local ok = os.execute(string.format("curl -fsL --proto =https --connect-timeout 5 --max-time 120 -o %s %s",
      quote(part), quote(url)))
    if ok and has_known_content(part, name) then return os.rename(part, path) end
    os.remove(part)
    print("  could not get " .. url .. (ok and ": its content is not MNIST's" or ""))
  end
  return nil
end

--- The paths of the four files (train_images, train_labels, test_images, test_labels) and where they were found, or nil
-- and why there are none.
function files.locate()
  local given = os.getenv("MNIST")
  if given and given ~= "" then
    local found, missing = find_all(given)
    if found then return found, given end
    print(string.format("MNIST=%s has no %s(.gz)", given, missing))
  end
  local cache = cache_folder()
  if not cache then return nil, "there is no home folder to keep it in" end
  local found = find_all(cache)
  if found then return found, cache end
  if not os.execute("command -v curl >/dev/null 2>&1") then return nil, "curl is not installed" end
  if not os.execute("mkdir -p " .. quote(cache)) then return nil, "cannot make the folder " .. cache end
  print("Fetching MNIST (11 MB) into " .. cache)
  for _, name in pairs(NAMES) do
    if not find(cache, name) and not download(cache, name) then return nil, "no mirror could be reached" end
  end
  return find_all(cache), cache
end

return files
