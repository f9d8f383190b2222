--- Learns to describe a handwritten digit by 16 numbers, draws digits beside what is left of them, and makes up new
-- ones; or loads what it learned and does so.
--
--   lua examples/autoencoder.lua [--epochs N] [--seed N] [--out FILE] [--device cuda]
--   lua examples/autoencoder.lua --load FILE [--seed N]
--
-- A convolutional variational autoencoder (Kingma and Welling 2014): the encoder gives a mean and a deviation for each
-- number, the decoder draws the digit from numbers drawn thus. The loss is what the drawing misses plus how far those
-- distributions are from the standard normal one, so that standard normal numbers make digits too. The second part
-- counts little at first (Bowman et al. 2016); otherwise the network may learn to say nothing at all. Data as in
-- mnist.lua.

local torch = require "moontorch"
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local options = require "support.options"
local mnist = require "support.mnist"
local canvas = require "support.canvas"

local nn, F, data = torch.nn, torch.nn.functional, torch.utils.data

local BATCH, LEARNING_RATE, NUMBERS = 128, 2e-3, 16

local Autoencoder = nn.class("Autoencoder")

function Autoencoder:init()
  self.encoder = nn.Sequential(
    nn.Conv2d(1, 16, 4, { stride = 2, padding = 1 }), nn.ReLU(),
    nn.Conv2d(16, 32, 4, { stride = 2, padding = 1 }), nn.ReLU(),
    nn.Flatten(), nn.Linear(32 * 7 * 7, 2 * NUMBERS))
  self.decoder = nn.Sequential(
    nn.Linear(NUMBERS, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(2, { 32, 7, 7 }),
    nn.ConvTranspose2d(32, 16, 4, { stride = 2, padding = 1 }), nn.ReLU(),
    nn.ConvTranspose2d(16, 1, 4, { stride = 2, padding = 1 }))
end

-- Images [n, 1, 28, 28] from 0 to 1: scores of their pixels (sigmoid makes them greys), and mean and logarithm of the
-- variance of the numbers [n, 16]. The numbers are drawn while training; otherwise they are the means.
function Autoencoder:forward(images)
  local mean, log_variance = table.unpack(self.encoder(images):chunk(2, 2))
  local numbers = mean
  if self.training then numbers = mean + torch.exp(log_variance / 2) * torch.randn_like(mean) end
  return self.decoder(numbers), mean, log_variance
end

-- Bytes [n, 28, 28] as images for the network.
local function images_of(bytes)
  return bytes:float():div_(255):unsqueeze(2)
end

local function train(network, set, epochs)
  local loader = data.DataLoader(data.TensorDataset(set.train_images), { batch_size = BATCH, shuffle = true })
  local optimizer = torch.optim.Adam(network:parameters(), { lr = LEARNING_RATE })
  local steps, step = epochs * #loader, 0
  network:train()
  for epoch = 1, epochs do
    local bar = torch.utils.progress(loader, { desc = "epoch " .. epoch })
    for bytes in bar do
      local images = images_of(bytes)
      local scores, mean, log_variance = network(images)
      local missed = F.binary_cross_entropy_with_logits(scores, images, { reduction = "sum" }) / #images
      local distance = (mean ^ 2 + log_variance:exp() - 1 - log_variance):sum() / 2 / #images
      step = step + 1
      local loss = missed + distance * math.min(1, 4 * step / steps)
      -- The learning rate falls evenly to zero.
      optimizer.param_groups[1].lr = LEARNING_RATE * (1 - step / steps)
      optimizer:zero_grad()
      loss:backward()
      optimizer:step()
      bar:set { missed = missed, distance = distance }
    end
  end
end

-- Mean squared error of a pixel (greys from 0 to 1) over the test images, of the reconstructions and of the mean image.
local function errors_of(network, set)
  local sum = 0
  for _, bytes in ipairs(set.test_images:split(1000)) do
    local images = images_of(bytes)
    sum = sum + F.mse_loss(torch.sigmoid((network:predict(images))), images, { reduction = "sum" }):item()
  end
  local spread = images_of(set.test_images):var(1, { unbiased = false }):mean():item()
  return sum / set.test_images:numel(), spread
end

-- The first test image of each digit there is, in order.
local function one_of_each(set)
  local labels, chosen = set.test_labels:cpu():tolist(), {}
  for digit = 1, 10 do
    for i, label in ipairs(labels) do
      if label == digit then
        chosen[#chosen + 1] = set.test_images[i]
        break
      end
    end
  end
  return images_of(torch.stack(chosen))
end

local function show(network, set)
  local images = one_of_each(set)
  local scores, means = network:predict(images)
  print("\nDigits, each beside what is left of it after " .. NUMBERS .. " numbers:")
  canvas.show_pictures(torch.stack({ images, torch.sigmoid(scores) }, 2):reshape(-1, 28, 28), 4)
  local function draw(numbers)
    canvas.show_pictures(torch.sigmoid(network.decoder:predict(numbers)):squeeze(2), 5)
  end
  print("\nOn the way from the first to the last:")
  draw(torch.lerp(means[{ { 1, 1 } }], means[{ { -1, -1 } }], torch.linspace(0, 1, 5):unsqueeze(2)))
  print("\nDigits from random numbers:")
  draw(torch.randn(10, NUMBERS))
end

local function main()
  local given = options.parse(arg, "autoencoder.lua [--epochs N] [--seed N] [--out FILE] [--device NAME] | --load FILE "
    .. "[--seed N]", { epochs = 5, seed = 1, out = "autoencoder.safetensors" })
  local set = mnist.load()
  torch.manual_seed(given.seed)
  local network = Autoencoder()
  if given.load then
    network:load_state_dict(torch.utils.safetensors.load_file(given.load))
  else
    print(network)
    local started = torch.clock()
    train(network, set, given.epochs)
    print(string.format("trained on %d digits in %.1f s", #set.train_images, torch.clock() - started))
  end
  show(network, set)
  local left, spread = errors_of(network, set)
  print(string.format("\nreconstruction error of %d test digits: %.4f a pixel; the mean digit's is %.4f",
    #set.test_images, left, spread))
  if given.load then return end
  torch.utils.safetensors.save_file(network:state_dict(), given.out, { data = set.name, format = "pt" })
  print("saved as " .. given.out)
end

main()
