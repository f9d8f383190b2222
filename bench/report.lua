--- What the benchmarks show: one table with every row, the geometric mean of the ratios, and the same as JSON.
--
-- A row: title, threads, unit ("s", "B"), ours, theirs (nil: no rival), floor (seconds or nil), share, their_share (of
-- the limit), ratio (theirs / ours), rate (text), target (text), met (nil: nothing is asked), problem (why there is no
-- ours), their_problem.
local torch = require "moontorch"

local report = {}

--- Figures do not matter: it is only seen that rows run.
report.tiny = os.getenv("BENCH_TINY") == "1"

--- The middle one; sorts the values.
function report.median(values)
  table.sort(values)
  return values[(#values + 1) // 2]
end

local talks = torch.isatty(2)
--- Shows what is being done, where somebody looks on.
function report.say(format, ...)
  if talks then io.stderr:write("\r\27[K", format:format(...)) end
end

--- A row's name with its threads, where it has any.
function report.name(title, threads)
  return threads and ("%s, %d thread%s"):format(title, threads, threads == 1 and "" or "s") or title
end

local function time_text(s)
  if s < 1e-6 then return ("%.0f ns"):format(s * 1e9) end
  if s < 1e-3 then return ("%.1f us"):format(s * 1e6) end
  if s < 1 then return ("%.2f ms"):format(s * 1e3) end
  return ("%.2f s"):format(s)
end
report.time_text = time_text

local units = { s = time_text, B = function(v) return ("%.2f MB"):format(v / 2 ^ 20) end }
local function percent(v) return v and ("%.0f %%"):format(100 * v) or "" end

-- Title, side, least width, the cell's text. A column marked `sometimes` is shown where a row has something in it.
local COLUMNS = {
  { "workload", "-", 48, function(r) return r.title end },
  { "threads", "", 7, function(r) return r.threads or "" end, sometimes = true },
  { "time", "", 9, function(r) return r.ours and units[r.unit](r.ours) or "" end },
  { "per second", "", 10, function(r) return r.rate or "" end, sometimes = true },
  { "floor", "", 9, function(r) return r.floor and time_text(r.floor) or "" end },
  { "ours", "", 6, function(r) return percent(r.share) end },
  { "PyTorch's", "", 9, function(r) return percent(r.their_share) end },
  { "PyTorch", "", 9, function(r) return r.theirs and units[r.unit](r.theirs) or "" end },
  { "ratio", "", 6, function(r) return r.ratio and ("%.2f"):format(r.ratio) or "" end },
  { "asked", "-", 24, function(r) return r.target or "" end },
  { "met", "", 3, function(r) return r.met == nil and "" or r.met and "yes" or "NO" end },
}

-- The columns that these rows need, and how wide each is.
local function columns_for(rows)
  local columns = {}
  for _, c in ipairs(COLUMNS) do
    local widest = 0
    for _, r in ipairs(rows) do widest = math.max(widest, #tostring(c[4](r))) end
    if widest > 0 or not c.sometimes then
      columns[#columns + 1] = { title = c[1], cell = c[4], side = c[2], width = math.max(widest, c[3]) }
    end
  end
  return columns
end

local function line(columns, cell)
  local out = {}
  for k, c in ipairs(columns) do out[k] = ("%%%s%ds"):format(c.side, c.width):format(cell(c)) end
  return (table.concat(out, "  "):gsub("%s+$", ""))
end

--- The geometric mean of the ratios of all rows that have one, and how many they are.
function report.mean(rows)
  local sum, count = 0, 0
  for _, r in ipairs(rows) do
    if r.ratio then sum, count = sum + math.log(r.ratio), count + 1 end
  end
  return count > 0 and math.exp(sum / count) or nil, count
end

--- Prints the table, and below it the mean, how many rows miss what is asked, and what failed. Did all rows run?
function report.show(rows)
  local columns = columns_for(rows)
  print(line(columns, function(c) return c.title end))
  print(line(columns, function(c) return ("-"):rep(c.width) end))
  for _, r in ipairs(rows) do print(line(columns, function(c) return c.cell(r) end)) end
  local asked, met, slower, good = 0, 0, 0, true
  for _, r in ipairs(rows) do
    if r.problem then
      good = false
      print(("failed: %s: %s"):format(report.name(r.title, r.threads), r.problem))
    end
    if r.their_problem then
      print(("PyTorch failed: %s: %s"):format(report.name(r.title, r.threads), r.their_problem))
    end
    if r.met ~= nil then asked, met = asked + 1, met + (r.met and 1 or 0) end
    if r.ratio and r.ratio < 1 then slower = slower + 1 end
  end
  print(("\n%d of %d rows meet what is asked"):format(met, asked))
  local mean, count = report.mean(rows)
  if mean then
    print(("%d of %d rows slower than PyTorch; geometric mean of PyTorch's time over ours: %.2f"):format(slower, count,
      mean))
  end
  return good
end

local function value(v)
  if type(v) == "string" then return '"' .. v:gsub('[\\"]', "\\%0"):gsub("%c", " ") .. '"' end
  return type(v) == "number" and ("%.9g"):format(v) or tostring(v)
end

local ROW_KEYS = { "title", "threads", "unit", "ours", "theirs", "floor", "share", "their_share", "ratio", "rate",
  "target", "met", "problem", "their_problem" }
local MACHINE_KEYS = { "threads", "f32", "f64", "read", "fill", "copy", "add", "float32", "TF32", "bfloat16" }

local function array(list, keys)
  local out = {}
  for i, item in ipairs(list) do
    local fields = {}
    for _, key in ipairs(keys) do
      if item[key] ~= nil then fields[#fields + 1] = ('"%s": %s'):format(key, value(item[key])) end
    end
    out[i] = "    {" .. table.concat(fields, ", ") .. "}"
  end
  return "[\n" .. table.concat(out, ",\n") .. "\n  ]"
end

--- Writes all rows, and what was measured of the machine, to a file.
function report.write_json(path, machine, rows)
  local f = assert(io.open(path, "w"))
  f:write('{\n  "machine": ', array(machine, MACHINE_KEYS), ',\n  "rows": ', array(rows, ROW_KEYS), "\n}\n")
  assert(f:close())
end

return report
