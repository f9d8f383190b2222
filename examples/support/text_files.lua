--- Where the examples find a text: an environment variable's path, then a path beside this checkout, then the user's
-- cache folder, which is filled with curl. A text that was fetched is used only if it has the known SHA-256.

local downloads = require "support.downloads"

local texts = {}

local KNOWN = {
  ["names.txt"] = {
    variable = "NAMES",
    addresses = { "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt" },
    sum = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
  },
  ["tinyshakespeare.txt"] = {
    variable = "SHAKESPEARE",
    addresses = { "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt" },
    sum = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
  },
}

-- A path where the text lies, or nil and why there is none.
local function locate(name)
  local known = KNOWN[name]
  local given = downloads.setting(known.variable)
  if given then
    if downloads.exists(given) then return given end
    print(string.format("%s=%s cannot be read", known.variable, given))
  end
  local beside = "../shared/data/" .. name
  if downloads.exists(beside) then return beside end
  local cache = downloads.cache_folder("texts")
  if not cache then return nil, "there is no home folder to keep it in" end
  local path = cache .. "/" .. name
  if downloads.exists(path) then return path end
  local ready, why = downloads.prepare(cache)
  if not ready then return nil, why end
  print("Fetching " .. name .. " into " .. cache)
  if not downloads.fetch(path, known.addresses, known.sum) then return nil, "no mirror could be reached" end
  return path
end

--- The content of names.txt or tinyshakespeare.txt and its path, or nil, after a line that says why and what to set.
function texts.read(name)
  local path, why = locate(name)
  if not path then
    print(string.format("No %s: %s. Set %s to its path.", name, why, KNOWN[name].variable))
    return nil
  end
  local file = assert(io.open(path, "rb"))
  local content = file:read("a")
  file:close()
  print(name .. " from " .. path)
  return content, path
end

return texts
