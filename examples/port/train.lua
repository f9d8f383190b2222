--- Learns to tell discs, squares, diamonds and crosses apart. train.py is the same program in Python, line for line.
--
--   lua examples/port/train.lua [CHECKPOINT]
--
-- expected.txt holds what train.py printed with PyTorch; this prints the same. What differs is marked with numbers:
--   [1] positions count from 1: dimensions, elements, class labels, the numbers in a Sequential's names. Values are as
--       in Python: what arange and randint give, epochs.
--   [2] keyword arguments stand in a table in the last place.
--   [3] methods take a colon; comparisons of tensors are methods: `==` and `<=` cannot give tensors in Lua.
--   [4] classes are called to make an object, as in Python; `init` is the constructor and calls the parent's by itself.
--       A Dataset has `get` and `len`, and its samples of several values are arrays.
--   [5] `torch.no_grad()` holds until its <close> variable's scope ends; it takes a function too.
--   [6] `parameters()` is an array.
--   [7] torch.save writes a safetensors file; tables, tensors, numbers and strings may stand in it, code may not.
--   [8] what tqdm(loader) is in Python: a bar, on a terminal only.

local torch = require "moontorch"
local nn = torch.nn
local F = torch.nn.functional
local data = torch.utils.data
local DataLoader, Dataset, random_split = data.DataLoader, data.Dataset, data.random_split

local NAMES = { "disc", "square", "diamond", "cross" }
local SIZE = 16
local EPOCHS = 8

--- Pictures of SIZE x SIZE with noise; each holds one shape, of any size and anywhere.
local Shapes = Dataset:class("Shapes")                                                       -- [4]

