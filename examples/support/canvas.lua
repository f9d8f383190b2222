--- Lines, curves and small pictures for a terminal, drawn with Braille patterns: each character holds 2 × 4 dots.

local torch = require "moontorch"

local canvas = {}
canvas.__index = canvas

-- Bits of the dots of a character, by row and column (Unicode 15, section 21.1).
local BITS = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } }

--- An empty canvas of so many characters; its dots go from (0, 0), bottom left, to (2 columns - 1, 4 rows - 1).
function canvas.new(columns, rows)
  return setmetatable({ columns = columns, rows = rows, cells = {} }, canvas)
end

--- Sets the dot nearest to (x, y), if it is on the canvas.
function canvas:dot(x, y)
  x, y = math.floor(x + 0.5), self.rows * 4 - 1 - math.floor(y + 0.5)
  if x < 0 or y < 0 or x >= self.columns * 2 or y >= self.rows * 4 then return end
  local at = y // 4 * self.columns + x // 2
  self.cells[at] = (self.cells[at] or 0) | BITS[y % 4 + 1][x % 2 + 1]
end

--- Sets the dots from (x0, y0) to (x1, y1).
function canvas:line(x0, y0, x1, y1)
  local steps = math.max(1, math.ceil(math.max(math.abs(x1 - x0), math.abs(y1 - y0))))
  for i = 0, steps do self:dot(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) end
end

--- Its lines as strings.
function canvas:lines()
  local lines = {}
  for row = 0, self.rows - 1 do
    local cells = {}
    for column = 0, self.columns - 1 do
      local bits = self.cells[row * self.columns + column]
      cells[column + 1] = bits and utf8.char(0x2800 + bits) or " "
    end
    lines[row + 1] = table.concat(cells)
  end
  return lines
end

--- Lines that show a picture [height, width]: a dot for each value above a half.
function canvas.picture(image)
  local height, width = image:size(1), image:size(2)
  local picture = canvas.new((width + 1) // 2, (height + 3) // 4)
  for _, at in ipairs(torch.nonzero(image:cpu():gt(0.5)):tolist()) do
    picture:dot(at[2] - 1, picture.rows * 4 - at[1])
  end
  return picture:lines()
end

--- Prints pictures [n, height, width] side by side, `per_row` in a row.
function canvas.show_pictures(images, per_row)
  for _, row in ipairs(images:split(per_row)) do
    local pictures = {}
    for i, image in ipairs(row:unbind(1)) do pictures[i] = canvas.picture(image) end
    for line = 1, #pictures[1] do
      local parts = {}
      for i, lines in ipairs(pictures) do parts[i] = lines[line] end
      print((("  " .. table.concat(parts, "  ")):gsub(" +$", "")))
    end
  end
end

--- Prints a curve through the numbers `values`, spread over the width, with `low` and `high` written at its left and
-- `from` and `to` below it.
function canvas.show_curve(values, low, high, from, to)
  local columns, rows = 68, 10
  local picture = canvas.new(columns, rows)
  local width, height = columns * 2 - 1, rows * 4 - 1
  local function at(i)
    return (i - 1) / math.max(1, #values - 1) * width, (values[i] - low) / (high - low) * height
  end
  for i = 1, #values do
    local x0, y0 = at(math.max(1, i - 1))
    picture:line(x0, y0, at(i))
  end
  for row, line in ipairs(picture:lines()) do
    local label = row == 1 and high or row == rows and low or ""
    print(string.format("%8s │%s", label, line))
  end
  print((" "):rep(9) .. "└" .. ("─"):rep(columns))
  print((" "):rep(10) .. from .. (" "):rep(columns - utf8.len(from) - utf8.len(to)) .. to)
end

return canvas
