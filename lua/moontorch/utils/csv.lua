--- CSV files: tables of numbers and texts, quoted as RFC 4180 says.
--
--     x, names = torch.utils.csv.load("iris.csv", {header = true, columns = {"width", "length"}})
--     rows = torch.utils.csv.read("iris.csv")            -- an array of arrays of strings
--
-- Lines end with LF or CRLF; a field in double quotes may hold delimiters, line ends, and quotes written twice. Every
-- row must have as many fields as the first.

local core = require "moontorch.core"
local bytes = require "moontorch.utils.bytes"
local arguments = require "moontorch.arguments"

local csv = {}

local function bad(owner, name, row, format, ...)
  core.raise(owner, "%s: row %d: " .. format, name, row, ...)
end

-- The field in quotes that starts at `at`: its text and the place after it.
local function quoted(s, at, owner, name, row)
  local parts, from = {}, at + 1
  while true do
    local stop = s:find('"', from, true)
    if not stop then bad(owner, name, row, "a quoted field has no end") end
    if s:byte(stop + 1) ~= 34 then
      if #parts == 0 then return s:sub(from, stop - 1), stop + 1 end
      parts[#parts + 1] = s:sub(from, stop - 1)
      return table.concat(parts), stop + 1
    end
    parts[#parts + 1] = s:sub(from, stop)
    from = stop + 2
  end
end

-- Calls each(row, column, text) for every field and done(row, count) after every row.
local function scan(s, delimiter, owner, name, each, done)
  local at, row, length = 1, 1, #s
  if s:sub(1, 3) == "\xEF\xBB\xBF" then at = 4 end
  local plain = "[" .. (delimiter:gsub("[%^%]%-%%]", "%%%0")) .. "\r\n]"
  local separator = delimiter:byte()
  while at <= length do
    local column, more = 0, true
    while more do
      column = column + 1
      local field, stop
      if s:byte(at) == 34 then
        field, stop = quoted(s, at, owner, name, row)
      else
        stop = s:find(plain, at) or length + 1
        -- A carriage return that ends no line belongs to the field.
        while s:byte(stop) == 13 and s:byte(stop + 1) ~= 10 and stop < length do
          stop = s:find(plain, stop + 1) or length + 1
        end
        field = s:sub(at, stop - 1)
        if field:find('"', 1, true) then
          bad(owner, name, row, "field %d has a quote inside; a field with quotes is quoted, and its quotes are "
            .. "doubled", column)
        end
      end
      each(row, column, field)
      local byte = s:byte(stop)
      if byte == separator then
        at = stop + 1
        if at > length then each(row, column + 1, "") column = column + 1 more = false end
      elseif byte == nil or byte == 10 or byte == 13 then
        more = false
        at = stop + ((byte == 13 and s:byte(stop + 1) == 10) and 2 or 1)
      else
        bad(owner, name, row, "field %d goes on after its closing quote", column)
      end
    end
    done(row, column)
    row = row + 1
  end
end

local function check_delimiter(owner, delimiter)
  delimiter = delimiter or ","
  if type(delimiter) ~= "string" or #delimiter ~= 1 or delimiter:find('["\r\n]') then
    core.raise(owner, "delimiter must be one character other than a quote or a line end")
  end
  return delimiter
end

--- The rows of a string as arrays of strings. Keyword: delimiter.
function csv.parse(s, options, name)
  if type(s) ~= "string" then core.raise("csv.read", "expected a string, but got %s", arguments.type_name(s)) end
  local rows = {}
  scan(s, check_delimiter("csv.read", options and options.delimiter), "csv.read", name or "the string",
    function(row, column, field)
      if column == 1 then rows[row] = {} end
      rows[row][column] = field
    end, function() end)
  return rows
end

--- The rows of a file as arrays of strings. Keyword: delimiter.
function csv.read(path, options)
  local file = bytes.file(path, "csv.read")
  return csv.parse(bytes.read(file), options, file.name)
end

local known = { header = true, delimiter = true, dtype = true, columns = true, missing = true }

-- Which columns are wanted: an array of their numbers.
local function choose(columns, names, width, name)
  local wanted = {}
  if columns == nil then
    for c = 1, width do wanted[c] = c end
    return wanted
  end
  for i, column in ipairs(columns) do
    local at = math.tointeger(column)
    if type(column) == "string" then
      for c, title in ipairs(names or {}) do
        if title == column then at = c break end
      end
      if not at then
        core.raise("csv.load", "%s has no column '%s'%s", name, column, names and "; it has: "
          .. table.concat(names, ", ") or "; pass header = true if its first row names them")
      end
    end
    if not at or at < 1 or at > width then
      core.raise("csv.load", "%s has no column %s: columns are %d, counted from 1", name, tostring(column), width)
    end
    wanted[i] = at
  end
  return wanted
end

-- Without the blanks around it. Patterns that look for both ends at once take quadratic time on long blanks.
local function trim(s)
  local first = s:find("%S")
  return first and s:match(".*%S", first) or ""
end

local function number_of(field, missing, name, row, column, title)
  local trimmed = trim(field)
  local value
  if not trimmed:find("^[+-]?0[xX]") then value = tonumber(trimmed) end
  if value then return value end
  local lower = trimmed:lower()
  if lower == "nan" then return 0 / 0 end
  if lower == "inf" or lower == "+inf" or lower == "infinity" then return math.huge end
  if lower == "-inf" or lower == "-infinity" then return -math.huge end
  if (trimmed == "" or lower == "na" or lower == "null") and missing ~= nil then return missing end
  local shown = #field > 60 and field:sub(1, 60) .. "…" or field
  bad("csv.load", name, row, "field %d%s is '%s', which is no number%s", column, title and " (" .. title .. ")" or "",
    shown, trimmed == "" and "; pass missing = 0/0, or another number, for empty fields" or "")
end

--- The numbers in a string: a tensor [rows, columns], and the array of the columns' names when there is a header.
function csv.parse_numbers(s, options, name)
  options, name = options or {}, name or "the string"
  if type(options) ~= "table" then
    core.raise("csv.load", "argument 'options' (position 2) must be a table, not %s", arguments.type_name(options))
  end
  for key in pairs(options) do
    if not known[key] then
      core.raise("csv.load", "got an unexpected keyword argument '%s'; it takes: header, delimiter, dtype, columns, "
        .. "missing", tostring(key))
    end
  end
  if options.missing ~= nil and type(options.missing) ~= "number" then
    core.raise("csv.load", "missing must be a number, not %s", arguments.type_name(options.missing))
  end
  local names = options.header and {} or nil
  local values, row_fields, width, wanted, rows = {}, {}, nil, nil, 0
  local dtype = options.dtype or core.get_default_dtype()
  scan(s, check_delimiter("csv.load", options.delimiter), "csv.load", name, function(_, column, field)
    row_fields[column] = field
  end, function(row, count)
    if count == 1 and row_fields[1] == "" and width ~= 1 then return end -- an empty line
    if width == nil then
      width = count
      if names then table.move(row_fields, 1, count, 1, names) end
      wanted = choose(options.columns, names, width, name)
      if names then return end
    end
    if count ~= width then
      bad("csv.load", name, row, "it has %d fields, but the first row has %d", count, width)
    end
    rows = rows + 1
    for _, column in ipairs(wanted) do
      values[#values + 1] = number_of(row_fields[column], options.missing, name, row, column, names and names[column])
    end
  end)
  local columns = wanted and #wanted or 0
  if names and wanted then
    local chosen = {}
    for i, column in ipairs(wanted) do chosen[i] = names[column] end
    names = chosen
  end
  if #values == 0 then return core.empty(rows, columns, { dtype = dtype }), names end
  return core.tensor(values, { dtype = dtype }):reshape(rows, columns), names
end

--- The numbers of a file: a tensor [rows, columns] and, with a header, the columns' names. Keywords: header (the first
-- row names the columns), delimiter (","), dtype (the default one), columns (an array of numbers, from 1, or names),
-- missing (the number for empty fields, NA and null, which are errors otherwise).
function csv.load(path, options)
  local file = bytes.file(path, "csv.load")
  return csv.parse_numbers(bytes.read(file), options, file.name)
end

return csv
