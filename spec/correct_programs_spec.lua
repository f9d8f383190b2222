--- Right programs as people write them, next to the wrong ones that they resemble: a warning on these would be a
-- mistake of the library's own. Mistakes in many forms are here too, each must be noticed.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local pitfalls = dofile(here .. "/support/pitfalls.lua")
local right, warns = pitfalls.right, pitfalls.warns
local nn, F, optim, data = torch.nn, torch.nn.functional, torch.optim, torch.utils.data

local x, y, labels = torch.randn(6, 2), torch.randn(6, 1), torch.tensor { 1, 2, 3, 1, 2, 3 }

local function net() return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 1)) end
local function normed() return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)) end
local function loss_of(m) return F.mse_loss(m(x), y) end

-- An optimiser's step as often as wanted; what happens before it is `before`'s.
local function train(m, n, before, kind)
  local optimizer = (kind or optim.SGD)(m:parameters(), { lr = 1e-3 })
  for i = 1, n do
    before(m, optimizer, i)
    optimizer:step()
  end
end

describe("silent are", function()
  local cleared = {
    ["zero_grad"] = function(m, o) o:zero_grad() loss_of(m):backward() end,
    ["zero_grad of the model"] = function(m) m:zero_grad() loss_of(m):backward() end,
    ["zeros instead of nil"] = function(m, o) o:zero_grad(false) loss_of(m):backward() end,
    ["gradients cleared by hand"] = function(m)
      for _, p in ipairs(m:parameters()) do p.grad = nil end
      loss_of(m):backward()
    end,
    ["gradients zeroed by hand"] = function(m)
      for _, p in ipairs(m:parameters()) do if p.grad then p.grad:zero_() end end
      loss_of(m):backward()
    end,
    ["gradients zeroed through data"] = function(m)
      for _, p in ipairs(m:parameters()) do if p.grad then p.grad.data:zero_() end end
      loss_of(m):backward()
    end,
    ["several backward calls a step"] = function(m, o, i)
      o:zero_grad()
      for _ = 1, 1 + i % 4 do (loss_of(m) / 4):backward() end
    end,
    ["as many as there are, cleared by the model"] = function(m, _, i)
      m:zero_grad()
      for _ = 1, 1 + i % 3 do (loss_of(m) / 4):backward() end
    end,
    ["two losses of one graph"] = function(m, o)
      o:zero_grad()
      local out = m(x)
      F.mse_loss(out, y):backward { retain_graph = true }
      F.l1_loss(out, y):backward()
    end,
    ["clipped gradients"] = function(m, o)
      o:zero_grad()
      loss_of(m):backward()
      nn.utils.clip_grad_norm_(m:parameters(), 1)
    end,
  }
  for name, before in pairs(cleared) do
    it(name, function()
      for _, kind in ipairs { optim.SGD, optim.Adam } do right(function() train(net(), 8, before, kind) end) end
    end)
  end

  it("accumulation over batches, meant or cleared after the step", function()
    right(function()
      local m = net()
      local o = optim.Adam(m:parameters())
      for i = 1, 24 do
        (loss_of(m) / 4):backward()
        if i % 4 == 0 then
          o:step()
          o:zero_grad()
        end
      end
      local meant = optim.SGD(m:parameters(), { lr = 1e-3, accumulate = true })
      for _ = 1, 4 do
        loss_of(m):backward()
        meant:step()
      end
    end)
  end)

  it("two networks against each other, with an optimiser each", function()
    right(function()
      local G, D = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), nn.Linear(2, 1)
      local og, od, bce = optim.Adam(G:parameters()), optim.Adam(D:parameters()), nn.BCEWithLogitsLoss()
      for _ = 1, 20 do
        local fake = G(torch.randn(6, 3))
        od:zero_grad()
        bce(D(x), torch.ones(6, 1)):backward()
        bce(D(fake:detach()), torch.zeros(6, 1)):backward()
        od:step()
        og:zero_grad()
        bce(D(fake), torch.ones(6, 1)):backward()
        og:step()
      end
    end)
  end)

  it("figures kept as numbers or detached, over a thousand steps", function()
    right(function()
      local total, mean, list = 0, torch.tensor(0.0), {}
      train(nn.Linear(2, 1), 1030, function(m, o)
        o:zero_grad()
        local loss = loss_of(m)
        loss:backward()
        total, mean = total + loss:item(), mean + loss:detach()
        list[#list + 1] = loss.data
        torch.no_grad(function() mean:add_(loss) end)
      end)
    end)
  end)

  it("a state carried from step to step, detached", function()
    right(function()
      local rnn, state = nn.LSTM(2, 3), nil
      train(rnn, 300, function(m, o)
        local out
        out, state = m(torch.randn(3, 2, 2), state)
        for i, s in ipairs(state) do state[i] = s:detach() end
        o:zero_grad()
        out:pow(2):mean():backward()
      end)
    end)
  end)

  it("an averaged copy of a model, and a teacher", function()
    right(function()
      local teacher, copy = net():eval(), nn.Linear(2, 1):requires_grad_(false)
      train(nn.Linear(2, 1), 200, function(m, o)
        local wanted = torch.no_grad(function() return teacher(x) end)
        o:zero_grad()
        F.mse_loss(m(x), wanted):backward()
        torch.no_grad(function()
          for i, p in ipairs(copy:parameters()) do p:mul_(0.9):add_(m:parameters()[i] * 0.1) end
        end)
      end)
    end)
  end)

  it("evaluation between epochs, in its forms", function()
    right(function()
      for _, m in ipairs { net(), normed() } do
        local o = optim.SGD(m:parameters(), { lr = 1e-3 })
        for _ = 1, 3 do
          m:train()
          for batch, wanted in data.DataLoader(data.TensorDataset(x, y), { batch_size = 3 })() do
            o:zero_grad()
            F.mse_loss(m(batch), wanted):backward()
            o:step()
          end
          m:eval()
          torch.no_grad(function() for batch in data.DataLoader(x, { batch_size = 2 })() do m(batch) end end)
          do
            local _ <close> = torch.inference_mode()
            m(x)
          end
          m:predict(x)
        end
      end
    end)
  end)

  it("dropout that is meant in evaluation", function()
    right(function()
      local m = net():eval()
      for module in m:modules() do
        if module:_get_name() == "Dropout" then module:train() end
      end
      torch.no_grad(function()
        for _ = 1, 5 do m(x) end
        F.dropout(x, 0.5, true)
        F.dropout(x, { p = 0.5, training = true })
      end)
    end)
  end)

  it("parts that evaluate while others train: frozen batch norm, a frozen backbone, gradients of an input", function()
    right(function()
      local m = normed()
      train(m, 4, function(_, o)
        m:train()
        m[2]:eval()
        o:zero_grad()
        loss_of(m):backward()
      end)
      local back, head = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)), nn.Linear(4, 1)
      local o = optim.SGD({ { params = back:parameters(), lr = 1e-4 }, { params = head:parameters() } }, { lr = 1e-3 })
      back:eval()
      for _ = 1, 4 do
        o:zero_grad()
        F.mse_loss(head(back(x)), y):backward()
        o:step()
      end
      local seen = torch.randn(6, 2, { requires_grad = true })
      net():eval()(seen):sum():backward()
    end)
  end)

  it("softmax as a target, as attention, before log; squeeze of what is no batch", function()
    right(function()
      local m = nn.Linear(2, 3)
      F.cross_entropy(m(x), F.softmax(torch.randn(6, 3), 2)):backward()
      F.cross_entropy(nn.Linear(3, 3)(F.softmax(torch.randn(6, 3, { requires_grad = true }), 2)), labels):backward()
      F.nll_loss(F.softmax(m(x), 2):log(), labels):backward()
      local Scaled = nn.class("Scaled")
      function Scaled:init() self.w = nn.Parameter(torch.ones(1, 2)) end
      function Scaled:forward(input)
        local mask = torch.ones(1, 2)
        return input * self.w:squeeze() * mask:squeeze()
      end
      Scaled()(x)
      Scaled():predict(x)
    end)
  end)
