--- Every sample of the op table against PyTorch's answer: replays spec/golden/table.lua.
local torch = require "moontorch"
local golden_table = require "spec.support.golden_table"
local exceptions = require "spec.support.exceptions"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "."

-- Differences on purpose: operator or *, pattern of the run and of what is wrong with it, reason. The patterns tell a
-- refusal ("raises"), a result ("is not refused") and a wording ("says") apart.
local EXCEPTIONS = {
  -- Losses do not broadcast silently, and look at shapes before dtypes.
  { "*", "_loss of f%(3,1%) f%(3%), .*raises .*Using a target size", "shapes that would broadcast are refused" },
  { "*", "says .*Using a target size", "the shapes first, and the same words for all that differ" },
  { "*", "softmax of f%(3,4%), .*missing argument 'dim'", "softmax needs its dim" },
  { "*", "^torch.binary_cross_entropy.*says .*Expected object of type .* for argument 'target'",
    "a target of integers is refused in the words of BCELoss" },
  { "nll_loss", "says .*expected scalar type Long but found %w+ for argument 'target'",
    "in the words of cross_entropy" },
  -- Where PyTorch checks less, or by accident.
  { "*", "[%(,]0[,%)].*raises .*not implemented for", "dtypes before sizes: PyTorch lets in what is empty" },
  { "var_mean", "layout x: result 2 has %-?inf at element %d+, expected nan", "it is the mean of infinities" },
  { "std_mean", "layout x: result 2 has %-?inf at element %d+, expected nan", "it is the mean of infinities" },
  { "addbmm", "addbmm_ of f%(5%).*raises .*output with shape", "PyTorch changes the shape of what is written" },
  { "*", "layout [tse]: is not refused, .*view size is not compatible", "any layout will do" },
  { "affine_grid_generator", "float16.*not refused, .*tensor_cpu", "sizes of 1 and 0 are no different" },
  -- Where PyTorch is wrong.
  { "as_strided_scatter", "f%([%d,]+%) f%([%d,]*%) .*gradient 1 has", "it goes to what src covers" },
  { "block_diag", "%[f%(0%),.*gradient 2 has", "it is taken from one row too early" },
  { "gcd", "layout x: result 1 has %d+ at element %d+, expected %-", "divisors are not negative" },
  { "polygamma", "int%d+, layout x: result 1 has inf", "poles at 0 and below, which PyTorch rounds away" },
  { "grid_sampler", "layout x: ", "places that are no numbers: PyTorch casts them to integers, which C leaves open" },
  { "grid_sampler", "float16: result 1 has", "PyTorch rounds places to 16 bits at every step" },
  -- Wordings.
  { "*", "_norm of f%(%d%) .*says .*Dimension out of range", "the layout that is expected tells more" },
  { "*", "empty_strided of .*says .*Storage size calculation overflowed", "strides must not be negative" },
  { "*", "max_pool.* of .*says .*must either be a single int, or a list of", "a tuple is a list in Lua" },
  { "*", "adaptive_max_pool.* of .*says .*output_size must be", "PyTorch calls it an internal error" },
  { "unflatten", "says .*a 0%-dim tensor has no dim", "PyTorch: unflatten got an unexpected error" },
}

describe("PyTorch's answers:", function()
  local golden = dofile(here .. "/golden/table.lua")
  local reader = golden_table.reader(torch.utils.safetensors.load_file(here .. "/golden/table.safetensors"))
  for _, entry in ipairs(golden) do
    it(entry[1], function()
      local op, failures = entry[1]:match("^[%w_]+"), {}
      for k = 2, #entry do
        golden_table.replay(golden, op, entry[k], reader, function(text)
          if not exceptions.excused(EXCEPTIONS, op, text) then failures[#failures + 1] = text end
        end)
      end
      if #failures > 0 then
        local shown = math.min(#failures, 12)
        error(("%d runs differ:\n%s"):format(#failures, table.concat(failures, "\n", 1, shown)), 0)
      end
    end)
  end

  it("need every exception made here", function()
    exceptions.check_needed(EXCEPTIONS)
  end)
end)
