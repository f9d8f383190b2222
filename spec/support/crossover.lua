--- Models, optimisers and schedulers whose files cross between PyTorch and moontorch; those of
-- spec/golden/crossover_models.py. `lua crossover.lua FOLDER` writes ours into a folder, for spec/golden/check_ours.py.
local torch = require "moontorch"
local nn, optim = torch.nn, torch.optim
local schedulers = optim.lr_scheduler

local crossover = {}

-- Models --------------------------------------------------------------------------------------------------------------

local CNN = nn.class("CNN")
function CNN:init()
  self.features = nn.Sequential(nn.Conv2d(1, 3, 3, { padding = 1 }), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
  self.head = nn.Linear(3 * 3 * 3, 4)
end
function CNN:forward(x) return self.head(self.features(x):flatten(2)) end

local BiLSTM = nn.class("BiLSTM")
function BiLSTM:init()
  self.lstm = nn.LSTM(3, 4, { num_layers = 2, bidirectional = true })
  self.head = nn.Linear(8, 2)
end
function BiLSTM:forward(x)
  local out = self.lstm(x)
  return self.head(out)
end

local Words = nn.class("Words")
function Words:init()
  self.embedding = nn.Embedding(9, 4, { padding_idx = 1 })
  self.bag = nn.EmbeddingBag(9, 4, { mode = "sum" })
  self.head = nn.Linear(8, 3)
end
function Words:forward(x)
  return self.head(torch.cat({ self.embedding(x):mean(2), self.bag(x) }, 2))
end

local Tied = nn.class("Tied")
function Tied:init()
  self.embedding = nn.Embedding(7, 4)
  self.mix = nn.Linear(4, 4)
  self.head = nn.Linear(4, 7, { bias = false })
  self.head.weight = self.embedding.weight
end
function Tied:forward(x) return self.head(torch.tanh(self.mix(self.embedding(x)))) end

local Nested = nn.class("Nested")
function Nested:init()
  self.stages = nn.ModuleList {
    nn.ModuleList { nn.Linear(4, 4), nn.Linear(4, 4) },
    nn.ModuleDict { { "left", nn.Linear(4, 4) }, { "right", nn.Sequential(nn.Linear(4, 4), nn.PReLU()) } },
    nn.Linear(4, 4),
  }
  self.scales = nn.ParameterList { torch.ones(4), torch.full({ 4 }, 0.5) }
  self:register_buffer("shift", torch.arange(4.0))
end
function Nested:forward(x)
  for i, layer in ipairs(self.stages[1]) do x = torch.tanh(layer(x)) * self.scales[i] end
  x = self.stages[2].left(x) + self.stages[2].right(x)
  return self.stages[3](x) + self.shift
end

local Encoder = nn.class("Encoder")
function Encoder:init()
  local layer = nn.TransformerEncoderLayer(8, 2, 16,
    { batch_first = true, norm_first = true, activation = "gelu" })
  self.encoder = nn.TransformerEncoder(layer, 2, { norm = nn.LayerNorm(8), enable_nested_tensor = false })
end
function Encoder:forward(x) return self.encoder(x) end

local function mlp() return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)) end

local function product(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

--- Element i, counted from 0, is ((7 i) mod 23 - 11) / 8.
function crossover.numbers(...)
  local shape = { ... }
  return (((torch.arange(product(shape)) * 7) % 23 - 11) / 8):reshape(shape)
end

local function positions(classes, ...)
  local shape = { ... }
  return ((torch.arange(product(shape)) * 5 + 1) % classes + 1):reshape(shape)
end

local numbers = crossover.numbers

--- name -> {make, data}
crossover.models = {
  mlp = { mlp, function() return numbers(4, 5) end },
  cnn = { CNN, function() return numbers(2, 1, 6, 6) end },
  bilstm = { BiLSTM, function() return numbers(5, 2, 3) end },
  encoder = { Encoder, function() return numbers(2, 5, 8) end },
  words = { Words, function() return positions(9, 3, 4) end },
  tied = { Tied, function() return positions(7, 2, 3) end },
  nested = { Nested, function() return numbers(3, 4) end },
}

-- Training that goes on -----------------------------------------------------------------------------------------------

local function groups(model)
  local even, odd = {}, {}
  for i, p in ipairs(model:parameters()) do table.insert(i % 2 == 1 and even or odd, p) end
  return { { params = even }, { params = odd } }
end

local function use(class, options)
  return function(p) return optim[class](p, options) end
end

local function set(class, options)
  return function(optimizer) return schedulers[class](optimizer, options) end
end

--- name -> {optimiser of parameters, scheduler of an optimiser}
crossover.runs = {
  sgd = { use("SGD", { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.01 }),
    set("StepLR", { step_size = 3, gamma = 0.5 }) },
  plain = { use("SGD", { lr = 0.1 }), set("MultiStepLR", { milestones = { 2, 6, 6 }, gamma = 0.5 }) },
  adam = { use("Adam", { lr = 0.05, amsgrad = true }), set("CosineAnnealingLR", { T_max = 8, eta_min = 0.01 }) },
  adamw = { use("AdamW", { lr = 0.05, betas = { 0.8, 0.9 } }), set("OneCycleLR", { max_lr = 0.1, total_steps = 20 }) },
  rmsprop = { use("RMSprop", { lr = 0.01, momentum = 0.5, centered = true }), set("ExponentialLR", { gamma = 0.9 }) },
  adagrad = { use("Adagrad", { lr = 0.1, lr_decay = 0.1 }), set("PolynomialLR", { total_iters = 12, power = 0.5 }) },
  adadelta = { use("Adadelta", {}), set("LinearLR", { start_factor = 0.2, total_iters = 7 }) },
  adamax = { use("Adamax", { lr = 0.05 }), function(o)
    return schedulers.SequentialLR(o, { schedulers.ConstantLR(o, 0.5, 2), schedulers.ExponentialLR(o, 0.9) }, { 4 })
  end },
  nadam = { use("NAdam", { lr = 0.05 }), set("CosineAnnealingWarmRestarts", { T_0 = 3, T_mult = 2 }) },
  radam = { use("RAdam", { lr = 0.05 }), set("ReduceLROnPlateau", { factor = 0.5, patience = 1, threshold = 0.2 }) },
  asgd = { use("ASGD", { lr = 0.05, t0 = 3 }), function(o)
    return schedulers.ChainedScheduler { schedulers.StepLR(o, 4), schedulers.ExponentialLR(o, 0.9) }
  end },
  rprop = { use("Rprop", { lr = 0.05 }), set("CyclicLR",
    { base_lr = 0.01, max_lr = 0.1, step_size_up = 3, mode = "triangular2", cycle_momentum = false }) },
  lbfgs = { use("LBFGS", { lr = 0.5, max_iter = 4, history_size = 3 }), set("LambdaLR",
    { lr_lambda = function(epoch) return 0.95 ^ epoch end }) },
}

--- A model, an optimiser over two groups (LBFGS: one) and a scheduler.
function crossover.start(name)
  local model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)):double()
  local optimizer = crossover.runs[name][1](name == "lbfgs" and model:parameters() or groups(model))
  return model, optimizer, crossover.runs[name][2](optimizer)
