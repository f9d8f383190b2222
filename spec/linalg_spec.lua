--- torch.linalg: norms, products, solutions. Numbers are PyTorch 2.15's.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/support/near.lua")
local L, check, refuses = torch.linalg, near.check, near.refuses

local inf, f64 = math.huge, { dtype = torch.float64 }
local x = torch.tensor { { 1.0, -2, 3 }, { 4, 0.5, -6 } }
local x3 = torch.stack { x, x * 2 - 1 }

describe("linalg norms", function()
  local matrix = {
    { "fro", { 8.13941002, 16.40122032 }, { 8.06225777, 16.43928146 }, { 8.13941002, 16.40122032 } },
    { 1, { 9, 18 }, { 8, 19 }, { 10.5, 20 } },
    { -1, { 2.5, 5 }, { 2, 0.5 }, { 6, 11 } },
    { inf, { 10.5, 20 }, { 11, 20 }, { 9, 18 } },
    { -inf, { 6, 11 }, { 6, 10.5 }, { 2.5, 5 } },
    { 2, { 7.57830190, 15.36773777 }, { 8.02558517, 16.42184639 }, { 7.57830190, 15.36773777 } },
    { -2, { 2.96973562, 5.72997808 }, { 0.76809537, 0.75690693 }, { 2.96973562, 5.72997808 } },
    { "nuc", { 10.54803753, 21.09771538 }, { 8.79368019, 17.17875290 }, { 10.54803753, 21.09771538 } },
  }
  for _, case in ipairs(matrix) do
    local ord = case[1]
    it("of matrices, " .. tostring(ord), function()
      check(case[2], L.matrix_norm(x3, ord), 1e-6)
      check({ { { case[3][1] }, { case[3][2] } } }, L.matrix_norm(x3, ord, { 1, 3 }, true), 1e-6)
      check(case[4], L.matrix_norm(x3, { ord = ord, dim = { 3, 2 } }), 1e-6)
      check(case[2], L.norm(x3, ord, { -2, -1 }), 1e-6)
    end)
  end

  local vector = {
    { 2, 8.13941002, { 3.74165750, 7.22841597 } }, { 1, 16.5, { 6, 10.5 } },
    { 3, 6.81218290, { 3.30192733, 6.54310656 } },
    { 0, 6, { 3, 3 } }, { inf, 6, { 3, 6 } }, { -inf, 0.5, { 1, 0.5 } },
    { 0.5, 86.54322814, { 17.19150925, 26.59048843 } },
    { -1, 0.23529412, { 0.54545456, 0.41379309 } },
  }
  for _, case in ipairs(vector) do
    it("of vectors, " .. tostring(case[1]), function()
      check(case[2], L.vector_norm(x, case[1]):item(), 1e-6)
      check(case[3], L.vector_norm(x, case[1], 2), 1e-6)
    end)
  end

  it("of what dim names", function()
    check(18.30983353, L.norm(x3):item(), 1e-6)
    check(3.30192733, L.norm(x[1], 3):item(), 1e-6)
    check(9.0, L.norm(x, 1):item())
    check({ 8.13941002, 16.40122032 }, L.norm(x3, { dim = { 2, 3 } }), 1e-6)
    check({ { { 3.74165750 }, { 7.22841597 } }, { { 7.14142847 }, { 14.76482296 } } },
      L.norm(x3, { dim = 3, keepdim = true }), 1e-6)
    local wide = L.norm(x, { dtype = torch.float64 })
    assert.are.equal(torch.float64, wide.dtype)
    check(8.13941029804985, wide:item(), 1e-12)
  end)

  it("carry gradients", function()
    local y = x:clone():requires_grad_()
    L.matrix_norm(y, inf):backward()
    check({ { 0, 0, 0 }, { 1, 1, -1 } }, y.grad)
    local wanted = {
      [2] = { { -0.148807277, -0.048484679, 0.286494191 }, { 0.430853323, 0.140381474, -0.82950899 } },
      [-2] = { { 0.716463311, -0.549735286, 0.279102398 }, { 0.247450696, -0.189866497, 0.09639584 } },
      nuc = { { 0.567656033, -0.598219964, 0.565596589 }, { 0.678304019, -0.049485023, -0.733113150 } },
    }
    for ord, gradient in pairs(wanted) do
      local z = x:double():requires_grad_()
      check(gradient, torch.autograd.grad(L.matrix_norm(z, ord), z), 1e-8)
    end
  end)

  it("come from singular values", function()
    check({ { 7.57830190, 2.96973562 }, { 15.36773777, 5.72997808 } }, L.svdvals(x3), 1e-6)
    check({ 3, 0 }, L.svdvals(torch.tensor { { 1.0, 2 }, { 1, 2 } }) * 3 / math.sqrt(10), 1e-6)
    check({ 0, 0 }, L.svdvals(torch.zeros(2, 3)))
    local a = torch.randn({ 2, 5, 3 }, f64)
    for _, t in ipairs { a, a.mT, torch.ones({ 1, 4, 4 }, f64), torch.zeros({ 1, 3, 2 }, f64) } do
      local u, s, vh = torch._svd(t)
      local k = s:size(-1)
      check(t:tolist(), u:matmul(torch.diag_embed(s)):matmul(vh), 1e-12)
      local eye = torch.eye(k, f64):expand(t:size(1), k, k):tolist()
      check(eye, u.mT:matmul(u), 1e-12)
      check(eye, vh:matmul(vh.mT), 1e-12)
    end
  end)
  it("refuse what they cannot take", function()
    refuses(function() return L.svdvals(x[1]) end, "linalg.svd: The input tensor A must have at least 2 dimensions.")
    refuses(function() return L.norm(x3, 2) end, "norm(): ",
      "If dim is not specified but ord is, the input must be 1D or 2D. Got 3D")
    refuses(function() return L.norm(x:long()) end, "Expected a floating point or complex tensor as input. Got Long")
    refuses(function() return L.matrix_norm(x[1]) end, "linalg.matrix_norm: The input tensor A must have at least 2 "
      .. "dimensions.")
    refuses(function() return L.matrix_norm(x, 3) end, "linalg.matrix_norm: Order 3 not supported")
    refuses(function() return L.matrix_norm(x, "fro", { 1 }) end, "linalg.matrix_norm: dim must be a 2-tuple. Got")
    refuses(function() return L.matrix_norm(x, "fro", { 1, -2 }) end,
      "linalg.matrix_norm: dims must be different. Got (1, 1)")
    refuses(function() return L.matrix_norm(x, "fro", { 0, 1 }) end, "Dimension out of range", "count from 1")
    refuses(function() return L.norm(x, { order = 1 }) end, "got an unexpected keyword argument 'order'")
  end)
end)

