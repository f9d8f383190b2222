-- For device_spec: a model that does not fit on the device stays on the host as it was, and goes there once it fits.
local torch = require "moontorch"
local nn = torch.nn

local ROOM = 5 << 20
local net = nn.Sequential(nn.Linear(700, 700), nn.Linear(700, 700), nn.Linear(700, 700), nn.Linear(700, 700))
net[2](torch.ones(1, 700)):sum():backward()

-- Room is left for some of the four matrices of 1.9 MB and the gradient, not for all.
local hogs = {}
for share = 1, 40 do
  local room = (torch.cuda.mem_get_info()) - ROOM
  if room < 1 << 20 then break end
  local ok, hog = pcall(torch.empty, share < 3 and room // 2 or math.min(room, 4 << 20), {
    dtype = torch.uint8, device = "cuda",
  })
  if not ok then break end
  hogs[#hogs + 1] = hog
end
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
net(torch.ones(1, 700)):sum():backward()
net:zero_grad()

for _, hog in ipairs(hogs) do hog:free() end
torch.cuda.empty_cache()
assert(net:cuda()[4].weight.device == torch.device "cuda")
assert(net(torch.ones(1, 700):cuda()):sum().is_cuda)
print "nothing has moved, and later all has"
