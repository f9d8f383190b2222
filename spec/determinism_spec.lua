--- The same bits for any number of threads, always; with torch.use_deterministic_algorithms(true) on every processor
-- that has AVX2 as well. Every operator is called with its samples as they are and enlarged; then large calls.
local torch = require "moontorch"
local determinism = require "spec.support.determinism"
local near = require "spec.support.near"

-- Under the sanitizers and the eager collector, which look for other faults, large calls with a few threads are enough.
local checked_otherwise = os.getenv("ASAN_OPTIONS") or os.getenv("GCSTRESS")

-- Raises with the names of all cases that differ.
local function none(different)
  if #different == 0 then return end
  error(("%d cases differ:\n%s"):format(#different, table.concat(different, "\n", 1, math.min(#different, 20))), 0)
end

describe("the number of threads changes no bit of", function()
  local before = torch.get_num_threads()
  after_each(function() torch.set_num_threads(before) end)

  local sets = {
    { "large", "large calls", checked_otherwise and { 3 } or { 2, 3, 5, 8 }, 150 },
    { "small", "the samples of all operators", { 3 }, 6500 },
    { "enlarged", "enlarged samples", { 3 }, 900 },
  }
  for k = 1, checked_otherwise and 1 or #sets do
    local set, name, numbers, least = table.unpack(sets[k])
    it(name, function()
      local different = {}
      torch.set_num_threads(1)
      local names = determinism.walk(set, function(case, run, digest)
        for _, threads in ipairs(numbers) do
          torch.set_num_threads(threads)
          local got, why = determinism.try(run)
          if got ~= digest then
            different[#different + 1] = ("%s, %d threads: %s"):format(case, threads, why or "other bits")
            break
          end
        end
        torch.set_num_threads(1)
      end)
      none(different)
      assert.is_true(#names >= least, ("only %d cases ran"):format(#names))
    end)
  end
end)

-- Another process, which has other seeds of hash tables and other addresses: it writes digests into a file.
local function start(isa)
  local path = os.tmpname()
  local program = "require('moontorch').use_deterministic_algorithms(true); "
    .. "require('spec.support.determinism').print()"
  return { path = path, pipe = assert(io.popen(("MOONTORCH_ISA=%s %s -e \"%s\" >'%s' 2>&1"):format(isa,
    near.interpreter(), program, path))) }
end

local function digests_of(process)
  local ended = process.pipe:close()
  local names, digests = {}, {}
  for line in io.lines(process.path) do
    local name, digest = line:match("^(.-)\t(.*)$")
    if not name then error("the other process says: " .. line, 0) end
    names[#names + 1] = name
    digests[name] = digest
  end
  os.remove(process.path)
  assert(ended)
  return names, digests
end

local function processor_has_avx512()
  local file = io.open("/proc/cpuinfo")
  local text = file and file:read("a") or ""
  if file then file:close() end
  return text:find("avx512f", 1, true) and text:find("avx512vl", 1, true) and text:find("avx2", 1, true)
end

describe("use_deterministic_algorithms", function()
  after_each(function()
    torch.use_deterministic_algorithms(false)
    torch.utils.deterministic.fill_uninitialized_memory = true
  end)

  if not checked_otherwise then it("gives the same bits on AVX2 and AVX-512", function()
    if not processor_has_avx512() then
      pending("this processor has no AVX-512, so there is nothing to compare")
      return
    end
    local wide, narrow = start("avx512"), start("avx2")
    local names, first = digests_of(wide)
    local _, second = digests_of(narrow)
    local different = {}
    for _, name in ipairs(names) do
      if first[name] ~= second[name] then different[#different + 1] = name end
    end
    none(different)
    assert.is_true(#names >= 7350, ("only %d cases ran"):format(#names))
  end) end

  it("changes results by rounding only", function()
    -- The last gradient of LBFGS is what rounding leaves where it has arrived.
    local converged = { ["three steps of LBFGS"] = true }
    for _, case in ipairs(determinism.large()) do
      local run = case.make()
      local plain = converged[case.name] and {} or run()
      torch.use_deterministic_algorithms(true)
      local fixed = run()
      torch.use_deterministic_algorithms(false)
      for k, t in ipairs(plain) do
        if torch.is_tensor(t) and t.dtype.is_floating_point and t:numel() > 0 then
          local a, b = t:detach():double():nan_to_num(), fixed[k]:detach():double():nan_to_num()
          local tolerance = t.dtype.itemsize == 2 and 1e-2 or 1e-4
          local gap, size = (a - b):norm():item(), a:norm():item()
          assert(gap <= tolerance * size, ("%s, result %d: %g of %g"):format(case.name, k, gap, size))
        end
      end
    end
  end)

  it("is one switch for the process, workers included", function()
    torch.use_deterministic_algorithms(true)
    local loader = torch.utils.data.DataLoader({
      len = function() return 2 end,
      get = function()
        local t = require "moontorch"
        return t.tensor(t.are_deterministic_algorithms_enabled() and 1 or 0)
      end,
    }, { num_workers = 1, batch_size = 2 })
    for batch in loader() do assert.same({ 1, 1 }, batch:tolist()) end
  end)

  it("has a debug mode", function()
    assert.equal(0, torch.get_deterministic_debug_mode())
    for mode, state in pairs { warn = { 1, true, true }, error = { 2, true, false }, default = { 0, false, false } } do
      for _, given in ipairs { mode, state[1] } do
        torch.set_deterministic_debug_mode(given)
        assert.same(state, { torch.get_deterministic_debug_mode(), torch.are_deterministic_algorithms_enabled(),
          torch.is_deterministic_algorithms_warn_only_enabled() })
      end
    end
    torch.use_deterministic_algorithms(true, { warn_only = true })
    assert.equal(1, torch.get_deterministic_debug_mode())
    near.refuses(function() torch.set_deterministic_debug_mode("x") end, "determinism_spec.lua",
      "invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got x")
    near.refuses(function() torch.set_deterministic_debug_mode(7) end,
      "invalid value of debug_mode, expected 0, 1, or 2, but got 7")
    near.refuses(function() torch.set_deterministic_debug_mode(1.5) end, "debug_mode must be str or int, but got")
    assert.equal(1, torch.get_deterministic_debug_mode())
  end)

  it("fills memory that nobody wrote", function()
    torch.use_deterministic_algorithms(true)
    local largest = { uint8 = 255, int8 = 127, int16 = 32767, int32 = 2147483647, int64 = math.maxinteger, bool = true }
    for name, value in pairs(largest) do
      assert.same({ value, value, value }, torch.empty(3, { dtype = torch[name] }):tolist())
    end
    local like = torch.ones(2)
    local made = { torch.empty(2), torch.empty(2, { dtype = torch.float16 }), torch.Tensor(2), torch.empty_like(like),
      like:new_empty(2), torch.empty_strided({ 2 }, { 2 }), torch.empty(2, { dtype = torch.float64 }),
      torch.empty(2, { dtype = torch.bfloat16 }) }
    for _, t in ipairs(made) do assert.is_true(t:isnan():all():item()) end
    -- what resize_ adds, not what it keeps
    local x = torch.ones(2)
    x:resize_(5)
    assert.same({ false, false, true, true, true }, x:isnan():tolist())
    x:resize_(1)
    x:resize_(2)
    assert.same({ 1, 1 }, x:tolist())
    -- it still counts as unwritten: nn refuses such a parameter by name
    assert.is_true(torch.is_unwritten(torch.empty(3)))
  end)

  it("fills nothing when told so", function()
    local settings = torch.utils.deterministic
    torch.use_deterministic_algorithms(true)
    assert.is_true(settings.fill_uninitialized_memory)
    settings.fill_uninitialized_memory = false
    assert.is_false(settings.fill_uninitialized_memory)
    torch.full({ 1000 }, 4.5):free() -- the block that comes next, but for its first bytes
    assert.is_false(torch.empty(1000):narrow(1, 9, 990):isnan():any():item())
    near.refuses(function() settings.fill_uninitialized_memory = 3 end, "expected a bool, but got number")
    near.refuses(function() settings.fill = true end, "no setting is called 'fill'")
  end)
end)
