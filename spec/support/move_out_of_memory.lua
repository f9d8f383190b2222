-- For device_spec: a model that does not fit on the device stays on the host as it was, and goes there once it fits.
local torch = require "moontorch"
local nn = torch.nn

local WIDTH, ROOM = 2400, 60 << 20
local net = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH),
  nn.Linear(WIDTH, WIDTH))
net[2](torch.ones(1, WIDTH)):sum():backward()

-- Room is left for some of the four matrices of 23 MB and the gradient, not for all.
local hog = torch.empty((torch.cuda.mem_get_info()) - ROOM, { dtype = torch.uint8, device = "cuda" })
local held = torch.cuda.memory_allocated()
local ok, why = pcall(net.cuda, net)
assert(not ok and tostring(why):find("out of memory", 1, true), why)
for name, p in net:named_parameters() do
  assert(p.device == torch.device "cpu", name)
  assert(p.grad == nil or p.grad.device == torch.device "cpu", name)
end
collectgarbage()
collectgarbage()
assert(torch.cuda.memory_allocated() == held, "memory of the attempt is still held")
net(torch.ones(1, WIDTH)):sum():backward()
net:zero_grad()

hog:free()
torch.cuda.empty_cache()
assert(net:cuda()[4].weight.device == torch.device "cuda")
assert(net(torch.ones(1, WIDTH):cuda()):sum().is_cuda)
print "nothing has moved, and later all has"
