--- torch.amp.GradScaler against PyTorch's, round by round, on the CPU and on a GPU; its state, its errors.
local torch = require "moontorch"
local nn = torch.nn

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local golden = dofile(here .. "/golden/scaler.lua")

local function same(a, b) return a == b or a ~= a and b ~= b or math.abs(a - b) <= 1e-6 * math.abs(b) end

local function check(wanted, got, what)
  if type(wanted) == "table" then
    for k, v in ipairs(wanted) do check(v, got[k], what) end
  else
    assert.is_true(same(got, wanted), ("%s: %s, expected %s"):format(what, got, wanted))
  end
end

local function refused(pattern, f, ...)
  local ok, why = pcall(f, ...)
  assert.is_false(ok)
  assert.is_truthy(tostring(why):find(pattern, 1, true), why)
  assert.is_truthy(tostring(why):find("scaler_spec.lua", 1, true), why)
end

for _, device in ipairs { "cpu", "cuda" } do
  if device == "cpu" or torch.cuda.is_available() then
    describe("GradScaler on " .. device, function()
      for number, run in ipairs(golden) do
        it("goes as PyTorch's, run " .. number, function()
          local scaler = torch.amp.GradScaler(device, run[1])
          local params, optimizers = {}, {}
          for k = 1, #run[2][2] do
            params[k] = nn.Parameter(torch.ones(2, { device = device }))
            optimizers[k] = torch.optim.SGD({ params[k] }, { lr = 0.5 })
          end
          for k = 2, #run do
            local factors, values, scale, count, grads = table.unpack(run[k])
            local where = "round " .. k - 1
            for i, p in ipairs(params) do
              optimizers[i]:zero_grad()
              scaler:scale((p * torch.tensor({ factors[i], 1.0 }, { device = device })):sum()):backward()
            end
            for _, optimizer in ipairs(optimizers) do scaler:step(optimizer) end
            for i, p in ipairs(params) do
              check(values[i], p:detach():cpu():tolist(), where .. " parameter")
              check(grads[i], p.grad:cpu():tolist(), where .. " gradient")
            end
            scaler:update()
            local state = scaler:state_dict()
            check(scale, state.scale, where .. " scale")
            check(count, state._growth_tracker, where .. " count")
          end
        end)
      end

      it("finds what is not finite in every dtype and layout", function()
        for _, dtype in ipairs { torch.float32, torch.float64, torch.float16, torch.bfloat16 } do
          for _, bad in ipairs { 1 / 0, -1 / 0, 0 / 0 } do
            local g = torch.ones(40, 50, { dtype = dtype }):to(device)
            local found, inverse = torch.zeros({}, { device = device }), torch.full({}, 0.5, { device = device })
            local before = g._version
            torch._unscale_(g:t(), found, inverse)
            assert.equal(0, found:item())
            assert.equal(0.5, g[{ 7, 9 }]:item())
            assert.is_true(g._version > before)
            g[{ 40, 50 }] = bad
            torch._unscale_(g, found, inverse)
            assert.equal(1, found:item())
            assert.equal(0.25, g[{ 7, 9 }]:item())
            torch._unscale_(torch.ones(3):to(device), found, inverse)
            assert.equal(1, found:item())
          end
        end
        local large = torch.ones(300000, { device = device })
        large[299999] = 0 / 0
        local found = torch.zeros({}, { device = device })
        torch._unscale_(large, found, torch.ones({}, { device = device }))
        assert.equal(1, found:item())
      end)
    end)
  end
end

