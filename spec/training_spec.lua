--- Training runs against PyTorch's (spec/golden/training.lua), number by number: the same seed gives the same data, the
-- same start weights and, step by step, the same losses, in float64 to 1e-9 and in float32 to 1e-4.
--
-- Models, data and ways of training are those of spec/golden/make_training.py, with positions counted from 1.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local golden = dofile(here .. "/golden/training.lua")
local nn, F, optim = torch.nn, torch.nn.functional, torch.optim

local STEPS, BATCH = 50, 16
local TOLERANCE = { float64 = 1e-9, float32 = 1e-4 }

-- Models --------------------------------------------------------------------------------------------------------------

local LeNet = nn.class("LeNet")
function LeNet:init()
  self.features = nn.Sequential(
    nn.Conv2d(1, 6, 5, { padding = 2, bias = false }), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(6, 12, 3, { stride = 1, bias = false }), nn.BatchNorm2d(12), nn.ReLU(), nn.AvgPool2d(2))
  self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 5))
end
function LeNet:forward(x) return self.classifier(self.features(x)) end

local CharLSTM = nn.class("CharLSTM")
function CharLSTM:init(dropout)
  self.embedding = nn.Embedding(12, 8)
  self.lstm = nn.LSTM(8, 16, { num_layers = 2, batch_first = true, dropout = dropout or 0 })
  self.head = nn.Linear(16, 12)
end
function CharLSTM:forward(x)
  local out = self.lstm(self.embedding(x))
  return self.head(out)
end

local Classifier = nn.class("Classifier")
function Classifier:init()
  self.gru = nn.GRU(6, 8, { bidirectional = true })
  self.norm = nn.BatchNorm1d(16)
  self.head = nn.Linear(16, 4)
end
function Classifier:forward(x)
  local _, h = self.gru(x:transpose(1, 2))
  return self.head(self.norm(torch.cat({ h[1], h[2] }, 2)))
end

local Encoder = nn.class("Encoder")
function Encoder:init(dropout)
  self.embedding = nn.Embedding(12, 16)
  self.position = nn.Parameter(torch.zeros(1, 7, 16))
  self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, dropout or 0, { batch_first = true }), 2)
  self.head = nn.Linear(16, 4)
end
function Encoder:forward(x)
  return self.head(self.encoder(self.embedding(x) + self.position):mean(2))
end

local Block = nn.class("Block")
function Block:init(width, heads)
  self.heads = heads
  self.ln1 = nn.LayerNorm(width)
  self.qkv = nn.Linear(width, 3 * width, { bias = false })
  self.proj = nn.Linear(width, width)
  self.ln2 = nn.LayerNorm(width)
  self.fc1 = nn.Linear(width, 4 * width)
  self.fc2 = nn.Linear(4 * width, width)
