--- The digits that the examples learn from: MNIST where it can be had, else digits drawn here.

local torch = require "moontorch"
local files = require "support.mnist_files"
local drawn_digits = require "support.drawn_digits"

local mnist = {}

--- Grey values 0 to 255 as floats with mean 0 and deviation 1, as MNIST has them on the whole.
function mnist.normalised(images)
  return images:float():div_(255):sub_(0.1307):div_(0.3081)
end

-- All tensors of a set where tensors are made.
local function on_device(set)
  for name, value in pairs(set) do
    if torch.is_tensor(value) then set[name] = value:to(torch.get_default_device()) end
  end
  return set
end

--- Images as bytes [n, 28, 28] and labels from 1 (digit + 1) of the training and the test set: train_images,
-- train_labels, test_images, test_labels. `name` is what they are: "mnist" or "drawn".
function mnist.load()
  local paths, where = files.locate()
  if paths then
    local idx = torch.utils.idx
    print("MNIST from " .. where)
    return on_device {
      train_images = idx.read(paths.train_images), train_labels = idx.read(paths.train_labels):long() + 1,
      test_images = idx.read(paths.test_images), test_labels = idx.read(paths.test_labels):long() + 1,
      name = "mnist",
    }
  end
  print("No MNIST: " .. where .. ". Drawing digits instead; set MNIST to the folder of the four IDX files.")
  local function make(count, seed)
    local bytes, labels = drawn_digits.make(count, seed)
    return torch.frombuffer(bytes, { dtype = torch.uint8 }):reshape(count, 28, 28), torch.tensor(labels) + 1
  end
  local set = { name = "drawn" }
  set.train_images, set.train_labels = make(12000, 1)
  set.test_images, set.test_labels = make(2000, 2)
  return on_device(set)
end

return mnist
