--- Every example runs: a few steps on little data, in a process of its own, twice. It must succeed, write nothing to a
-- standard error stream that is no terminal, and say the same at its end both times.
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")

-- EXAMPLE_DEVICE=cuda runs them on a GPU, once each.
local DEVICE = os.getenv "EXAMPLE_DEVICE"
local TIMES = DEVICE and 1 or 2
-- How many characters the example shakespeare writes.
local LENGTH = DEVICE and 8 or 500

-- One row an example: the options that make it short, and a pattern for each of its last lines. In options and patterns
-- `OUT` is the file that the example writes; its runs share it.
local NAMES = "^  %l+ +%l+ +%l+ +%l+ +%l+$"
local EXAMPLES = {
  { name = "mnist", options = "--epochs 1 --out OUT",
    closing = { "^%d+ of 40 test digits right: %d+%.%d%d %%$", "^saved as OUT$" } },
  { name = "mnist", options = "--load OUT",
    closing = { "^OUT: %d+ of 40 right, %d+%.%d%d %%; saved as %d+$", "^The loaded network is the saved one%.$" } },
  { name = "mnist_cnn", options = "--epochs 2 --out OUT",
    closing = { "^%d+ of 40 test digits right: %d+%.%d%d %%$", "^saved as OUT$" } },
  { name = "mnist_cnn", options = "--load OUT",
    closing = { "^OUT: %d+ of 40 right, %d+%.%d%d %%; saved as %d+$", "^The loaded network is the saved one%.$" } },
  { name = "names", options = "--epochs 1 --out OUT",
    closing = { "^20 names that are not in the list:$", NAMES, NAMES, NAMES, NAMES, "^$",
      "^validation loss %d%.%d+: as unsure of each letter as between %d+%.%d equally likely ones$",
      "^saved as OUT$" } },
  { name = "names", options = "--load OUT --seed 3",
    closing = { "^20 names that are not in the list:$", NAMES, NAMES, NAMES, NAMES } },
  { name = "autoencoder", options = "--epochs 1 --out OUT",
    closing = { "^reconstruction error of 40 test digits: 0%.%d%d%d%d a pixel; the mean digit's is 0%.%d%d%d%d$",
      "^saved as OUT$" } },
  { name = "autoencoder", options = "--load OUT",
    closing = { "^reconstruction error of 40 test digits: 0%.%d%d%d%d a pixel; the mean digit's is 0%.%d%d%d%d$" } },
  { name = "cartpole", options = "--steps 3 --out OUT",
    closing = { "^mean return of 100 new episodes: %d+%.%d, not solved$", "^saved as OUT$" } },
  { name = "cartpole", options = "--load OUT", closing = { "^mean return of 100 new episodes: %d+%.%d, not solved$" } },
  { name = "shakespeare", options = "--steps 4 --out OUT",
    closing = { "^" .. ("[%l ]"):rep(LENGTH + 1) .. "$", "^$",
      "^validation loss [23]%.%d+ nats per character after 4 steps, 4 of them now$", "^saved as OUT$" } },
  { name = "shakespeare", options = "--load OUT --steps 6 --out OUT.more",
    closing = { "^" .. ("[%l ]"):rep(LENGTH + 1) .. "$", "^$",
      "^validation loss [12]%.%d+ nats per character after 6 steps, 2 of them now$", "^saved as OUT.more$" } },
  { name = "shakespeare", options = "--load OUT --prompt thou --seed 3",
    closing = { "^thou" .. ("[%l ]"):rep(LENGTH) .. "$" } },
}

local TRAIN, TEST = 200, 40

local folder, remove, environment

