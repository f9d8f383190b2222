--- Notices that the graph grows from round to round of a loop: a sum of losses, or a list of outputs, that holds on to
-- every round's graph and its memory.
--
-- Nodes are counted in rounds 64, 128, 256 ...; only when there are more at each of them is garbage collected, so that
-- what remains is certain. Invariant: all other rounds cost one comparison.

local core = require "moontorch.core"

-- `steps`: of all optimisers; they look by themselves, so other loops need not.
local growth = { steps = 0 }

--- A counter of rounds. The caller adds to `rounds` and asks `growth.seen` once it has reached `look_at`.
function growth.watch() return { rounds = 0, look_at = 64 } end

--- Has the graph grown in every round since the look before the last? Then by how many rounds, and nothing is looked at
-- any more.
function growth.seen(watch)
  local rounds = watch.rounds
  watch.look_at = 2 * rounds
  if not core.checks_enabled() then return nil end
  local before, certain, living = watch.living, watch.certain, core._nodes_living()
  local grows = before ~= nil and living >= before + rounds // 2
  if grows then
    collectgarbage()
    living = core._nodes_living()
  end
  watch.living, watch.certain = living, grows
  if not (grows and certain and living >= before + rounds // 2) then return nil end
  watch.look_at = math.huge
  return rounds // 2
end

return growth
