--- What the benchmark shows: one table with every row, the geometric mean of the ratios, and the same as JSON.
--
-- A row: title, threads, unit ("s", "B"), ours, theirs (nil: no rival), floor (seconds or nil), share, their_share (of
-- the limit), ratio (theirs / ours), target (text), met (nil: nothing is asked).
local report = {}

local function time_text(s)
  if s < 1e-6 then return ("%.0f ns"):format(s * 1e9) end
  if s < 1e-3 then return ("%.1f us"):format(s * 1e6) end
  if s < 1 then return ("%.2f ms"):format(s * 1e3) end
  return ("%.2f s"):format(s)
end
report.time_text = time_text

local units = { s = time_text, B = function(v) return ("%.2f MB"):format(v / 2 ^ 20) end }
local function percent(v) return v and ("%.0f %%"):format(100 * v) or "" end

local COLUMNS = {
  { "workload", "%-48s", function(r) return r.title end },
  { "threads", "%7s", function(r) return r.threads or "" end },
  { "time", "%9s", function(r) return units[r.unit](r.ours) end },
  { "floor", "%9s", function(r) return r.floor and time_text(r.floor) or "" end },
  { "ours", "%6s", function(r) return percent(r.share) end },
  { "PyTorch's", "%9s", function(r) return percent(r.their_share) end },
  { "PyTorch", "%9s", function(r) return r.theirs and units[r.unit](r.theirs) or "" end },
  { "ratio", "%6s", function(r) return r.ratio and ("%.2f"):format(r.ratio) or "" end },
  { "asked", "%-24s", function(r) return r.target or "" end },
  { "met", "%3s", function(r) return r.met == nil and "" or r.met and "yes" or "NO" end },
}

local function line(cell)
  local out = {}
  for k, c in ipairs(COLUMNS) do out[k] = c[2]:format(cell(c)) end
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

--- Prints the table, and below it the mean and the rows that miss what is asked.
function report.show(rows)
  print(line(function(c) return c[1] end))
  print(line(function(c) return ("-"):rep(math.tointeger(tonumber(c[2]:match("%d+")))) end))
  for _, r in ipairs(rows) do print(line(function(c) return c[3](r) end)) end
  local asked, met, slower = 0, 0, 0
  for _, r in ipairs(rows) do
    if r.met ~= nil then asked, met = asked + 1, met + (r.met and 1 or 0) end
    if r.ratio and r.ratio < 1 then slower = slower + 1 end
  end
  print(("\n%d of %d rows meet what is asked"):format(met, asked))
  local mean, count = report.mean(rows)
  if mean then
    print(("%d of %d rows slower than PyTorch; geometric mean of PyTorch's time over ours: %.2f"):format(slower, count,
      mean))
  end
end

local function value(v)
  if type(v) == "string" then return '"' .. v:gsub('[\\"]', "\\%0") .. '"' end
  return type(v) == "number" and ("%.9g"):format(v) or tostring(v)
end

local ROW_KEYS = { "title", "threads", "unit", "ours", "theirs", "floor", "share", "their_share", "ratio", "target",
  "met" }
local MACHINE_KEYS = { "threads", "f32", "f64", "read", "fill", "copy", "add" }

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