-- IDX files of `count` pictures, in which the brightest rows tell the label.
local function write_digits(stem, count)
  local images, labels = { string.pack(">I4I4I4I4", 0x803, count, 28, 28) }, { string.pack(">I4I4", 0x801, count) }
  for i = 1, count do
    local label = i * 7 % 10
    labels[i + 1] = string.char(label)
    local rows = {}
    for r = 1, 28 do
      rows[r] = string.char(r // 3 == label and 255 or i * r % 90):rep(20) .. ("\0"):rep(8)
    end
    images[i + 1] = table.concat(rows)
  end
  near.write(folder .. "/" .. stem .. "-images-idx3-ubyte", table.concat(images))
  near.write(folder .. "/" .. stem .. "-labels-idx1-ubyte", table.concat(labels))
end

-- The program that runs this spec.
local function lua()
  local lowest = 0
  while arg and arg[lowest - 1] do lowest = lowest - 1 end
  return lowest < 0 and arg[lowest] or "lua5.4"
end

-- Lines of what an example prints, its exit status, and what it writes to its standard error stream.
local function run(name, options)
  local errors = folder .. "/errors"
  local pipe = assert(io.popen(("%s '%s' examples/%s.lua %s 2>'%s'"):format(environment, lua(), name, options, errors)))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  local _, _, status = pipe:close()
  return lines, status, (near.read(errors):gsub("==%d+==WARNING: ASan doesn't fully support makecontext[^\n]*\n", ""))
end

describe("example", function()
  setup(function()
    folder, remove = near.folder()
    write_digits("train", TRAIN)
    write_digits("t10k", TEST)
    near.write(folder .. "/names", ("anna\nbob\nclara\r\ndavid\neve\nfrank\ngreta\nhugo\nida\njohn\n"):rep(2))
    near.write(folder .. "/shakespeare", ("thou art thy own and none but thine "):rep(50))
    environment = ("env HOME='%s' MNIST='%s' NAMES='%s/names' SHAKESPEARE='%s/shakespeare'")
      :format(folder, folder, folder, folder)
  end)
  teardown(function() remove() end)

  for _, example in ipairs(EXAMPLES) do
    it(example.name .. " " .. example.options, function()
      local out = folder .. "/" .. example.name .. ".out"
      local ends = {}
      for time = 1, TIMES do
        local options = example.options:gsub("OUT", out)
        if DEVICE then options = options .. " --device " .. DEVICE end
        if example.name == "shakespeare" then options = options .. " --length " .. LENGTH end
        if example.name == "shakespeare" and DEVICE then options = options .. " --batch 1" end
        local lines, status, errors = run(example.name, options)
        local text = table.concat(lines, "\n")
        assert.equal("", errors, text)
        assert.equal(0, status, text)
        local first = #lines - #example.closing
        ends[time] = table.concat(lines, "\n", math.max(1, first + 1))
        for i, pattern in ipairs(example.closing) do
          pattern = pattern:gsub("OUT", (out:gsub("[%p]", "%%%0"):gsub("%%", "%%%%")))
          local line = lines[first + i] or ""
          assert.is_truthy(line:find(pattern), ("expected %s, but got %s after\n%s"):format(pattern, line, text))
        end
      end
      assert.equal(ends[1], ends[TIMES])
    end)
  end

  if DEVICE then return end

  -- A number may differ by one in its last digit: another order of sums may move it over the edge of rounding.
  it("port/train prints what train.py printed in PyTorch", function()
    local lines, status, errors = run("port/train", folder .. "/port.out")
    assert.equal("", errors)
    assert.equal(0, status)
    local count = 0
    for wanted in io.lines("examples/port/expected.txt") do
      count = count + 1
      local line = lines[count] or ""
      assert.equal((wanted:gsub("%.%d+", "")), (line:gsub("%.%d+", "")))
      local decimals = line:gmatch("%.(%d+)")
      for expected in wanted:gmatch("%.(%d+)") do
        local got = decimals()
        assert.is_true(#got == #expected and math.abs(got - expected) <= 1, line .. "\nis not\n" .. wanted)
      end
    end
    assert.equal(#lines, count)
    assert.is_true(count > 25)
  end)

  it("says how it is used where an option is unknown or no number", function()
    for _, options in ipairs { "--what 3", "--epochs", "--epochs x", "--seed 1.5", "epochs 3" } do
      local lines, status, errors = run("mnist", options)
      assert.same({}, lines)
      assert.equal(2, status)
      assert.is_truthy(errors:find("^usage: mnist%.lua %[%-%-epochs N%]"))
    end
    local lines, status, errors = run("mnist", "--help")
    assert.is_truthy(lines[1]:find("^usage: mnist%.lua"))
    assert.equal(0, status)
    assert.equal("", errors)
  end)
end)

describe("the cart of the example cartpole", function()
  -- States of gymnasium 1.4.0, CartPoleEnv.step, from the same state with the same pushes.
  it("moves as Gym's", function()
    local cart = dofile("examples/support/cart.lua")
    local state, failed = { 0.03, -0.02, 0.04, 0.01 }
    for _, action in ipairs { 2, 1, 1, 2, 2, 2, 1, 2 } do
      state, failed = cart.push(state, action)
      assert.is_false(failed)
    end
    near.check({ 0.042096106604463404, 0.36586210681410936, 0.025086660514770841, -0.47893318293899828 }, state)
    local steps = 8
    repeat
      state, failed = cart.push(state, 1)
      steps = steps + 1
    until failed
    assert.equal(19, steps)
    near.check({ -0.092464768827483987, -1.7867490509478334, 0.25239723801665409, 2.9529575007550952 }, state)
    assert.is_true(select(2, cart.push({ 2.39, 1, 0, 0 }, 2)))
    assert.is_true(select(2, cart.push({ -2.39, -1, 0, 0 }, 1)))
  end)
end)
