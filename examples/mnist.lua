--- Trains a network to read handwritten digits, shows what it sees, saves it; or loads it and checks it.
--
--   lua examples/mnist.lua [--epochs N] [--seed N] [--out FILE]
--   lua examples/mnist.lua --load FILE
--
-- Data: the IDX files in $MNIST, else a cache folder filled from the internet, else digits that the example draws.

local torch = require "moontorch"
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local options = require "support.options"
local mnist = require "support.mnist"
local terminal = require "support.terminal"

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

-- Probabilities [n, 10] for all test images.
local function predict(network, set)
  local parts = {}
  for _, images in ipairs(mnist.normalised(set.test_images):split(1000)) do
    parts[#parts + 1] = F.softmax(network:predict(images), -1)
  end
  return torch.cat(parts, 1)
end

-- Number of right answers, and how often each digit was taken for each.
local function judge(probabilities, set)
  local said, truth = probabilities:argmax(2):tolist(), set.test_labels:tolist()
  local right, counts = 0, {}
  for i = 1, 10 do counts[i] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } end
  for i = 1, #said do
    local row = counts[truth[i]]
    row[said[i]] = row[said[i]] + 1
    if said[i] == truth[i] then right = right + 1 end
  end
  return right, counts
end

-- Three digits that were read, and three that were not.
local function show_some(probabilities, set)
  local said = probabilities:argmax(2)
  local hits = said:eq(set.test_labels)
  for _, group in ipairs { { "Read well:", hits }, { "Misread:", hits:logical_not() } } do
    print("\n" .. group[1])
    local positions = torch.nonzero(group[2]):flatten():tolist()
    for k = 1, math.min(3, #positions) do
      local at = positions[k]
      terminal.show_digit(set.test_images[at]:tolist(), set.test_labels[at]:item() - 1, probabilities[at]:tolist())
    end
  end
end

-- Loads a saved network and checks that it reads as many digits as its file says.
local function check_saved(path)
  local tensors, metadata = torch.utils.safetensors.load_file(path)
  local set = mnist.load()
  if metadata.data ~= set.name then
    print(path .. " was trained on other data (" .. tostring(metadata.data) .. "); nothing to compare")
    return
  end
  local network = make_network()
  network:load_state_dict(tensors)
  local right = judge(predict(network, set), set)
  print(string.format("%s: %d of %d right, %.2f %%; saved as %s", path, right, #set.test_labels,
    100 * right / #set.test_labels, metadata.right))
  assert(tostring(right) == metadata.right, "the loaded network reads other digits than the saved one did")
  print("The loaded network is the saved one.")
end

local function main()
  local given = options.parse(arg, "mnist.lua [--epochs N] [--seed N] [--out FILE] | --load FILE",
    { epochs = 5, seed = 1, out = "mnist.safetensors" })
  if given.load then return check_saved(given.load) end
  local set = mnist.load()
  torch.manual_seed(given.seed)
  local network = make_network()
  print(network)
  local started = torch.clock()
  train(network, set, given.epochs)
  print(string.format("trained on %d digits in %.1f s", #set.train_labels, torch.clock() - started))
  local probabilities = predict(network, set)
  local right, counts = judge(probabilities, set)
  terminal.show_confusion(counts)
  show_some(probabilities, set)
  print(string.format("\n%d of %d test digits right: %.2f %%", right, #set.test_labels,
    100 * right / #set.test_labels))
  torch.utils.safetensors.save_file(network:state_dict(), given.out,
    { right = tostring(right), data = set.name, format = "pt" })
  print("saved as " .. given.out)
end

main()
