--- Trains a network to read handwritten digits, shows what it sees, saves it; or loads it and checks it.
--
--   lua examples/mnist.lua [--epochs N] [--seed N] [--out FILE] [--device cuda]
--   lua examples/mnist.lua --load FILE
--
-- Data: the IDX files in $MNIST, else a cache folder filled from the internet, else digits that the example draws.

local torch = require "moontorch"
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local mnist = require "support.mnist"
local reader = require "support.reader"

local nn, F, data = torch.nn, torch.nn.functional, torch.utils.data

local BATCH, LEARNING_RATE = 128, 2e-3

-- A network of three layers: 784 pixels in, a score for each of ten digits out.
local function make_network()
  return nn.Sequential(
    nn.Flatten(),
    nn.Linear(784, 256), nn.ReLU(),
    nn.Linear(256, 128), nn.ReLU(),
    nn.Linear(128, 10))
end

local function train(network, set, epochs)
  local loader = data.DataLoader(data.TensorDataset(mnist.normalised(set.train_images), set.train_labels),
    { batch_size = BATCH, shuffle = true })
  local optimizer = torch.optim.Adam(network:parameters(), { lr = LEARNING_RATE })
  local steps, step = epochs * #loader, 0
  for epoch = 1, epochs do
    local bar = torch.utils.progress(loader, { desc = "epoch " .. epoch })
    for images, labels in bar do
      -- The learning rate falls evenly to zero over the whole training.
      optimizer.param_groups[1].lr = LEARNING_RATE * (1 - step / steps)
      step = step + 1
      local loss = F.cross_entropy(network(images), labels)
      optimizer:zero_grad()
      loss:backward()
      optimizer:step()
      bar:set { loss = loss }
    end
  end
end

reader.run { name = "mnist", epochs = 5, make = make_network, train = train }