end
function Block:forward(x)
  local n, length, width = x:size(1), x:size(2), x:size(3)
  local heads = self.qkv(self.ln1(x)):chunk(3, -1)
  for i, t in ipairs(heads) do heads[i] = t:view(n, length, self.heads, width // self.heads):transpose(2, 3) end
  local y = F.scaled_dot_product_attention(heads[1], heads[2], heads[3], { is_causal = true })
  x = x + self.proj(y:transpose(2, 3):reshape(n, length, width))
  return x + self.fc2(F.gelu(self.fc1(self.ln2(x)), { approximate = "tanh" }))
end

local GPT = nn.class("GPT")
function GPT:init()
  self.token = nn.Embedding(12, 16)
  self.position = nn.Embedding(7, 16)
  self.blocks = nn.ModuleList { Block(16, 2), Block(16, 2) }
  self.ln = nn.LayerNorm(16)
  self.head = nn.Linear(16, 12, { bias = false })
  nn.init.normal_(self.token.weight, 0, 0.1)
  nn.init.normal_(self.position.weight, { std = 0.1 })
  self.head.weight = self.token.weight
end
function GPT:forward(x)
  local y = self.token(x) + self.position(torch.arange(x:size(2)) + 1)
  for _, block in ipairs(self.blocks) do y = block(y) end
  return self.head(self.ln(y))
end

local function mlp(dropout)
  local layers = { nn.Linear(10, 32), nn.Tanh() }
  if dropout then layers[3] = nn.Dropout(dropout) end
  for _, layer in ipairs { nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4) } do layers[#layers + 1] = layer end
  return nn.Sequential(table.unpack(layers))
end

-- Data ----------------------------------------------------------------------------------------------------------------

local function labels(classes) return torch.randint(0, classes, { 64 }) + 1 end
local function vectors() return torch.randn(64, 10), labels(4) end
local function images() return torch.randn(64, 1, 12, 12), labels(5) end
local function words() return torch.randint(0, 12, { 64, 7 }) + 1, labels(4) end
local function series() return torch.randn(64, 5, 6), labels(4) end
local function text()
  local steps = 5 * torch.randint(0, 2, { 64, 8 }) + 1
  local x = (torch.randint(0, 12, { 64, 1 }) + steps:cumsum(2)) % 12 + 1
  return x[{ {}, { 1, 7 } }], x[{ {}, { 2, 8 } }]
end

local MODELS = {
  plain = { mlp = { vectors, mlp }, lenet = { images, LeNet }, lstm = { text, CharLSTM }, gru = { series, Classifier },
    encoder = { words, Encoder }, gpt = { text, GPT } },
  dropout = { mlp = { vectors, function() return mlp(0.3) end }, lstm = { text, function() return CharLSTM(0.4) end },
    encoder = { words, function() return Encoder(0.2) end } },
}

-- Ways of training: optimiser, and scheduler where there is one ------------------------------------------------------

local function groups(model)
  local matrices, others = { weight_decay = 0.01, params = {} }, { weight_decay = 0.0, params = {} }
  for _, p in ipairs(model:parameters()) do table.insert((p.ndim > 1 and matrices or others).params, p) end
  return { matrices, others }
end

local WAYS = {}
function WAYS.sgd(model) return optim.SGD(model:parameters(), { lr = 0.02, momentum = 0.9 }) end
function WAYS.adamw(model) return optim.AdamW(model:parameters(), { lr = 0.003 }) end
function WAYS.one_cycle(model)
  local optimizer = optim.SGD(groups(model), { lr = 0.01, momentum = 0.9, nesterov = true })
  return optimizer, optim.lr_scheduler.OneCycleLR(optimizer, { max_lr = 0.1, total_steps = STEPS })
end
function WAYS.cosine(model)
  local optimizer = optim.AdamW(groups(model), { lr = 0.004, betas = { 0.9, 0.95 } })
  local warm = optim.lr_scheduler.LinearLR(optimizer, { start_factor = 0.1, total_iters = 5 })
  local fall = optim.lr_scheduler.CosineAnnealingLR(optimizer, { T_max = STEPS - 5, eta_min = 1e-4 })
  return optimizer, optim.lr_scheduler.SequentialLR(optimizer, { warm, fall }, { milestones = { 5 } })
end

-- Comparing -----------------------------------------------------------------------------------------------------------

-- Fails when `got` is further than `tolerance * scale` from `wanted`.
local function compare(what, wanted, got, tolerance, scale)
  local off = math.abs(wanted - got)
  if off > tolerance * scale or off ~= off then
    error(("%s: expected %.12g, got %.12g, off by %.2g of %.2g"):format(what, wanted, got, off / scale, tolerance), 0)
  end
end

-- What of an entry is compared: of a packed projection's bias not the part of the keys. It moves all scores of a query
-- alike, so its gradient is zero but for rounding, which AdamW makes steps of.
local function compared(name, t)
  t = t:double()
  if not name:find("in_proj_bias$") then return t end
  local third = t:numel() // 3
  return torch.cat { t[{ { 1, third } }], t[{ { 2 * third + 1, -1 } }] }
end

-- A sum of n numbers is off by at most sqrt(n) times the norm of their errors: that is its scale.
local function compare_state(wanted, model, tolerance, when)
  local state, count = model:state_dict { index_base = 0 }, 0
  for name, sums in pairs(wanted) do
    local t = state[name]
    assert.is_not_nil(t, "no entry " .. name)
    t = compared(name, t)
    local scale = math.max(sums[2], 1e-30)
    compare(when .. " " .. name .. ", squares", sums[2], (t * t):sum():item(), tolerance, scale)
    compare(when .. " " .. name .. ", sum", sums[1], t:sum():item(), tolerance, math.sqrt(t:numel() * scale))
  end
  for name in pairs(state) do
    if not name:find("num_batches_tracked$") then
      assert.is_not_nil(wanted[name], "PyTorch's has no entry " .. name)
      count = count + 1
    end
  end
  assert.is_true(count > 0)
end

local function loss_of(model, x, y)
  local out = model(x)
  return F.cross_entropy(out:reshape(-1, out:size(-1)), y:reshape(-1))
end

local function run(case, start)
  local tolerance = TOLERANCE[case.dtype]
  torch.manual_seed(1234)
  local make = MODELS[case.kind][case.model]
  local x, y = make[1]()
  local model = make[2]()
  compare("the next random number", case.after, torch.rand(1, { dtype = torch.float64 }):item(), 1e-11, 1)
  compare_state(start, model, case.dtype == "float64" and 1e-11 or 1e-6, "start")
  local optimizer, scheduler = WAYS[case.way](model)
  local order
  for step = 0, STEPS - 1 do
    local first = step * BATCH % 64
    if first == 0 then order = torch.randperm(64) end
    local batch = order[{ { first + 1, first + BATCH } }]
    optimizer:zero_grad()
    local loss = loss_of(model, x[batch], y[batch])
    loss:backward()
    if scheduler then nn.utils.clip_grad_norm_(model:parameters(), 1.0) end
    optimizer:step()
    if scheduler then scheduler:step() end
    local wanted = case.losses[step + 1]
    compare("loss " .. step + 1, wanted, loss:item(), tolerance, wanted)
  end
  compare("loss in evaluation mode", case.evaluated, loss_of(model:eval(), x, y):item(), tolerance, case.evaluated)
  compare_state(case.finish, model, tolerance, "finish")
end

describe("fifty steps are PyTorch's:", function()
  local starts = {}
  for _, case in ipairs(golden) do
    local key = case.kind .. case.model .. case.dtype
    starts[key] = starts[key] or case.start
    it(("%s by %s in %s%s"):format(case.model, case.way, case.dtype, case.kind == "dropout" and " with dropout" or ""),
      function()
        local dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch[case.dtype])
        local ok, reason = pcall(run, case, starts[key])
        torch.set_default_dtype(dtype)
        if not ok then error(reason, 0) end
      end)
  end
end)
