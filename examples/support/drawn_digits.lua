--- Digits that the demo draws itself when MNIST is out of reach: strokes, bent and shifted at random, with noise.

local digits = {}

-- Each digit's strokes as points in a box from (0, 0), top left, to (1, 1).
local function arc(x, y, rx, ry, from, to)
  local points = {}
  for i = 0, 12 do
    local angle = math.rad(from + (to - from) * i / 12)
    points[#points + 1] = { x + rx * math.cos(angle), y + ry * math.sin(angle) }
  end
  return points
end

local function join(...)
  local all = {}
  for _, points in ipairs { ... } do table.move(points, 1, #points, #all + 1, all) end
  return all
end

local STROKES = {
  [0] = { arc(0.5, 0.5, 0.34, 0.46, 0, 360) },
  { { { 0.3, 0.22 }, { 0.55, 0.04 }, { 0.55, 0.96 } } },
  { join(arc(0.5, 0.28, 0.32, 0.24, -170, 40), { { 0.18, 0.94 }, { 0.85, 0.94 } }) },
  { join(arc(0.46, 0.27, 0.3, 0.23, -150, 90), arc(0.46, 0.72, 0.34, 0.24, -90, 150)) },
  { { { 0.62, 0.04 }, { 0.14, 0.64 }, { 0.86, 0.64 } }, { { 0.64, 0.34 }, { 0.64, 0.97 } } },
  { join({ { 0.78, 0.06 }, { 0.28, 0.06 }, { 0.24, 0.46 } }, arc(0.46, 0.67, 0.34, 0.27, -110, 150)) },
  { join({ { 0.66, 0.04 }, { 0.34, 0.34 } }, arc(0.5, 0.7, 0.3, 0.25, -170, 190)) },
  { { { 0.16, 0.07 }, { 0.84, 0.07 }, { 0.42, 0.96 } } },
  { arc(0.5, 0.27, 0.27, 0.22, 0, 360), arc(0.5, 0.73, 0.33, 0.24, 0, 360) },
  { join(arc(0.5, 0.3, 0.3, 0.25, 10, 360), { { 0.8, 0.34 }, { 0.7, 0.96 } }) },
}

local function normal()
  return math.sqrt(-2 * math.log(1 - math.random())) * math.cos(2 * math.pi * math.random())
end

-- Distance of (x, y) from the line between a and b.
local function distance(x, y, a, b)
  local dx, dy = b[1] - a[1], b[2] - a[2]
  local t = ((x - a[1]) * dx + (y - a[2]) * dy) / (dx * dx + dy * dy + 1e-9)
  t = math.max(0, math.min(1, t))
  return math.sqrt((x - a[1] - t * dx) ^ 2 + (y - a[2] - t * dy) ^ 2)
end

-- Adds a line of the given width to the pixels (28 rows of 28, from 0 to 1).
local function draw_line(pixels, a, b, width)
  local reach = width + 1
  local function range(k)
    return math.max(0, math.floor(math.min(a[k], b[k]) - reach)), math.min(27, math.ceil(math.max(a[k], b[k]) + reach))
  end
  local left, right = range(1)
  local top, bottom = range(2)
  for row = top, bottom do
    for column = left, right do
      local ink = math.max(0, math.min(1, width + 0.5 - distance(column, row, a, b)))
      local at = row * 28 + column + 1
      if ink > pixels[at] then pixels[at] = ink end
    end
  end
end

-- 784 bytes: one digit, slanted, turned, scaled, shifted, with noise.
local function draw(digit)
  local pixels = {}
  for i = 1, 784 do pixels[i] = 0 end
  local turn, slant = normal() * 0.12, 0.1 + normal() * 0.15
  local wide, high = 16 + normal() * 1.6, 20 + normal() * 1.2
  local right, down = 13.5 + normal() * 1.2, 13.5 + normal() * 1.2
  local c, s, width = math.cos(turn), math.sin(turn), math.max(0.7, 1.2 + normal() * 0.25)
  for _, stroke in ipairs(STROKES[digit]) do
    local last
    for _, point in ipairs(stroke) do
      local x = (point[1] - 0.5 + normal() * 0.015 - slant * (point[2] - 0.5)) * wide
      local y = (point[2] - 0.5 + normal() * 0.015) * high
      local here = { right + c * x - s * y, down + s * x + c * y }
      if last then draw_line(pixels, last, here, width) end
      last = here
    end
  end
  for i = 1, 784 do
    local v = pixels[i] * 255
    if v > 0 or math.random() < 0.02 then v = v + normal() * 12 end
    pixels[i] = string.char(math.max(0, math.min(255, math.floor(v))))
  end
  return table.concat(pixels)
end

--- `count` drawn digits: a string of 784 bytes each, and an array of the digits.
function digits.make(count, seed)
  math.randomseed(seed)
  local images, labels = {}, {}
  for i = 1, count do
    labels[i] = math.random(0, 9)
    images[i] = draw(labels[i])
  end
  return table.concat(images), labels
end

return digits
