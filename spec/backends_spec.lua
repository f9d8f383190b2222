--- torch.backends: its defaults, what ties TF32 to the precision of products, what it refuses. Without a GPU too.
local torch = require "moontorch"

describe("torch.backends", function()
  local matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

  it("has PyTorch's defaults", function()
    assert.is_false(matmul.allow_tf32)
    assert.is_true(matmul.allow_fp16_reduced_precision_reduction)
    assert.is_true(matmul.allow_bf16_reduced_precision_reduction)
    assert.is_true(cudnn.enabled)
    assert.is_true(cudnn.allow_tf32)
    assert.is_false(cudnn.benchmark)
    assert.is_false(cudnn.deterministic)
  end)

  it("ties TF32 to the precision of products", function()
    matmul.allow_tf32 = true
    assert.equal("high", torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision("highest")
    assert.is_false(matmul.allow_tf32)
    torch.set_float32_matmul_precision("medium")
    assert.is_true(matmul.allow_tf32)
    matmul.allow_tf32 = false
    assert.equal("highest", torch.get_float32_matmul_precision())
  end)

  it("refuses what is no bool, and names that it has not", function()
    for _, case in ipairs {
      { cudnn, "benchmark", 3, "set_benchmark_cudnn expects a bool, but got int" },
      { cudnn, "enabled", "a", "set_enabled_cudnn expects a bool, but got str" },
      { matmul, "allow_tf32", 3, "set_allow_tf32_cublas expects a bool, but got int" },
      { matmul, "foo", true, "Unknown attribute foo" },
    } do
      local ok, why = pcall(function() case[1][case[2]] = case[3] end)
      assert.is_false(ok)
      assert.is_truthy(why:find(case[4], 1, true), why)
      assert.is_truthy(why:find("backends_spec.lua", 1, true), why)
    end
    assert.is_true(cudnn.enabled)
  end)

  it("lets flags hold for a function, also one that fails", function()
    local seen = cudnn.flags({ enabled = true, benchmark = true }, function() return cudnn.benchmark end)
    assert.is_true(seen)
    assert.is_false(cudnn.benchmark)
    assert.is_false(pcall(cudnn.flags, { deterministic = true }, function() error "no" end))
    assert.is_false(cudnn.deterministic)
    assert.is_true(cudnn.enabled)
  end)

  it("knows cuDNN only beside a GPU", function()
    assert.equal(cudnn.version() ~= nil, cudnn.is_available())
    if not torch.cuda.is_available() then assert.is_nil(cudnn.version()) end
  end)
end)
