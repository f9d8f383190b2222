--- Where the examples find MNIST: $MNIST, then the user's cache folder, which is filled with curl from public mirrors.
-- A file that was fetched is used only if its unpacked content has the known SHA-256.

local downloads = require "support.downloads"

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

-- The folder's file of that name, gzipped or not.
local function find(folder, name)
  for _, path in ipairs { folder .. "/" .. name .. ".gz", folder .. "/" .. name } do
    if downloads.exists(path) then return path end
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

local function fetch(folder, name)
  local addresses = {}
  for i, mirror in ipairs(MIRRORS) do addresses[i] = mirror .. name .. ".gz" end
  return downloads.fetch(folder .. "/" .. name .. ".gz", addresses, CONTENT[name])
end

--- The paths of the four files (train_images, train_labels, test_images, test_labels) and where they were found, or nil
-- and why there are none.
function files.locate()
  local given = downloads.setting("MNIST")
  if given then
    local found, missing = find_all(given)
    if found then return found, given end
    print(string.format("MNIST=%s has no %s(.gz)", given, missing))
  end
  local cache = downloads.cache_folder("mnist")
  if not cache then return nil, "there is no home folder to keep it in" end
  local found = find_all(cache)
  if found then return found, cache end
  local ready, why = downloads.prepare(cache)
  if not ready then return nil, why end
  print("Fetching MNIST (11 MB) into " .. cache)
  for _, name in pairs(NAMES) do
    if not find(cache, name) and not fetch(cache, name) then return nil, "no mirror could be reached" end
  end
  return find_all(cache), cache
end

return files
