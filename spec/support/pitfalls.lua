--- What the specs of newcomers' mistakes share: the mistake is made on purpose, the text must name the place, the
-- shapes and the remedy, and the right way must work and be silent.
local torch = require "moontorch"
local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."
local near = dofile(here .. "/near.lua")
local warnings_of = dofile(here .. "/warnings.lua")
local assert = require "luassert"
local nn, F = torch.nn, torch.nn.functional

local pitfalls = { near = near, warnings_of = warnings_of }

--- `fn` must raise a message with all the texts; returns it.
function pitfalls.mistake(fn, ...) return near.refuses(fn, ...) end

--- `fn` must run without a warning; returns what it returns.
function pitfalls.right(fn)
  local result
  assert.same({}, warnings_of(function() result = fn() end))
  return result
end

--- `fn` must warn exactly once, with all the texts.
function pitfalls.warns(fn, ...)
  local said = warnings_of(fn)
  assert.equal(1, #said, table.concat(said, "\n"))
  for _, part in ipairs { ... } do
    assert.is_truthy(said[1]:find(part, 1, true), part .. "\nis missing in\n" .. said[1])
  end
end

--- "file:line" of the line after the caller's.
function pitfalls.next_line()
  local caller = debug.getinfo(2, "Sl")
  return ("%s:%d"):format(caller.source:match("[^/]*$"), caller.currentline + 1)
end

-- A convolution and a batch norm written by hand: the functions are what teaches.
local Conv = nn.class("Conv")
function Conv:init(channels, out) self.weight = nn.Parameter(torch.randn(out, channels, 3, 3)) end
function Conv:forward(x) return F.conv2d(x, self.weight) end

local Norm = nn.class("Norm")
function Norm:init(n)
  self:register_buffer("running_mean", torch.zeros(n))
  self:register_buffer("running_var", torch.ones(n))
end
function Norm:forward(x) return F.batch_norm(x, self.running_mean, self.running_var, { training = self.training }) end

local Two = nn.class("Two")
function Two:init()
  self.fc1 = nn.Linear(4, 3)
  self.fc2 = nn.Linear(3, 2)
end
function Two:forward(x) return self.fc2(x) end

pitfalls.Conv, pitfalls.Norm, pitfalls.Two = Conv, Norm, Two

--- One step of training of `model` on data of its own.
function pitfalls.train_step(model, optimizer, x)
  optimizer:zero_grad()
  local loss = model(x):pow(2):mean()
  loss:backward()
  optimizer:step()
  return loss
end

return pitfalls
