--- Trains a convolutional network to read handwritten digits, shows its filters and what it misreads, saves it; or
-- loads it and checks it.
--
--   lua examples/mnist_cnn.lua [--epochs N] [--seed N] [--out FILE] [--device cuda]
--   lua examples/mnist_cnn.lua --load FILE
--
-- Batch norm (Ioffe and Szegedy 2015) after each convolution, and a learning rate that rises and falls once (Smith and
-- Topin 2018) let three passes over the data do. Data as in mnist.lua.

local torch = require "moontorch"
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local mnist = require "support.mnist"
local reader = require "support.reader"
local terminal = require "support.terminal"

local nn, F, data = torch.nn, torch.nn.functional, torch.utils.data

local BATCH, LEARNING_RATE, FILTERS = 128, 0.01, 12

-- Images [n, 28, 28] in, scores [n, 10] out.
local function make_network()
  return nn.Sequential(
    nn.Unflatten(2, { 1, 28 }),
    nn.Conv2d(1, FILTERS, 5, { padding = 2, bias = false }), nn.BatchNorm2d(FILTERS), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(FILTERS, 32, 3, { padding = 1, bias = false }), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.25), nn.Linear(32 * 7 * 7, 10))
end

local function train(network, set, epochs)
  local loader = data.DataLoader(data.TensorDataset(mnist.normalised(set.train_images), set.train_labels),
    { batch_size = BATCH, shuffle = true })
  local optimizer = torch.optim.AdamW(network:parameters(), { lr = LEARNING_RATE })
  local schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE,
    { total_steps = math.max(1, epochs * #loader) })
  network:train()
  for epoch = 1, epochs do
    local bar = torch.utils.progress(loader, { desc = "epoch " .. epoch })
    for images, labels in bar do
      local loss = F.cross_entropy(network(images), labels)
      optimizer:zero_grad()
      loss:backward()
      optimizer:step()
      schedule:step()
      bar:set { loss = loss }
    end
  end
end

-- The first layer's filters, each from black (its most negative weight) over grey (none) to white.
local function show_filters(network)
  local filters = network[2].weight:detach():squeeze(2)
  print("\nFilters of the first layer:")
  terminal.show_greys(filters / filters:abs():amax({ 2, 3 }, { keepdim = true }) / 2 + 0.5, 2)
end

reader.run { name = "mnist_cnn", epochs = 3, make = make_network, train = train, show = show_filters }
