--- What the networks that read digits have in common: how they are judged, shown, saved, and checked when loaded again.
-- They take images [n, 28, 28] as mnist.normalised makes them and give scores [n, 10]. Sets are mnist.load's.

local torch = require "moontorch"
local mnist = require "support.mnist"
local options = require "support.options"
local terminal = require "support.terminal"

local F, safetensors = torch.nn.functional, torch.utils.safetensors

local reader = {}

--- Probabilities [n, 10] for all test images.
function reader.predict(network, set)
  local parts = {}
  for _, images in ipairs(mnist.normalised(set.test_images):split(1000)) do
    parts[#parts + 1] = F.softmax(network:predict(images), -1)
  end
  return torch.cat(parts, 1)
end

--- Number of right answers, and how often each digit was taken for each.
function reader.judge(probabilities, set)
  local said, truth = probabilities:argmax(2):cpu():tolist(), set.test_labels:cpu():tolist()
  local right, counts = 0, {}
  for i = 1, 10 do counts[i] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } end
  for i = 1, #said do
    local row = counts[truth[i]]
    row[said[i]] = row[said[i]] + 1
    if said[i] == truth[i] then right = right + 1 end
  end
  return right, counts
end

--- Prints three digits that were read, and three that were not.
function reader.show_some(probabilities, set)
  local said = probabilities:argmax(2)
  local hits = said:eq(set.test_labels)
  for _, group in ipairs { { "Read well:", hits }, { "Misread:", hits:logical_not() } } do
    print("\n" .. group[1])
    local positions = torch.nonzero(group[2]):flatten():cpu():tolist()
    for k = 1, math.min(3, #positions) do
      local at = positions[k]
      terminal.show_digit(set.test_images[at]:cpu():tolist(), set.test_labels[at]:item() - 1,
        probabilities[at]:cpu():tolist())
    end
  end
end

--- Prints how many test digits were read, and saves the network with that number.
function reader.save(network, set, right, path)
  print(string.format("\n%d of %d test digits right: %.2f %%", right, #set.test_labels,
    100 * right / #set.test_labels))
  safetensors.save_file(network:state_dict(), path, { right = tostring(right), data = set.name, format = "pt" })
  print("saved as " .. path)
end

--- Loads a saved network into `network` and checks that it reads as many digits as its file says.
function reader.check_saved(network, path)
  local tensors, metadata = safetensors.load_file(path)
  local set = mnist.load()
  if metadata.data ~= set.name then
    print(path .. " was trained on other data (" .. tostring(metadata.data) .. "); nothing to compare")
    return
  end
  network:load_state_dict(tensors)
  local right = reader.judge(reader.predict(network, set), set)
  print(string.format("%s: %d of %d right, %.2f %%; saved as %s", path, right, #set.test_labels,
    100 * right / #set.test_labels, metadata.right))
  assert(tostring(right) == metadata.right, "the loaded network reads other digits than the saved one did")
  print("The loaded network is the saved one.")
end

--- A whole example: trains a network, shows what it reads and saves it, or checks a saved one. `example`: name, epochs
-- (unless the options say otherwise), make() gives the network, train(network, set, epochs), and show(network) or nil.
function reader.run(example)
  local file = example.name .. ".lua"
  local given = options.parse(arg, file .. " [--epochs N] [--seed N] [--out FILE] [--device NAME] | --load FILE",
    { epochs = example.epochs, seed = 1, out = example.name .. ".safetensors" })
  if given.load then return reader.check_saved(example.make(), given.load) end
  local set = mnist.load()
  torch.manual_seed(given.seed)
  local network = example.make()
  print(network)
  local started = torch.clock()
  example.train(network, set, given.epochs)
  print(string.format("trained on %d digits in %.1f s", #set.train_labels, torch.clock() - started))
  local probabilities = reader.predict(network, set)
  local right, counts = reader.judge(probabilities, set)
  terminal.show_confusion(counts)
  reader.show_some(probabilities, set)
  if example.show then example.show(network) end
  reader.save(network, set, right, given.out)
end

return reader