describe("linalg.solve", function()
  local a = torch.tensor({ { 4.0, 1, 2 }, { 1, 5, 3 }, { 2, 0, 6 } }, f64):requires_grad_()
  local v = torch.tensor({ 1.0, 2, 3 }, f64):requires_grad_()
  local m = torch.tensor({ { 1.0, 2 }, { 0, 1 }, { 3, -1 } }, f64):requires_grad_()

  it("solves for a vector", function()
    local y = L.solve(a, v)
    check({ -0.03, 0.1, 0.51 }, y:detach())
    local ga, gv = torch.autograd.grad(y, { a, v }, { grad_outputs = torch.tensor({ 1.0, -1, 2 }, f64) })
    check({ { 0.003, -0.01, -0.051 }, { -0.0066, 0.022, 0.1122 }, { 0.0123, -0.041, -0.2091 } }, ga)
    check({ 0.1, -0.22, 0.41 }, gv)
  end)
  it("solves from the right", function()
    local y = L.solve(a, m.T, { left = false })
    check({ { 0, 0, 0.5 }, { 0.7, 0.06, -0.43 } }, y:detach())
    local gy = torch.tensor({ { 1.0, -1, 2 }, { 0, 1, 1 } }, f64)
    local ga, gm = torch.autograd.grad(y, { a, m }, { grad_outputs = gy })
    check({ { 0.091, -0.07, -0.147 }, { 0.0078, -0.006, -0.0126 }, { -0.1659, 0.243, -0.0397 } }, ga)
    check({ { 0.22, -0.13 }, { -0.4, 0.1 }, { 0.26, 0.21 } }, gm)
  end)
  it("broadcasts batches", function()
    local two = torch.stack { a, a * 2 }
    check({ { -0.03, 0.1, 0.51 }, { -0.015, 0.05, 0.255 } }, L.solve(two, torch.stack { v, v }):detach())
    local first = { { 0.09, 0.61 }, { -0.3, 0.3 }, { 0.47, -0.37 } }
    check({ first, { { 0.045, 0.305 }, { -0.15, 0.15 }, { 0.235, -0.185 } } }, L.solve(two, m):detach())
  end)
  it("says why it cannot", function()
    local ones = torch.ones(2, 2)
    refuses(function() return L.solve(ones, torch.ones(2)) end,
      "torch.linalg.solve: The solver failed because the input matrix is singular.")
    refuses(function() return L.solve(torch.stack { torch.eye(2), ones }, torch.ones(2, 2)) end,
      "torch.linalg.solve: (Batch element 2): The solver failed")
    refuses(function() return L.solve(torch.eye(2), torch.ones(3)) end,
      "linalg.solve: Incompatible shapes of A and B for the equation AX = B (2x2 and 3x1)")
    refuses(function() return L.solve(torch.eye(2), torch.ones(2), { left = false }) end,
      "linalg.solve: Incompatible shapes of A and B for the equation XA = B (2x2 and 2x1)")
    refuses(function() return L.solve(torch.eye(2), torch.ones(2):double()) end,
      "linalg.solve: Expected A and B to have the same dtype, but found A of type Float and B of type Double instead")
  end)
end)

