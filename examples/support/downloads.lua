--- Files that the examples share: where they are kept, how they are fetched, and whether they are what they should be.

local downloads = {}

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- Is there a file that can be read?
function downloads.exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- The environment variable's value, or nil where it is not set or empty.
function downloads.setting(name)
  local value = os.getenv(name)
  if value ~= "" then return value end
end

--- The user's cache folder for `name`, or nil where there is no home folder.
function downloads.cache_folder(name)
  local base = downloads.setting("XDG_CACHE_HOME")
  if not base then
    local home = downloads.setting("HOME")
    if not home then return nil end
    local mac = downloads.exists("/System/Library/CoreServices/SystemVersion.plist")
    base = home .. (mac and "/Library/Caches" or "/.cache")
  end
  return base .. "/moontorch/" .. name
end

local function has_known_content(path, sum)
  local unpack = path:find("%.gz%.part$") and "gzip -dc < " or "cat "
  local pipe = io.popen(unpack .. quote(path) .. " 2>/dev/null | { sha256sum || shasum -a 256; } 2>/dev/null")
  if not pipe then return false end
  local text = pipe:read("a")
  pipe:close()
  return text:match("^%x+") == sum
end

--- Makes the folder, if need be, and sees to it that things can be fetched: true, or nil and why not.
function downloads.prepare(folder)
  if not os.execute("command -v curl >/dev/null 2>&1") then return nil, "curl is not installed" end
  if not os.execute("mkdir -p " .. quote(folder)) then return nil, "cannot make the folder " .. folder end
  return true
end

--- Fetches a file from the first of the addresses that has it. It is used only if its content, unpacked where its name
-- ends in .gz, has the SHA-256 `sum`. Returns true, or nil.
function downloads.fetch(path, addresses, sum)
  local part = path .. ".part"
  for _, address in ipairs(addresses) do
    local ok = os.execute(string.format("curl -fsL --proto =https --connect-timeout 5 --max-time 120 -o %s %s",
      quote(part), quote(address)))
    if ok and has_known_content(part, sum) then return os.rename(part, path) end
    os.remove(part)
    print("  could not get " .. address .. (ok and ": its content is not the known one" or ""))
  end
  return nil
end

return downloads
