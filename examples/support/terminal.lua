--- Pictures for a terminal: a digit in half blocks with bars beside it, a table of confusions.

local terminal = {}

local function bar(share, width)
  local eighths = math.floor(share * width * 8 + 0.5)
  local part = { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }
  return ("█"):rep(eighths // 8) .. (part[eighths % 8] or "")
end

--- Lines that show 28 rows of 28 grey values (0 to 255): two rows in one line of half blocks.
function terminal.picture(rows)
  local lines = {}
  for r = 1, #rows, 2 do
    local cells = {}
    for c = 1, #rows[r] do
      local upper, lower = rows[r][c] > 96, (rows[r + 1] or {})[c] and rows[r + 1][c] > 96
      cells[c] = upper and (lower and "█" or "▀") or (lower and "▄" or " ")
    end
    lines[#lines + 1] = table.concat(cells)
  end
  return lines
end

--- Prints a picture, and beside it how sure the network is of each of the ten digits.
function terminal.show_digit(rows, truth, probabilities)
  local best = 1
  for i = 2, 10 do
    if probabilities[i] > probabilities[best] then best = i end
  end
  local lines = terminal.picture(rows)
  local verdict = best - 1 == truth and string.format("a %d, seen as such", truth)
    or string.format("a %d, taken for a %d", truth, best - 1)
  for i, line in ipairs(lines) do
    local digit = i - 2
    local beside = ""
    if i == 1 then
      beside = verdict
    elseif digit >= 0 and digit <= 9 then
      local p = probabilities[digit + 1]
      beside = string.format("%d %5.1f %% %s", digit, 100 * p, bar(p, 30))
    end
    print("  " .. line .. "  │ " .. beside)
  end
  print("  " .. ("─"):rep(28) .. "──┘")
end

--- Prints a 10 × 10 table: rows what it is, columns what the network said.
function terminal.show_confusion(counts)
  print("is \\ said     0     1     2     3     4     5     6     7     8     9   right")
  for truth = 0, 9 do
    local cells, total = {}, 0
    for said = 0, 9 do
      local n = counts[truth + 1][said + 1]
      total = total + n
      cells[#cells + 1] = n == 0 and "     ·" or string.format("%6d", n)
    end
    local right = total > 0 and 100 * counts[truth + 1][truth + 1] / total or 0
    print(string.format("%8d %s %5.1f %%", truth, table.concat(cells), right))
  end
end

return terminal
