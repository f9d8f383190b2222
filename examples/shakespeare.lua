--- Teaches a small GPT to write like Shakespeare, character by character; or lets it go on learning or writing.
--
--   lua examples/shakespeare.lua [--steps N] [--seed N] [--out FILE] [--device cuda]
--   lua examples/shakespeare.lua --load FILE [--steps N] [--out FILE]       learns on from where FILE stopped
--   lua examples/shakespeare.lua --load FILE --prompt TEXT [--seed N]       writes on from TEXT; --length N characters
--
-- The network (Radford et al. 2018, after Vaswani et al. 2017) sees up to 64 characters and says of each what comes
-- next. It is small enough for a minute of two cores: two blocks, 128 numbers a character, 420,000 weights.
-- Data: the text in the file $SHAKESPEARE (any text will do), else tinyshakespeare.txt found or fetched.

local torch = require "moontorch"
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local options = require "support.options"
local text_files = require "support.text_files"

local nn, F = torch.nn, torch.nn.functional

local USAGE = "shakespeare.lua [--steps N] [--seed N] [--out FILE] [--load FILE] [--prompt TEXT] [--length N] "
  .. "[--batch N] [--device NAME]"
local SHAPE = { context = 64, width = 128, heads = 4, layers = 2 }
local STEPS = 3000
local LEARNING_RATE, WARM_UP, WEIGHT_DECAY, LARGEST_GRADIENT = 5e-3, 100, 0.1, 1

-- The network ---------------------------------------------------------------------------------------------------------

-- Lets every character look at itself and those before it. (batch, time, width) to the same.
local Attention = nn.class("Attention")

function Attention:init(width, heads)
  self.heads = heads
  self.query_key_value = nn.Linear(width, 3 * width)
  self.out = nn.Linear(width, width)
end

