--- Files are written whole or not at all, by every writer: a full disk, a limit, a folder in the way, a kill in the
-- middle leave the old file as it was, and nothing beside it.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local refuses = near.refuses
local utils = torch.utils

-- Of each writer: how it writes a tensor of uint8 [1, H, W], and how that is read again.
local writers = {
  ["torch.save"] = { torch.save, torch.load },
  ["safetensors.save_file"] = { function(x, path) utils.safetensors.save_file({ x = x }, path) end,
    function(path) return utils.safetensors.load_file(path).x end },
  ["npy.save"] = { function(x, path) utils.npy.save(path, x) end, utils.npy.load },
  ["npy.savez"] = { function(x, path) utils.npy.savez(path, { x = x }) end, function(path)
    return utils.npy.load(path).x end },
}
if utils.image.available() then
  writers["image.write_png"] = { function(x, path) utils.image.write_png(x, path) end, utils.image.read }
end
local names = {}
for name in pairs(writers) do names[#names + 1] = name end
table.sort(names)

local folder, remove
setup(function() folder, remove = near.folder() end)
teardown(function() remove() end)

local function run(command) assert.is_true(os.execute("cd '" .. folder .. "' && " .. command)) end
local function listing() return near.output("cd '" .. folder .. "' && LC_ALL=C ls -A") end
local function mode(path) return near.output("ls -ld '" .. folder .. "/" .. path .. "'"):sub(1, 10) end

-- A picture whose values tell it from others; noise, that no packing makes it small.
local function picture(seed, side)
  return torch.randint(0, 256, { 1, side or 8, side or 8 },
    { dtype = torch.uint8, generator = torch.Generator():manual_seed(seed) })
end

local old, new = picture(1), picture(2)

for _, name in ipairs(names) do
  local save, load = table.unpack(writers[name])
  local owner = name:gsub("^torch%.", ""):gsub("^safetensors%.", "")

  describe(name, function()
    local path
    before_each(function()
      run("rm -rf * .m*")
      path = folder .. "/file"
      save(old, path)
    end)

    -- Writing to `target` fails with these words; the old file and its folder are as they were.
    local function fails(target, ...)
      local before, bytes = listing(), near.read(path)
      local message = refuses(function() save(new, target) end, owner .. "(): ", "write_spec.lua:", ...)
      assert.equal(before, listing())
      assert.equal(bytes, near.read(path))
      return message
    end

    it("replaces a file and leaves nothing beside it", function()
      save(new, path)
      assert.is_true(load(path):equal(new))
      assert.equal("file\n", listing())
    end)

    it("keeps the permissions of the old file, and gives a new one the usual", function()
      for _, bits in ipairs { "640", "600", "666" } do
        run("chmod " .. bits .. " file")
        local before = mode("file")
        save(new, path)
        assert.equal(before, mode("file"))
      end
      run("touch usual")
      save(new, folder .. "/fresh")
      assert.equal(mode("usual"), mode("fresh"))
    end)

    it("follows links, relative and absolute ones, to files that are there or not", function()
      run("mkdir in && mv file in/file && ln -s in/file file && ln -s '" .. folder .. "/file' second")
      run("ln -s in/missing dangling")
      save(new, folder .. "/second")
      assert.is_true(load(folder .. "/in/file"):equal(new))
      save(old, path)
      assert.is_true(load(folder .. "/in/file"):equal(old))
      save(new, folder .. "/dangling")
      assert.is_true(load(folder .. "/in/missing"):equal(new))
      assert.same({ "l", "l", "l", "-" },
        { mode("file"):sub(1, 1), mode("second"):sub(1, 1), mode("dangling"):sub(1, 1), mode("in/file"):sub(1, 1) })
      run("ln -s round round")
      refuses(function() save(new, folder .. "/round") end, "cannot write", "symbolic links")
      assert.equal("dangling\nfile\nin\nround\nsecond\n", listing())
      assert.equal("file\nmissing\n", near.output("ls -A '" .. folder .. "/in'"))
    end)

    it("takes names as long as names may be", function()
      local long = folder .. "/" .. ("n"):rep(255)
      save(new, long)
      assert.is_true(load(long):equal(new))
      fails(long .. "n", "File name too long")
    end)

    it("refuses what is no place for a file", function()
      run("mkdir in && touch in/other")
      fails(folder, "cannot write '" .. folder .. "': Is a directory. Nothing was changed; it is a folder")
      fails(folder .. "/in", "Is a directory")
      fails(folder .. "/in/", "Is a directory")
      fails(folder .. "/no/where", "Parent directory " .. folder .. "/no does not exist", "make its folder first")
      fails(path .. "/x", "Parent directory " .. path .. " does not exist")
      fails("", "cannot write")
      fails(path .. "\0tail", "embedded null byte")
      assert.equal("other\n", near.output("ls -A '" .. folder .. "/in'"))
    end)

    it("tells of a full disk", function()
      fails("/dev/full", "cannot write '/dev/full': No space left on device", "free some space")
      assert.is_truthy(near.output("ls -l /dev/full"):find("^c"))
    end)

    it("writes to a device as it is, and does not replace it", function()
      save(new, "/dev/null")
      assert.is_truthy(near.output("ls -l /dev/null"):find("^c"))
      assert.equal("", near.output("ls -A /dev | grep moontorch"))
    end)

    it("survives a reader that goes away", function()
      run("mkfifo pipe; (head -c 1 pipe >/dev/null &)")
      refuses(function() save(picture(3, 1024), folder .. "/pipe") end, "cannot write", "Broken pipe")
      assert.equal("file\npipe\n", listing())
    end)
  end)
end

-- The command that runs a script apart, with `folder` and the `saves` of all writers at hand.
local function script(body)
  local path = folder .. "/script.lua"
  near.write(path, ([[
    local torch = require "moontorch"
    local utils, folder = torch.utils, arg[1] .. "/"
    local saves = {
      ["torch.save"] = torch.save,
      ["safetensors.save_file"] = function(x, path) utils.safetensors.save_file({ x = x }, path) end,
      ["npy.save"] = function(x, path) utils.npy.save(path, x) end,
      ["npy.savez"] = function(x, path) utils.npy.savez(path, { x = x }) end,
      ["image.write_png"] = utils.image.available() and function(x, path)
        utils.image.write_png(x, path, { compression_level = 0 })
      end,
    }
    local function picture(seed, side)
      return torch.randint(0, 256, { 1, side, side },
        { dtype = torch.uint8, generator = torch.Generator():manual_seed(seed) })
    end
  ]]) .. body)
  return ("%s '%s' '%s'"):format(near.interpreter(), path, folder)
end

-- Rights bind root no more than they please: it becomes nobody for the command.
local OTHER = near.output("id -u") == "0\n" and "setpriv --reuid=65534 --regid=65534 --clear-groups " or ""
local others_may_read = near.output(OTHER .. "test -r lua/moontorch/init.lua && echo yes") == "yes\n"

describe("a limit", function()
  before_each(function() run("rm -rf * .m*") end)

  it("of the size of files is an error, not the end of the process", function()
    for _, name in ipairs(names) do writers[name][1](old, folder .. "/" .. name) end
    local before = listing()
    local text = near.output("ulimit -f 64 && " .. script [[
      for name, save in pairs(saves) do
        if save then
          local ok, reason = pcall(save, picture(2, 512), folder .. name)
          print(name, ok, reason)
          save(picture(2, 8), folder .. "small")
          os.remove(folder .. "small")
        end
      end
      print "alive"
    ]])
    run("rm script.lua")
    for _, name in ipairs(names) do
      assert.is_truthy(text:find(name .. "\tfalse\t", 1, true), text)
      assert.is_truthy(text:find("/" .. name .. "': File too large. Nothing was changed; it would be", 1, true), text)
      assert.is_true(writers[name][2](folder .. "/" .. name):equal(old))
    end
    assert.is_truthy(text:find("alive\n$"), text)
    assert.equal(before, listing())
  end)

  it("of rights is one: a folder that may not be written to, a file that is write-protected", function()
    if not others_may_read then return pending("nobody may read this checkout") end
    run("chmod 755 . && mkdir closed open && touch closed/file open/file")
    run("chmod 777 open && chmod 444 closed/file open/file && chmod 555 closed")
    local text = near.output(OTHER .. script [[
      for name, save in pairs(saves) do
        if save then
          for _, path in ipairs { "closed/fresh", "closed/file", "open/file" } do
            local ok, reason = pcall(save, picture(2, 8), folder .. path)
            print(name, path, ok, reason)
          end
          save(picture(2, 8), folder .. "open/fresh")
        end
      end
      print "done"
    ]])
    run("chmod 755 closed")
    assert.is_truthy(text:find("done\n$"), text)
    for _, name in ipairs(names) do
      for _, target in ipairs { "closed/fresh", "closed/file", "open/file" } do
        local line = text:match(name:gsub("%p", "%%%0") .. "\t" .. target .. "\t([^\n]*)")
        assert.is_truthy(line and line:find("^false"), text)
        assert.is_truthy(line:find("Permission denied. Nothing was changed", 1, true), line)
      end
    end
    assert.equal("file\n", near.output("ls -A '" .. folder .. "/closed'"))
    assert.equal("file\nfresh\n", near.output("LC_ALL=C ls -A '" .. folder .. "/open'"))
    assert.equal("0\n", near.output("wc -c < '" .. folder .. "/open/file'"))
  end)
end)

describe("a kill in the middle of a save", function()
  it("leaves an old or a new file, and it is whole", function()
    run("rm -rf * .m*")
    local a, b = picture(1, 700), picture(2, 700)
    for _, name in ipairs(names) do writers[name][1](a, folder .. "/" .. name) end
    local command = script [[
      local a, b = picture(1, 700), picture(2, 700)
      for round = 1, math.huge do
        for name, save in pairs(saves) do
          if save then save(round % 2 == 1 and b or a, folder .. name) end
        end
        if round == 1 then io.open(folder .. "ready", "w"):close() end
      end
    ]]
    local seen = { 0, 0 }
    for kill = 1, 12 do
      os.remove(folder .. "/ready")
      local text = near.output(("%s & n=0; while ! test -e '%s/ready'; do sleep 0.01; n=$((n + 1)); test $n -lt 6000 "
        .. "|| break; done; sleep 0.%03d; kill -9 $! && echo killed; wait"):format(command, folder, kill * 7 % 40))
      assert.is_truthy(text:find("killed", 1, true), text)
      for _, name in ipairs(names) do
        local x = writers[name][2](folder .. "/" .. name)
        local which = x:equal(a) and 1 or x:equal(b) and 2
        assert.is_truthy(which, name .. " is neither the old nor the new one")
        seen[which] = seen[which] + 1
      end
    end
    assert.is_true(seen[1] > 0 and seen[2] > 0)
  end)
end)