function Shapes:init(count, seed)
  local generator = torch.Generator():manual_seed(seed)
  local y, x = table.unpack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), { indexing = "ij" }))
  local pictures, labels = {}, {}
  for i = 0, count - 1 do
    local label = i % #NAMES + 1                                                             -- [1]
    local radius = 2.5 + 2.5 * torch.rand(1, { generator = generator }):item()               -- [2]
    local center = torch.randint(5, SIZE - 5, { 2 }, { generator = generator })
    local dy, dx = (y - center[1]):abs(), (x - center[2]):abs()                              -- [1]
    local inside = ({
      (dx ^ 2 + dy ^ 2):le(radius ^ 2),                                                      -- [3]
      torch.maximum(dx, dy):le(0.85 * radius),
      (dx + dy):le(1.25 * radius),
      torch.minimum(dx, dy):le(1) & torch.maximum(dx, dy):le(radius),
    })[label]
    local noise = torch.randn(SIZE, SIZE, { generator = generator })
    pictures[#pictures + 1] = inside:float() + 0.1 * noise
    labels[#labels + 1] = label
  end
  self.pictures = torch.stack(pictures):unsqueeze(2)                                         -- [1]
  self.labels = torch.tensor(labels)
end

function Shapes:len()
  return #self.labels
end

function Shapes:get(index)
  return { self.pictures[index], self.labels[index] }
end

local Net = nn.class("Net")                                                                  -- [4]

function Net:init(classes, width, dropout)
  width, dropout = width or 8, dropout or 0.2
  self.features = nn.Sequential(
    self:stage(1, width),
    self:stage(width, 2 * width))
  self.dropout = nn.Dropout(dropout)
  self.classifier = nn.Linear(2 * width * (SIZE // 4) ^ 2, classes)
end

function Net:stage(n_in, n_out)
  return nn.Sequential(
    nn.Conv2d(n_in, n_out, 3, { padding = 1, bias = false }),                                -- [2]
    nn.BatchNorm2d(n_out),
    nn.SiLU(),
    nn.AvgPool2d(2))
end

function Net:forward(x)
  x = self.features(x)
  x = self.dropout(torch.flatten(x, 2))                                                      -- [1]
  return self.classifier(x)
end

--- Weight decay for the weights of layers only; a lower rate for the classifier.
local function make_optimizer(model)
  local weights, others = {}, {}
  for _, p in ipairs(model.features:parameters()) do                                         -- [6]
    if p:dim() > 1 then table.insert(weights, p) else table.insert(others, p) end
  end
  return torch.optim.SGD(
    {
      { params = weights, weight_decay = 1e-3 },
      { params = others },
      { params = model.classifier:parameters(), lr = 0.01 },
    }, {
      lr = 0.03,
      momentum = 0.9,
      nesterov = true,
    })
end

local function train_one_epoch(model, loader, optimizer)
  model:train()
  local total, right, seen = 0.0, 0, 0
  for pictures, labels in torch.utils.progress(loader, { desc = "training" }) do             -- [8]
    -- Half of the batches are mirrored.
    if torch.rand(1):item() < 0.5 then
      pictures = pictures:flip(4)                                                            -- [1]
    end
    local scores = model(pictures)
    local loss = F.cross_entropy(scores, labels, { label_smoothing = 0.05 })
    optimizer:zero_grad()
    loss:backward()
    nn.utils.clip_grad_norm_(model:parameters(), 2.0)
    optimizer:step()
    total = total + loss:item() * #labels
    right = right + scores:argmax(2):eq(labels):sum():item()                                 -- [1] [3]
    seen = seen + #labels
  end
  return total / seen, right / seen
end

--- Mean loss, share of right answers, and how often each shape was taken for each.
local function evaluate(model, loader)
  local _ <close> = torch.no_grad()                                                          -- [5]
  model:eval()
  local total = 0.0
  local confusion = torch.zeros(#NAMES, #NAMES, { dtype = torch.int64 })
  for pictures, labels in loader do
    local scores = model(pictures)
    total = total + F.cross_entropy(scores, labels, { reduction = "sum" }):item()
    local truths, said = labels:tolist(), scores:argmax(2):tolist()                          -- [1]
    for i = 1, #truths do
      confusion[{ truths[i], said[i] }]:add_(1)                                              -- [1]
    end
  end
  local count = confusion:sum():item()
  return total / count, confusion:diag():sum():item() / count, confusion
end

local function main()
  local path = arg[1] or "shapes.safetensors"
  torch.manual_seed(22)
  local training, validation = table.unpack(random_split(Shapes(640, 2), { 512, 128 }))
  local train_loader = DataLoader(training, { batch_size = 32, shuffle = true, drop_last = true })
  local validation_loader = DataLoader(validation, { batch_size = 64 })

  local model = Net(#NAMES)
  local count = 0
  for _, p in ipairs(model:parameters()) do count = count + p:numel() end
  print(string.format("%d parameters", count))
  local optimizer = make_optimizer(model)
  local scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, { T_max = EPOCHS, eta_min = 0.001 })

  local best = math.huge
  for epoch = 0, EPOCHS - 1 do
    local rates = {}
    for i, group in ipairs(optimizer.param_groups) do rates[i] = string.format("%.5f", group.lr) end
    local train_loss, train_accuracy = train_one_epoch(model, train_loader, optimizer)
    local loss, accuracy = evaluate(model, validation_loader)
    scheduler:step()
    print(string.format("epoch %d  lr %s  training: loss %.4f accuracy %.3f  validation: loss %.4f accuracy %.3f",
      epoch, table.concat(rates, " "), train_loss, train_accuracy, loss, accuracy))
    if loss < best then
      best = loss
      torch.save(                                                                            -- [7]
        {
          epoch = epoch,
          loss = loss,
          model = model:state_dict(),
          optimizer = optimizer:state_dict(),
          scheduler = scheduler:state_dict(),
        },
        path)
    end
  end

  -- Another model, with weights of its own, takes over what was saved and goes on for an epoch.
  model = Net(#NAMES)
  optimizer = make_optimizer(model)
  scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, { T_max = EPOCHS, eta_min = 0.001 })
  local checkpoint = torch.load(path)
  model:load_state_dict(checkpoint.model)
  optimizer:load_state_dict(checkpoint.optimizer)
  scheduler:load_state_dict(checkpoint.scheduler)
  print(string.format("best epoch %d, loss %.4f", checkpoint.epoch, checkpoint.loss))
  local train_loss, train_accuracy = train_one_epoch(model, train_loader, optimizer)
  local rate = scheduler:get_last_lr()[1]                                                    -- [1]
  print(string.format("one more   lr %.5f  training: loss %.4f accuracy %.3f", rate, train_loss, train_accuracy))

  local loss, accuracy, confusion = evaluate(model, DataLoader(Shapes(400, 3), { batch_size = 100 }))
  print(string.format("test: loss %.4f accuracy %.3f", loss, accuracy))

  local recall = confusion:diag() / confusion:sum(2)                                         -- [1]
  local precision = confusion:diag() / confusion:sum(1)
  for i, name in ipairs(NAMES) do
    local row = {}
    for k, n in ipairs(confusion[i]:tolist()) do row[k] = string.format("%4d", n) end
    print(string.format("%-8s%s  recall %.3f  precision %.3f", name, table.concat(row, " "), recall[i]:item(),
      precision[i]:item()))
  end
  for name, tensor in pairs(model:state_dict({ index_base = 0 })) do                         -- [1]
    print(string.format("%-36s%-28snorm %.4f", name, tensor.shape, tensor:float():norm():item()))
  end
  print(checkpoint.model["features.1.2.running_mean"])                                       -- [1]
end

main()