function Attention:forward(x)
  local batch, time, width = x.shape[1], x.shape[2], x.shape[3]
  -- (batch, time, 3 · width) to three of (batch, heads, time, width / heads): each head attends for itself.
  local parts = self.query_key_value(x):view(batch, time, 3 * self.heads, width // self.heads):transpose(2, 3)
  local query, key, value = table.unpack(parts:chunk(3, 2))
  local seen = F.scaled_dot_product_attention(query, key, value, { is_causal = true })
  return self.out(seen:transpose(2, 3):reshape(batch, time, width))
end

-- Characters exchange what they know, then each thinks for itself. What a block finds is added to what came in, so that
-- gradients reach the first block undiminished.
local Block = nn.class("Block")

function Block:init(width, heads)
  self.attention_norm = nn.LayerNorm(width)
  self.attention = Attention(width, heads)
  self.mlp_norm = nn.LayerNorm(width)
  self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
end

function Block:forward(x)
  x = x + self.attention(self.attention_norm(x))
  return x + self.mlp(self.mlp_norm(x))
end

local GPT = nn.class("GPT")

-- `count` different characters; `shape` as SHAPE above.
function GPT:init(count, shape)
  self.context = shape.context
  self.characters = nn.Embedding(count, shape.width)
  self.places = nn.Embedding(shape.context, shape.width)
  -- A plain table of modules: they are found in it like anywhere else.
  self.blocks = {}
  for i = 1, shape.layers do self.blocks[i] = Block(shape.width, shape.heads) end
  self.norm = nn.LayerNorm(shape.width)
  self.head = nn.Linear(shape.width, count)
end

-- Characters' numbers (int64 (batch, time)): scores (batch, time, count) of what follows each.
function GPT:forward(characters)
  local time = characters.shape[2]
  local x = self.characters(characters) + self.places.weight[{ { 1, time } }]
  for _, block in ipairs(self.blocks) do x = block(x) end
  return self.head(self.norm(x))
end

-- The text `prompt` and `count` characters more, each drawn as likely as the network finds it. A temperature below 1
-- makes it more careful, above 1 bolder.
local function generate(model, vocabulary, prompt, count, temperature)
  local characters = vocabulary:encode(prompt):unsqueeze(1)
  torch.no_grad(function()
    for _ = 1, count do
      local scores = model(characters[{ {}, { -model.context, -1 } }])[{ {}, -1 }]
      local drawn = F.softmax(scores / temperature, -1):multinomial(1)
      characters = torch.cat({ characters, drawn }, 2)
    end
  end)
  return vocabulary:decode(characters[1])
end

-- Training ------------------------------------------------------------------------------------------------------------

-- Characters of `batch` places in the text (int64 (batch, context)) and those that follow each.
local function draw_batch(text, context, batch)
  local first = torch.randint(1, #text - context + 1, { batch, 1 })
  local windows = text[first + torch.arange(context + 1)]
  return windows[{ {}, { 1, -2 } }], windows[{ {}, { 2, -1 } }]
end

-- Nats per character.
local function loss_of(model, characters, following)
  return F.cross_entropy(model(characters):flatten(1, 2), following:flatten())
end

-- The loss over a whole text, cut into pieces of the network's context.
local function validate(model, text)
  local context = model.context
  local pieces = (#text - 1) // context
  local characters = text[{ { 1, pieces * context } }]:view(pieces, context):split(64)
  local following = text[{ { 2, pieces * context + 1 } }]:view(pieces, context):split(64)
  local sum = 0
  torch.no_grad(function()
    for i, piece in ipairs(characters) do sum = sum + loss_of(model, piece, following[i]):item() * #piece end
  end)
  return sum / pieces
end

-- Rises over the first steps, while AdamW has seen few gradients, then falls evenly to zero.
local function learning_rate(step, steps)
  return LEARNING_RATE * math.min(step / WARM_UP, 1 - step / steps)
end

-- Decay holds the matrices small; biases and norms have no need of it.
local function make_optimizer(model)
  local matrices, others = {}, {}
  for _, parameter in ipairs(model:parameters()) do
    table.insert(parameter.ndim > 1 and matrices or others, parameter)
  end
  return torch.optim.AdamW({ { params = matrices, weight_decay = WEIGHT_DECAY },
    { params = others, weight_decay = 0 } }, { lr = LEARNING_RATE, betas = { 0.9, 0.99 } })
end

-- Everything that the run needs to go on as if it had not stopped.
local function save(run, path)
  torch.save({ model = run.model:state_dict(), optimizer = run.optimizer:state_dict(), shape = run.shape,
    tokens = run.vocabulary.tokens, step = run.step, steps = run.steps, random = torch.get_rng_state() }, path)
end

local function make_run(vocabulary, shape)
  local run = { vocabulary = vocabulary, shape = shape, model = GPT(#vocabulary, shape), step = 0, steps = STEPS }
  run.optimizer = make_optimizer(run.model)
  return run
end

local function load(path)
  local saved = torch.load(path, { map_location = torch.get_default_device() })
  local run = make_run(torch.utils.text.Vocabulary(saved.tokens), saved.shape)
  run.model:load_state_dict(saved.model)
  run.optimizer:load_state_dict(saved.optimizer)
  run.step, run.steps = saved.step, saved.steps
  torch.set_rng_state(saved.random:cpu())
  return run
end

local function train(run, text, batch, path)
  local model, optimizer = run.model, run.optimizer
  local bar = torch.utils.progress(math.max(0, run.steps - run.step), { desc = "learning" })
  for _ in bar do
    run.step = run.step + 1
    for _, group in ipairs(optimizer.param_groups) do group.lr = learning_rate(run.step, run.steps) end
    local loss = loss_of(model, draw_batch(text, model.context, batch))
    optimizer:zero_grad()
    loss:backward()
    nn.utils.clip_grad_norm_(model:parameters(), LARGEST_GRADIENT)
    optimizer:step()
    bar:set { loss = loss }
    if run.step % 500 == 0 then save(run, path) end
  end
end

local function main()
  local given = options.parse(arg, USAGE, { out = "shakespeare.safetensors", length = 500, batch = 16 })
  torch.manual_seed(given.seed or 1)
  local run = given.load and load(given.load)
  if given.prompt and run then
    if given.seed then torch.manual_seed(given.seed) end
    return print(generate(run.model, run.vocabulary, given.prompt, given.length, 0.8))
  end

  local corpus = text_files.read("tinyshakespeare.txt")
  if not corpus then os.exit(1) end
  run = run or make_run(torch.utils.text.Vocabulary(corpus), SHAPE)
  run.steps = given.steps or run.steps
  local text = run.vocabulary:encode(corpus)
  local held_back = #text // 10
  assert(held_back > run.shape.context, "the text is too short: a tenth of it must be more than the network sees")
  local training, validation = text[{ { 1, -held_back - 1 } }], text[{ { -held_back, -1 } }]
  print(run.model)
  print(string.format("%d characters to learn from, %d to validate, %d different ones", #training, #validation,
    #run.vocabulary))

  local before, started = run.step, torch.clock()
  train(run, training, given.batch, given.out)
  save(run, given.out)
  print(string.format("trained in %.1f s\n", torch.clock() - started))

  print(generate(run.model, run.vocabulary, given.prompt or run.vocabulary.tokens[1], given.length, 0.8))
  print(string.format("\nvalidation loss %.3f nats per character after %d steps, %d of them now",
    validate(run.model, validation), run.step, run.step - before))
  print("saved as " .. given.out)
end

main()
