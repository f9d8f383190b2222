--- Learns from a list of first names how names are spelled and makes up new ones; or loads what it learned.
--
--   lua examples/names.lua [--epochs N] [--seed N] [--out FILE] [--device cuda]
--   lua examples/names.lua --load FILE [--seed N]
--
-- A recurrent network of gated units (Cho et al. 2014) reads a name letter by letter and says what comes next. Names
-- differ in length, so they are packed: the network does no work for the padding.
-- Data: one name a line in the file $NAMES, else names.txt found or fetched, else the few names below.

local torch = require "moontorch"
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path
local options = require "support.options"
local text_files = require "support.text_files"

local nn, F, data, rnn = torch.nn, torch.nn.functional, torch.utils.data, torch.nn.utils.rnn

local BATCH, LEARNING_RATE, LETTERS, UNITS = 128, 5e-3, 32, 256
-- A name starts after this character and ends with it.
local BREAK = "\n"

local FEW = [[
ada adam agnes alan albert alice alma amelia amos anna anton arthur astrid audrey august ava barbara basil beatrice ben
bertha bella carl carla carmen cecil celia charles clara claude cora daisy daniel david dora edgar edith edward ella
elmer elsa emil emily emma eric ernest esther ethel eva felix flora frank frida george gloria grace greta gustav hanna
harold harry hazel helen henry hilda hugo ida ingrid irene iris isaac ivan ivy jack james jane joan john josef judith
julia karl kate laura leo leon leonard lily linda lisa louis lucas lucy lydia mabel marie mark martha martin mary max
maya mildred mina mira moritz myra nadia nell nina nora norman olga oliver olive oscar otto paul paula pearl peter
philip rachel ralph ray rita robert rosa rose ruby ruth sam samuel sara selma silvia simon sofia sonja stella susan
sylvia theodor thomas tina tobias ursula vera victor viola walter wanda wendy wilma winston]]