end)

describe("noticed are", function()
  local forgotten = {
    ["once a step"] = function(m) loss_of(m):backward() end,
    ["zero_grad before the loop only"] = function(m, o, i)
      if i == 1 then o:zero_grad() end
      loss_of(m):backward()
    end,
    ["zero_grad of another model"] = function(m) net():zero_grad() loss_of(m):backward() end,
    ["with two backward calls a step"] = function(m)
      F.mse_loss(m(x), y):backward()
      F.l1_loss(m(x), y):backward()
    end,
    ["with clipping"] = function(m)
      loss_of(m):backward()
      nn.utils.clip_grad_norm_(m:parameters(), 1)
      nn.utils.clip_grad_value_(m:parameters(), 1)
    end,
    ["with the first parameter frozen"] = function(m)
      m[1].weight.requires_grad = false
      loss_of(m):backward()
    end,
  }
  for name, before in pairs(forgotten) do
    it("gradients that pile up, " .. name, function()
      for _, kind in ipairs { optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad } do
        warns(function() train(net(), 5, before, kind) end, "gradients pile up", "zero_grad()")
      end
    end)
  end

  it("gradients that pile up in a closure, and in the other network", function()
    local m = nn.Linear(2, 1)
    local o = optim.LBFGS(m:parameters(), { max_iter = 2 })
    local function closure()
      local loss = loss_of(m)
      loss:backward()
      return loss
    end
    warns(function() for _ = 1, 3 do o:step(closure) end end, "LBFGS.step(): gradients pile up")
    local G, D = nn.Linear(3, 2), nn.Linear(2, 1)
    local og, od = optim.Adam(G:parameters()), optim.Adam(D:parameters())
    warns(function()
      for _ = 1, 4 do
        od:zero_grad()
        D(G(torch.randn(6, 3))):mean():backward()
        od:step()
        D(G(torch.randn(6, 3))):mean():backward()
        og:step()
      end
    end, "Adam.step(): gradients pile up")
  end)

  it("outputs kept with their graphs, where no optimiser looks", function()
    local m, kept = net():eval(), {}
    collectgarbage()
    warns(function()
      for batch in data.DataLoader(torch.randn(1200, 2), { batch_size = 2 })() do kept[#kept + 1] = m(batch) end
    end, "the graph has grown over the last", "torch.no_grad", ":detach()")
  end)

  it("dropout and batch norm that train under no_grad and inference_mode, each line once", function()
    local q = torch.randn(2, 3, 4)
    local modes = {
      function() local m = net() for _ = 1, 3 do m(x) end end,
      function() local m = normed() for _ = 1, 3 do m(x) end end,
      function() nn.Dropout2d()(torch.randn(2, 3, 4, 4)) end,
      function() nn.AlphaDropout()(x) end,
      function() nn.LSTM(4, 3, 2, { dropout = 0.5 })(q) end,
      function() nn.MultiheadAttention(4, 2, { dropout = 0.5 })(q, q, q) end,
      function() F.dropout(x) end,
      function() F.dropout(x, 0.5) end,
      function() nn.Sequential(nn.Sequential(nn.BatchNorm2d(1)))(torch.randn(2, 1, 3, 3)) end,
    }
    for _, run in ipairs(modes) do
      warns(function() torch.no_grad(run) end, "gradients are off", "eval()", "model:predict(x)")
    end
    warns(function()
      local _ <close> = torch.inference_mode()
      net()(x)
    end, "gradients are off")
  end)

  it("models that train in evaluation mode, whatever drops or keeps statistics in them", function()
    local Functional = nn.class("Functional")
    function Functional:init() self.fc = nn.Linear(2, 1) end
    function Functional:forward(input) return self.fc(F.dropout(input, 0.5, self.training)) end
    local cases = { { net(), x }, { normed(), x }, { Functional(), x },
      { nn.LSTM(2, 3, 2, { dropout = 0.5 }), torch.randn(2, 3, 2) },
      { nn.TransformerEncoderLayer(4, 2), torch.randn(2, 3, 4) } }
    for _, case in ipairs(cases) do
      case[1]:eval()
      warns(function()
        train(case[1], 3, function(m, o)
          o:zero_grad()
          m(case[2]):pow(2):mean():backward()
        end)
      end, "in evaluation mode", "Call train()")
    end
  end)

  it("softmax seen in another shape before cross_entropy", function()
    local m = nn.Linear(2, 3)
    warns(function() F.cross_entropy(m(x):softmax(2):view(6, 3), labels) end, "takes logits")
    warns(function() F.cross_entropy(torch.softmax(m(x), -1):unsqueeze(1):squeeze(1), labels) end, "takes logits")
    warns(function() nn.CrossEntropyLoss()(nn.Softmax { dim = 2 }(m(x)):reshape(6, 3), labels) end, "takes logits")
  end)
end)