describe("GradScaler", function()
  local function start(options)
    local p = nn.Parameter(torch.ones(2))
    local optimizer = torch.optim.SGD({ p }, { lr = 1 })
    return torch.amp.GradScaler("cpu", options or { init_scale = 4.0 }), optimizer, p
  end

  it("is refused as PyTorch's where calls come in the wrong order", function()
    local scaler, optimizer, p = start()
    refused("Attempted step but _scale is None", function() scaler:step(optimizer) end)
    refused("Attempted update but _scale is None", function() scaler:update() end)
    refused("Attempted unscale_ but _scale is None", function() scaler:unscale_(optimizer) end)
    scaler:scale(p:sum()):backward()
    refused("No inf checks were recorded prior to update.", function() scaler:update() end)
    scaler:unscale_(optimizer)
    assert.same({ 1, 1 }, p.grad:tolist())
    refused("unscale_() has already been called on this optimizer since the last update().",
      function() scaler:unscale_(optimizer) end)
    refused("Closure use is not currently supported", function() scaler:step(optimizer, function() end) end)
    scaler:step(optimizer)
    assert.same({ 0, 0 }, p:tolist())
    refused("step() has already been called since the last update().", function() scaler:step(optimizer) end)
    refused("unscale_() is being called after step().", function() scaler:unscale_(optimizer) end)
    scaler:update()
    optimizer:zero_grad()
    refused("No inf checks were recorded for this optimizer.", function() scaler:step(optimizer) end)
    refused("The growth factor must be > 1.0.", function() torch.amp.GradScaler("cpu", { growth_factor = 1.0 }) end)
    refused("The backoff factor must be < 1.0.", function() torch.amp.GradScaler("cpu", { backoff_factor = 1.0 }) end)
    refused("outputs must be a Tensor or an iterable of Tensors", function() scaler:scale(3) end)
  end)

  it("refuses gradients of float16, and leaves all as they are", function()
    local a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2):half())
    local optimizer, scaler = torch.optim.SGD({ a, b }, { lr = 1 }), torch.amp.GradScaler("cpu", { init_scale = 4.0 })
    scaler:scale(a:sum() + b:sum():float()):backward()
    refused("Attempting to unscale FP16 gradients.", function() scaler:step(optimizer) end)
    assert.same({ 4, 4 }, a.grad:tolist())
  end)

  it("scales nested outputs, keeps and loads its state, takes a scale", function()
    local scaler, optimizer, p = start()
    local out = scaler:scale { torch.ones(1), { torch.ones(1):double() } }
    assert.equal(4, out[1]:item())
    assert.equal(torch.float64, out[2][1].dtype)
    scaler:update(16.0)
    assert.equal(16, scaler:get_scale())
    scaler:update(torch.full({ 1 }, 32.0))
    assert.equal(32, scaler:get_scale())
    refused("new_scale should be a float or a 1-element", function() scaler:update(torch.ones(2)) end)
    scaler:scale(p:sum()):backward()
    scaler:step(optimizer)
    scaler:update()
    local state = scaler:state_dict()
    assert.same({ scale = 32, growth_factor = 2, backoff_factor = 0.5, growth_interval = 2000, _growth_tracker = 1 },
      state)
    local other = torch.amp.GradScaler("cpu", { growth_interval = 5 })
    other:load_state_dict(state)
    assert.same(state, other:state_dict())
    other:scale(torch.ones(1))
    assert.same(state, other:state_dict())
    refused("The source state dict is empty", function() other:load_state_dict {} end)
  end)

  it("does nothing where it is off", function()
    local scaler, optimizer, p = start { enabled = false }
    local loss = p:sum()
    assert.equal(loss, scaler:scale(loss))
    loss:backward()
    scaler:unscale_(optimizer)
    scaler:step(optimizer)
    scaler:update()
    assert.same({ 0, 0 }, p:tolist())
    assert.same({}, scaler:state_dict())
    assert.equal(1, scaler:get_scale())
    assert.is_false(scaler:is_enabled())
    if not torch.cuda.is_available() then
      local said = require "spec.support.warnings"(function()
        assert.is_false(torch.amp.GradScaler():is_enabled())
        assert.is_false(torch.cuda.amp.GradScaler():is_enabled())
      end)
      assert.is_truthy(said[1]:find("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.", 1, true))
    end
  end)

  it("clips between unscale_ and step", function()
    local scaler, optimizer, p = start()
    scaler:scale((p * 3):sum()):backward()
    scaler:unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_({ p }, 1.0)
    scaler:step(optimizer)
    scaler:update()
    local moved = 1 - p[1]:item()
    assert.is_true(math.abs(moved - math.sqrt(0.5)) < 1e-5, moved)
  end)
end)