-- All names, each once, the same as a set, and how often to go through them.
local function load_names()
  local text = text_files.read("names.txt")
  if not text then print("Learning from a few names instead.") end
  local names, known = {}, {}
  for name in (text or FEW):gmatch(text and "[^\r\n]+" or "%a+") do
    if not known[name] then
      known[name] = true
      names[#names + 1] = name
    end
  end
  return names, known, text and 8 or 30
end

-- Row i of the first result (int64 [n, longest + 2]) holds the letters of name i between two breaks, padded likewise;
-- the second, on the host, how many letters there are to guess, the closing break included.
local function encode(names, vocabulary)
  local rows, lengths = {}, {}
  for i, name in ipairs(names) do
    rows[i] = vocabulary:encode(BREAK .. name .. BREAK)
    lengths[i] = #rows[i] - 1
  end
  local padding = vocabulary:encode(BREAK):item()
  return rnn.pad_sequence(rows, { batch_first = true, padding_value = padding }),
    torch.tensor(lengths, { device = "cpu" })
end

local Speller = nn.class("Speller")

function Speller:init(letters)
  self.embedding = nn.Embedding(letters, LETTERS)
  self.gru = nn.GRU(LETTERS, UNITS, { batch_first = true })
  self.head = nn.Linear(UNITS, letters)
end

-- Letters (int64 [n, time]) and how many of each row count: scores [sum of lengths, letters], packed.
function Speller:forward(letters, lengths)
  local packed = rnn.pack_padded_sequence(self.embedding(letters), lengths,
    { batch_first = true, enforce_sorted = false })
  return self.head(self.gru(packed).data)
end

-- Mean loss per letter, in nats.
local function loss_of(speller, names, lengths)
  local scores = speller(names[{ {}, { 1, -2 } }], lengths)
  local targets = rnn.pack_padded_sequence(names[{ {}, { 2, -1 } }], lengths,
    { batch_first = true, enforce_sorted = false })
  return F.cross_entropy(scores, targets.data)
end

local function validate(speller, set)
  local sum, letters = 0, 0
  torch.no_grad(function()
    for names, lengths in data.DataLoader(set, { batch_size = 1000 }) do
      local n = lengths:sum():item()
      sum, letters = sum + loss_of(speller, names, lengths):item() * n, letters + n
    end
  end)
  return sum / letters
end

-- Returns the last validation loss.
local function train(speller, training, validation, epochs)
  local loader = data.DataLoader(training, { batch_size = BATCH, shuffle = true })
  local optimizer = torch.optim.AdamW(speller:parameters(), { lr = LEARNING_RATE })
  local schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE,
    { total_steps = math.max(1, epochs * #loader) })
  local validation_loss = validate(speller, validation)
  for epoch = 1, epochs do
    local bar = torch.utils.progress(loader, { desc = "epoch " .. epoch })
    local sum, batches = 0, 0
    for names, lengths in bar do
      local loss = loss_of(speller, names, lengths)
      optimizer:zero_grad()
      loss:backward()
      nn.utils.clip_grad_norm_(speller:parameters(), 1)
      optimizer:step()
      schedule:step()
      bar:set { loss = loss }
      sum, batches = sum + loss:item(), batches + 1
    end
    validation_loss = validate(speller, validation)
    print(string.format("epoch %2d: training loss %.3f, validation loss %.3f", epoch, sum / batches, validation_loss))
  end
  return validation_loss
end

-- `count` names made up by drawing letter after letter, as likely as the network finds them; "" for each that does not
-- end after `longest` letters.
local function spell(speller, vocabulary, count, longest)
  local rows = torch.no_grad(function()
    local letters = torch.full({ count, 1 }, vocabulary:encode(BREAK):item(), { dtype = torch.int64 })
    local columns, state = {}, nil
    for i = 1, longest + 1 do
      local outputs
      outputs, state = speller.gru(speller.embedding(letters), state)
      letters = F.softmax(speller.head(outputs[{ {}, -1 }]), -1):multinomial(1)
      columns[i] = letters
    end
    return torch.cat(columns, 2)
  end)
  local names = {}
  for i, row in pairs(rows) do names[i] = vocabulary:decode(row):match("^([^\n]*)\n") or "" end
  return names
end

-- Prints names that are not in the list, each once.
local function show_new_names(speller, vocabulary, known)
  local found, seen = {}, {}
  for _ = 1, 100 do
    for _, name in ipairs(spell(speller, vocabulary, 32, 14)) do
      if #found < 20 and #name > 2 and not known[name] and not seen[name] then
        seen[name] = true
        found[#found + 1] = name
      end
    end
    if #found == 20 then break end
  end
  print(#found .. " names that are not in the list:")
  for first = 1, #found, 5 do
    local cells = {}
    for i = first, math.min(first + 4, #found) do cells[#cells + 1] = string.format("%-14s", found[i]) end
    print("  " .. (table.concat(cells, " "):gsub(" +$", "")))
  end
end

local function main()
  local given = options.parse(arg, "names.lua [--epochs N] [--seed N] [--out FILE] [--device NAME] | --load FILE "
    .. "[--seed N]", { seed = 1, out = "names.safetensors" })
  local names, known, epochs = load_names()
  torch.manual_seed(given.seed)
  if given.load then
    local tensors, metadata = torch.utils.safetensors.load_file(given.load)
    local vocabulary = torch.utils.text.Vocabulary(metadata.letters)
    local speller = Speller(#vocabulary)
    speller:load_state_dict(tensors)
    return show_new_names(speller, vocabulary, known)
  end
  local vocabulary = torch.utils.text.Vocabulary(BREAK .. table.concat(names))
  local speller = Speller(#vocabulary)
  print(speller)
  local rows, lengths = encode(names, vocabulary)
  local sets = data.random_split(data.TensorDataset(rows, lengths), { 0.9, 0.1 })
  print(string.format("%d names to learn from, %d to validate", #sets[1], #sets[2]))
  local started = torch.clock()
  local loss = train(speller, sets[1], sets[2], given.epochs or epochs)
  print(string.format("trained in %.1f s", torch.clock() - started))
  show_new_names(speller, vocabulary, known)
  print(string.format("\nvalidation loss %.3f: as unsure of each letter as between %.1f equally likely ones", loss,
    math.exp(loss)))
  torch.utils.safetensors.save_file(speller:state_dict(), given.out,
    { letters = table.concat(vocabulary.tokens), format = "pt" })
  print("saved as " .. given.out)
end

main()
