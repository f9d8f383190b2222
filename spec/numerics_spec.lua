--- Where numbers are large, small or special: results that a shorter way of computing would lose. Expectations are
-- PyTorch's, or mathematics.
local torch = require "moontorch"

local function close(expected, got)
  assert.is_true(math.abs(got - expected) <= 1e-6 * math.abs(expected), ("%g, expected %g"):format(got, expected))
end

describe("variance of float32", function()
  it("does not overflow where its root fits", function()
    close(5e29, torch.tensor({ 1e30, 2.0, 3.0, 1.0 }):std():item())
    close(math.sqrt(0.5) * 1e30, torch.tensor({ { 1e30, 1.0 }, { 2.0, 3.0 } }):std(1)[1]:item())
    close(2.5e29, (select(2, torch.std_mean(torch.tensor { 1e30, 2.0, 3.0, 1.0 }))):item())
  end)

  it("is infinite where it does not fit, and NaN of nothing", function()
    assert.equal(math.huge, torch.tensor({ 1e30, 2.0 }):var():item())
    local of_nothing = torch.zeros(0):std { correction = -1 }:item()
    assert.is_true(of_nothing ~= of_nothing)
  end)
end)

describe("16-bit floats", function()
  it("are multiplied and divided by numbers that are not rounded to 16 bits before", function()
    local x = torch.tensor({ 1.5, 2.75, 3.0 }, { dtype = torch.float16 })
    -- 1.5 * 0.3 in float32 rounds to 0.449951171875; 0.3 rounded first would give 0.4501953125.
    assert.equal(0.449951171875, (x * 0.3)[1]:item())
    assert.equal(0.449951171875, (0.3 * x)[1]:item())
    for _, dtype in ipairs { torch.float16, torch.bfloat16 } do
      local t = torch.linspace(0.5, 8, 97):to(dtype)
      local wide, number = t:float(), torch.tensor(1.7)
      assert.is_true((t * 1.7):equal((wide * number):to(dtype)))
      assert.is_true((t / 1.7):equal((wide / number):to(dtype)))
      local options = { rounding_mode = "trunc" }
      assert.is_true(t:div(1.7, options):equal(wide:div(number, options):to(dtype)))
      assert.is_true(t:clone():mul_(1.7):equal((wide * number):to(dtype)))
    end
  end)
end)
