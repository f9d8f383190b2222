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