describe("linalg products", function()
  it("multi_dot is the product from left to right", function()
    local a, b, c = torch.randn({ 2, 5 }, f64), torch.randn({ 5, 3 }, f64), torch.randn({ 3, 4 }, f64)
    local d = torch.randn({ 4 }, f64)
    check(a:mm(b):mm(c):tolist(), L.multi_dot { a, b, c }, 1e-12)
    check(a:mm(b):mm(c):mv(d):tolist(), L.multi_dot { a, b, c, d }, 1e-12)
    check(torch.dot(a[1], b:mm(c):mv(d)):item(), L.multi_dot({ a[1], b, c, d }):item(), 1e-12)
  end)
  it("multi_dot refuses shapes and dtypes that do not go together", function()
    local a = torch.ones(2, 2)
    refuses(function() return L.multi_dot { a } end, "multi_dot(): expected at least 2 tensors but got 1")
    refuses(function() return L.multi_dot { a, torch.ones(2, 2, 2), a } end,
      "multi_dot(): tensor 2 must be 2D but got 3D")
    refuses(function() return L.multi_dot { a, torch.ones(3, 3) } end,
      "multi_dot(): tensors 1 and 2 with shapes [2, 2] and [3, 3] cannot be multiplied")
    refuses(function() return L.multi_dot { a, a:double() } end, "multi_dot(): all tensors must have")
    refuses(function() return L.multi_dot(a) end, "must be a list of Tensors")
  end)
  it("cross, vecdot, vander, diagonal", function()
    check({ { 4, 8, 4 }, { 5, 20, 5 } }, L.cross(x, x:flip(2)))
    check({ 0, 0, 1 }, L.cross(torch.tensor { 1.0, 0, 0 }, torch.tensor { 0.0, 1, 0 }))
    check({ 14, 52.25 }, L.vecdot(x, x))
    check({ { 1, 1 }, { 1, 2 }, { 1, 3 } }, L.vander(torch.tensor { 1, 2, 3 }, { N = 2 }))
    check({ { { 1, 1 }, { 1, 2 } }, { { 1, 3 }, { 1, 4 } } }, L.vander(torch.tensor { { 1.0, 2 }, { 3, 4 } }))
    refuses(function() return L.vander(torch.tensor { 1, 2 }, { N = 0 }) end, "N must be greater than 1.")
    refuses(function() return L.vecdot(x, x:double()) end, "linalg.vecdot: Expected x and y to have the same dtype, "
      .. "but found x of type Float and y of type Double instead")
    check({ { 1, 0.5 }, { 1, 0 } }, L.diagonal(x3))
  end)
  it("inv, det, slogdet and matrix_power are the core's", function()
    local m = torch.tensor { { 1.0, 2 }, { 3, 4 } }
    check({ { -2, 1 }, { 1.5, -0.5 } }, L.inv(m), 1e-6)
    check(-2.0, L.det(m):item(), 1e-6)
    local sign, size = L.slogdet(m)
    check({ -1, 0.69314718 }, { sign:item(), size:item() }, 1e-6)
    check({ { 37, 54 }, { 81, 118 } }, L.matrix_power(m, 3), 1e-6)
  end)
  it("det has PyTorch's gradient where the matrix is singular", function()
    local s = torch.tensor { { 1.0, 2 }, { 2, 4 } }:requires_grad_()
    check({ { 0, 0 }, { 0, 0 } }, torch.autograd.grad(torch.det(s), s))
  end)
end)
