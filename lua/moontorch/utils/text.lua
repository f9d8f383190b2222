--- Text by characters: a vocabulary, and texts as int64 tensors of positions in it.
--
--     v = torch.utils.text.Vocabulary(corpus)     -- the characters of a text, in order of their code points
--     x = v:encode("hello")                       -- positions from 1, what nn.Embedding takes
--     v:decode(x)                                 -- "hello"
--
-- Characters are those of UTF-8. With `unknown`, a character that is not in the vocabulary becomes that one.

local core = require "moontorch.core"
local class = require "moontorch.nn.class"
local arguments = require "moontorch.arguments"

local text = {}

-- The characters of a text as an array of strings.
local function characters(s, owner)
  if type(s) ~= "string" then core.raise(owner, "expected a string, but got %s", arguments.type_name(s)) end
  local length, at = utf8.len(s)
  if not length then core.raise(owner, "the text is not UTF-8 at byte %d", at) end
  local list = {}
  for _, code in utf8.codes(s) do list[#list + 1] = utf8.char(code) end
  return list
end
text.characters = function(s) return characters(s, "characters") end

local Vocabulary = class.root("Vocabulary", { __len = function(self) return #self.tokens end })

--- Vocabulary(source [, {unknown = "?"}]): the characters of a text, or an array of tokens that are given their places
-- by it. `unknown` is added when it is not among them.
function Vocabulary:init(source, options)
  local unknown = options and options.unknown
  local tokens = {}
  if type(source) == "table" then
    for i, token in ipairs(source) do
      if type(token) ~= "string" then
        core.raise("Vocabulary", "token %d must be a string, not %s", i, arguments.type_name(token))
      end
      tokens[i] = token
    end
  else
    local seen = {}
    for _, c in ipairs(characters(source, "Vocabulary")) do
      if not seen[c] then
        seen[c] = true
        tokens[#tokens + 1] = c
      end
    end
    table.sort(tokens, function(a, b) return utf8.codepoint(a) < utf8.codepoint(b) end)
  end
  local positions = {}
  for i, token in ipairs(tokens) do
    if positions[token] then core.raise("Vocabulary", "token %d, '%s', is there twice", i, token) end
    positions[token] = i
  end
  if unknown ~= nil and not positions[unknown] then
    tokens[#tokens + 1] = unknown
    positions[unknown] = #tokens
  end
  self.tokens, self.positions, self.unknown = tokens, positions, unknown
end

--- A text, or an array of tokens, as an int64 tensor of positions.
function Vocabulary:encode(source)
  local list = type(source) == "table" and source or characters(source, "encode")
  local fallback = self.unknown and self.positions[self.unknown]
  local result = {}
  for i, token in ipairs(list) do
    result[i] = self.positions[token] or fallback
    if not result[i] then
      core.raise("encode", "'%s' (at position %d) is not in the vocabulary of %d; give it {unknown = '?'}",
        tostring(token), i, #self.tokens)
    end
  end
  if #result == 0 then return core.empty(0, { dtype = core.int64 }) end
  return core.tensor(result, { dtype = core.int64 })
end

--- The text of a 1-d tensor or an array of positions.
function Vocabulary:decode(positions)
  if core.is_tensor(positions) then
    if positions.ndim > 1 then core.raise("decode", "expected a 1-d tensor, but got %d dims: decode row by row",
      positions.ndim) end
    positions = positions:cpu():tolist()
    if type(positions) == "number" then positions = { positions } end
  end
  if type(positions) ~= "table" then
    core.raise("decode", "expected a tensor or an array of positions, but got %s", arguments.type_name(positions))
  end
  local list = {}
  for i, position in ipairs(positions) do
    list[i] = self.tokens[math.tointeger(position)]
    if not list[i] then
      core.raise("decode", "%s (at position %d) is no position in a vocabulary of %d; they count from 1",
        tostring(position), i, #self.tokens)
    end
  end
  return table.concat(list)
end

text.Vocabulary = Vocabulary

return text
