--- The models that are timed: each as one would write it, and the same in torch_side.py; training steps of those and of
-- the examples' models, and the same in torch_memory.py.

local torch = require "moontorch"

local nn, F = torch.nn, torch.nn.functional
local models = {}

--- Linear layers of those sizes with an activation between them.
function models.mlp(sizes, activation)
  local layers = {}
  for k = 1, #sizes - 1 do
    layers[#layers + 1] = nn.Linear(sizes[k], sizes[k + 1])
    if k < #sizes - 1 then layers[#layers + 1] = activation() end
  end
  return nn.Sequential(table.unpack(layers))
end

--- (N, 1, 28, 28) to ten classes, with `width` channels and then twice as many.
function models.mnist_cnn(width)
  return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Conv2d(width, 2 * width, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(288 * width, 128), nn.ReLU(), nn.Linear(128, 10))
end

--- Operations of a training step for one image: forward, and the two gradients of each product but the first layer's by
--- its input.
function models.mnist_cnn_flops(width)
  return 2 * (2 * width * 9 * 26 ^ 2 + 3 * 2 * width * width * 9 * 24 ^ 2 + 3 * 288 * width * 128 + 3 * 128 * 10)
end

-- ResNet-18 for images of 32x32 (He et al., 2016, with the first layers of the CIFAR variant) ------------------------

local Block = nn.class("Block")
function Block:init(from, to, stride)
  self.conv1 = nn.Conv2d(from, to, 3, { stride = stride, padding = 1, bias = false })
  self.bn1 = nn.BatchNorm2d(to)
  self.conv2 = nn.Conv2d(to, to, 3, { padding = 1, bias = false })
  self.bn2 = nn.BatchNorm2d(to)
  if stride > 1 or from ~= to then
    self.shortcut = nn.Sequential(nn.Conv2d(from, to, 1, { stride = stride, bias = false }), nn.BatchNorm2d(to))
  end
end
function Block:forward(x)
  local y = F.relu(self.bn1(self.conv1(x)))
  return F.relu(self.bn2(self.conv2(y)) + (self.shortcut and self.shortcut(x) or x))
end

-- Channels in widths, size of the image, and the stride of the first block of each stage.
local STAGES = { { 1, 32, 1 }, { 2, 16, 2 }, { 4, 8, 2 }, { 8, 4, 2 } }

--- The first layer has `width` channels: 64 in the paper.
function models.resnet18(classes, width)
  local layers = { nn.Conv2d(3, width, 3, { padding = 1, bias = false }), nn.BatchNorm2d(width), nn.ReLU() }
  local from = width
  for _, stage in ipairs(STAGES) do
    local c = stage[1] * width
    layers[#layers + 1] = Block(from, c, stage[3])
    layers[#layers + 1] = Block(c, c, 1)
    from = c
  end
  layers[#layers + 1] = nn.AdaptiveAvgPool2d(1)
  layers[#layers + 1] = nn.Flatten()
  layers[#layers + 1] = nn.Linear(from, classes)
  return nn.Sequential(table.unpack(layers))
end

--- Operations of a training step for one image.
function models.resnet18_flops(width)
  local sum, from = 2 * 2 * 3 * width * 9 * 32 ^ 2, width
  for _, stage in ipairs(STAGES) do
    local c, pixels = stage[1] * width, stage[2] ^ 2
    sum = sum + 3 * 2 * pixels * 9 * c * (from + 3 * c)
    if from ~= c then sum = sum + 3 * 2 * pixels * from * c end
    from = c
  end
  return sum + 3 * 2 * from * 10
end

-- A decoder of the GPT-2 kind ---------------------------------------------------------------------------------------

local Layer = nn.class("Layer")
function Layer:init(width, heads)
  self.heads = heads
  self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
  self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
  self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
end
function Layer:forward(x)
  local b, t, c = table.unpack(x.shape)
  local parts = self.qkv(self.norm1(x)):view(b, t, 3, self.heads, c // self.heads):permute(3, 1, 4, 2, 5)
  local y = F.scaled_dot_product_attention(parts[1], parts[2], parts[3], { is_causal = true })
  x = x + self.out(y:transpose(2, 3):reshape(b, t, c))
  return x + self.down(F.gelu(self.up(self.norm2(x))))
end

local Gpt = nn.class("Gpt")
function Gpt:init(o)
  self.tokens, self.places = nn.Embedding(o.vocabulary, o.width), nn.Embedding(o.length, o.width)
  self.layers = {}
  for k = 1, o.layers do self.layers[k] = Layer(o.width, o.heads) end
  self.norm, self.head = nn.LayerNorm(o.width), nn.Linear(o.width, o.vocabulary, not o.tied)
  if o.tied then self.head.weight = self.tokens.weight end
  self:register_buffer("range", torch.arange(1, o.length + 1))
end
function Gpt:forward(index)
  local x = self.tokens(index) + self.places(self.range)
  for _, layer in ipairs(self.layers) do x = layer(x) end
  return self.head(self.norm(x))
end

--- o: layers, width, heads, length, vocabulary, tied (scores are products with the embedding, as in GPT-2). Indices
--- (N, length) to scores (N, length, vocabulary).
function models.gpt(o) return Gpt(o) end

--- Operations of a training step for one token: six for each weight of a product, and the causal attention.
function models.gpt_flops(o)
  return 6 * (o.layers * 12 * o.width ^ 2 + o.width * o.vocabulary) + 6 * o.layers * o.length * o.width
end

-- Training steps for the memory of training (memory.lua), the models of the examples among them ---------------------

local function stepper(model, loss_of, clip)
  local optimizer = torch.optim.AdamW(model:parameters(), { lr = 1e-3 })
  return function()
    optimizer:zero_grad()
    loss_of():backward()
    if clip then nn.utils.clip_grad_norm_(model:parameters(), 1) end
    optimizer:step()
  end
end

-- A step of a model that gives scores (..., classes) for what `inputs` makes; `shape` is that of the labels.
local function classifier(model, inputs, classes, shape, clip)
  return stepper(model, function()
    local labels = torch.randint(1, classes + 1, shape)
    return F.cross_entropy(model(inputs()):reshape(-1, classes), labels:flatten())
  end, clip)
end

local function letters_step(o, batch)
  return classifier(models.gpt(o), function()
    return torch.randint(1, o.vocabulary + 1, { batch, o.length })
  end, o.vocabulary, { batch, o.length }, true)
end

--- By name: makes a model and returns its training step. torch_memory.py has the same ones.
models.training = {}
--- Those that take long.
models.large = { resnet18 = true, gpt = true }

function models.training.mnist_cnn()
  local model = nn.Sequential(nn.Conv2d(1, 12, 5, { padding = 2, bias = false }), nn.BatchNorm2d(12), nn.ReLU(),
    nn.MaxPool2d(2), nn.Conv2d(12, 32, 3, { padding = 1, bias = false }), nn.BatchNorm2d(32), nn.ReLU(),
    nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.25), nn.Linear(32 * 7 * 7, 10))
  return classifier(model, function() return torch.randn(128, 1, 28, 28) end, 10, { 128 })
end

function models.training.names()
  local model = nn.ModuleList { nn.Embedding(27, 32), nn.GRU(32, 256, { batch_first = true }), nn.Linear(256, 27) }
  local rnn = nn.utils.rnn
  return stepper(model, function()
    local lengths = torch.randint(3, 16, { 128 })
    local letters = torch.randint(1, 28, { 128, lengths:max():item() + 1 })
    local o = { batch_first = true, enforce_sorted = false }
    local packed = rnn.pack_padded_sequence(model[1](letters[{ {}, { 1, -2 } }]), lengths, o)
    local targets = rnn.pack_padded_sequence(letters[{ {}, { 2, -1 } }], lengths, o)
    return F.cross_entropy(model[3](model[2](packed).data), targets.data)
  end, true)
end

function models.training.autoencoder()
  local encoder = nn.Sequential(nn.Conv2d(1, 16, 4, { stride = 2, padding = 1 }), nn.ReLU(),
    nn.Conv2d(16, 32, 4, { stride = 2, padding = 1 }), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 7 * 7, 32))
  local decoder = nn.Sequential(nn.Linear(16, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(2, { 32, 7, 7 }),
    nn.ConvTranspose2d(32, 16, 4, { stride = 2, padding = 1 }), nn.ReLU(),
    nn.ConvTranspose2d(16, 1, 4, { stride = 2, padding = 1 }))
  return stepper(nn.ModuleList { encoder, decoder }, function()
    local images = torch.rand(128, 1, 28, 28)
    local mean, log_variance = table.unpack(encoder(images):chunk(2, 2))
    local scores = decoder(mean + torch.exp(log_variance / 2) * torch.randn_like(mean))
    return F.binary_cross_entropy_with_logits(scores, images, { reduction = "sum" }) / 128 +
      (mean ^ 2 + log_variance:exp() - 1 - log_variance):sum() / 256
  end)
end

-- As many states as the players' episodes have together.
function models.training.cartpole()
  local policy, value = models.mlp({ 4, 64, 2 }, nn.Tanh), models.mlp({ 4, 64, 1 }, nn.Tanh)
  return stepper(nn.ModuleList { policy, value }, function()
    local n = torch.randint(200, 4001, {}):item()
    local states, actions, returns = torch.randn(n, 4), torch.randint(1, 3, { n, 1 }), torch.randn(n)
    local values = value(states):squeeze(2)
    local chances = F.log_softmax(policy(states), 2)
    local chosen = chances:gather(2, actions):squeeze(2)
    local entropy = -(chances:exp() * chances):sum(2):mean()
    return -((returns - values):detach() * chosen):mean() - 0.01 * entropy + F.smooth_l1_loss(values, returns)
  end, true)
end

function models.training.shakespeare()
  return letters_step({ layers = 2, width = 128, heads = 4, length = 64, vocabulary = 65 }, 16)
end

function models.training.resnet18()
  return classifier(models.resnet18(10, 64), function() return torch.randn(32, 3, 32, 32) end, 10, { 32 })
end

function models.training.gpt()
  return letters_step({ layers = 6, width = 384, heads = 6, length = 256, vocabulary = 65 }, 8)
end

return models