end

--- One step of a small regression; returns the loss.
function crossover.step(model, optimizer, scheduler)
  local x, y = numbers(6, 3):double(), numbers(6, 2):double() * 0.5
  local loss = optimizer:step(function()
    optimizer:zero_grad()
    local value = ((model(x) - y) ^ 2):mean()
    value:backward()
    return value
  end):item()
  if scheduler.num_bad_epochs then scheduler:step(loss) else scheduler:step() end
  return loss
end

--- What start() gives, in the state of a checkpoint that counts from 0.
function crossover.resume(name, checkpoint)
  local model, optimizer, scheduler = crossover.start(name)
  model:load_state_dict(checkpoint.model, { index_base = 0 })
  optimizer:load_state_dict(checkpoint.optimizer, { index_base = 0 })
  scheduler:load_state_dict(checkpoint.scheduler)
  return model, optimizer, scheduler
end

-- Ours ----------------------------------------------------------------------------------------------------------------

crossover.dtypes = { "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool" }

--- Writes models (FOLDER/NAME.safetensors, and what they predict: outputs.safetensors), checkpoints of training in the
-- middle (run_NAME.st, by torch.save, with the losses of the five steps that follow), and values of all kinds
-- (values.st).
function crossover.write(folder)
  local outputs = {}
  for name, entry in pairs(crossover.models) do
    torch.manual_seed(9)
    local model, x = entry[1](), entry[2]()
    torch.no_grad(function() model(x) end)
    outputs[name] = model:predict(x)
    torch.utils.safetensors.save_file(model:state_dict { index_base = 0 }, folder .. "/" .. name .. ".safetensors")
  end
  torch.utils.safetensors.save_file(outputs, folder .. "/outputs.safetensors")
  for name in pairs(crossover.runs) do
    torch.manual_seed(9)
    local model, optimizer, scheduler = crossover.start(name)
    for _ = 1, 5 do crossover.step(model, optimizer, scheduler) end
    local checkpoint = { model = model:state_dict { index_base = 0 }, epoch = 5, scheduler = scheduler:state_dict(),
      optimizer = optimizer:state_dict { index_base = 0 }, losses = {} }
    local path = folder .. "/run_" .. name .. ".st"
    torch.save(checkpoint, path)
    checkpoint = torch.load(path)
    model, optimizer, scheduler = crossover.resume(name, checkpoint)
    for i = 1, 5 do checkpoint.losses[i] = crossover.step(model, optimizer, scheduler) end
    checkpoint.rates = {}
    for i, group in ipairs(optimizer.param_groups) do checkpoint.rates[i] = group.lr end
    -- the tensors of the checkpoint are its own: load_state_dict copies
    torch.save(checkpoint, path)
  end
  local x = torch.arange(12.0):view(3, 4)
  local dtypes = {}
  for _, dtype in ipairs(crossover.dtypes) do dtypes[dtype] = torch.tensor({ { 0, 1, 3 } }, { dtype = dtype }) end
  torch.save({ whole = x, row = x[2], column = x[{ {}, 3 }], turned = x:t(), dtypes = dtypes, bytes = "\0\255a",
    plain = { 1, 2.5, "grüße", true, torch.none, { -1 << 62, 1 / 0 } }, size = x.shape, kind = torch.bfloat16,
    parameter = nn.Parameter(torch.ones(2)), [2.5] = "number" }, folder .. "/values.st")
end

if arg and arg[0] and arg[0]:find("crossover%.lua$") then crossover.write(arg[1]) end

return crossover
