--- Pictures for a terminal, at most 80 columns wide: digits, grey pictures, a table of confusions, a curve.
-- Greys are real ones where the output is a terminal, and shaded characters elsewhere.

local torch = require "moontorch"

local terminal = {}

local WIDTH = 80

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

local SHADES = { " ", "░", "▒", "▓", "█" }

local function has_colours()
  return torch.isatty(1) and os.getenv("TERM") ~= "dumb" and not os.getenv("NO_COLOR")
end

local function clamp(v)
  return v ~= v and 0 or math.max(0, math.min(1, v))
end

-- Two pixels, one above the other, in one character: as half a block in one of 24 greys each, or as a shade of their
-- mean.
local function coloured(upper, lower)
  local function grey(v) return 232 + math.floor(clamp(v) * 23 + 0.5) end
  return string.format("\27[38;5;%d;48;5;%dm▀", grey(upper), grey(lower))
end

local function shaded(upper, lower)
  return SHADES[1 + math.floor((clamp(upper) + clamp(lower)) / 2 * (#SHADES - 1) + 0.5)]
end

--- Lines that show a picture [height, width] whose values go from 0 (dark) to 1; each pixel is drawn `scale` times in
-- both directions.
function terminal.greys(picture, scale)
  scale = scale or 1
  local rows = picture:cpu():repeat_interleave(scale, 1):repeat_interleave(scale, 2):tolist()
  local colours = has_colours()
  local cell = colours and coloured or shaded
  local lines = {}
  for r = 1, #rows, 2 do
    local cells = {}
    for c, v in ipairs(rows[r]) do cells[c] = cell(v, rows[r + 1] and rows[r + 1][c] or 0) end
    lines[#lines + 1] = table.concat(cells) .. (colours and "\27[0m" or "")
  end
  return lines
end

--- Prints pictures [n, height, width] side by side, as many in a row as there is room for.
function terminal.show_greys(pictures, scale)
  local gap = 2
  local per_row = math.max(1, (WIDTH + gap) // (pictures:size(3) * (scale or 1) + gap))
  for first = 1, #pictures, per_row do
    local columns = {}
    for i = first, math.min(first + per_row - 1, #pictures) do
      columns[#columns + 1] = terminal.greys(pictures[i], scale)
    end
    for line = 1, #columns[1] do
      local parts = {}
      for i, column in ipairs(columns) do parts[i] = column[line] end
      print(table.concat(parts, (" "):rep(gap)))
    end
    if first + per_row <= #pictures then print() end
  end
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
