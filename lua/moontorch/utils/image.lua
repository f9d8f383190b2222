--- Pictures: PNG and JPEG files as uint8 tensors [channels, height, width].
--
--     x = torch.utils.image.read("cat.jpg")                 -- [3, H, W], or [1, H, W] when it is gray
--     x = torch.utils.image.read("cat.png", {mode = "rgb"})
--     torch.utils.image.write_png(x, "copy.png")
--
-- libpng and libjpeg do the work, in a module apart (moontorch.image) that is built where they are found.

local core = require "moontorch.core"
local bytes = require "moontorch.utils.bytes"
local arguments = require "moontorch.arguments"

local image = {}

local found, codec = pcall(require, "moontorch.image")

local function need(owner)
  if found then return codec end
  core.raise(owner, "moontorch was built without pictures: install libpng-dev and libjpeg62-turbo-dev (Debian; "
    .. "libjpeg-turbo8-dev on Ubuntu, libpng and jpeg-turbo on macOS), then build again (make)")
end

-- Bytes of the longest file that is read.
local LONGEST = 1 << 30

local modes = { unchanged = true, gray = true, gray_alpha = true, rgb = true, rgb_alpha = true }

--- Are PNG and JPEG there?
function image.available()
  return found
end

local function decode(source, options)
  local owner = source.owner
  local mode = options and options.mode or "unchanged"
  if not modes[mode] then
    core.raise(owner, "mode must be unchanged, gray, gray_alpha, rgb or rgb_alpha, not %s", tostring(mode))
  end
  -- What is no picture by its head is not read; the decoder says what is wrong with it.
  local s, size = bytes.head(source, 8)
  if size > LONGEST then
    core.raise(owner, "%s cannot be read as a picture: it has %d bytes, and more than %d are not read", source.name,
      size, LONGEST)
  end
  if s == "\137PNG\r\n\26\n" or s:sub(1, 3) == "\255\216\255" then s = bytes.read(source) end
  local width, height, channels, pixels = need(owner).decode(s, mode)
  if not width then core.raise(owner, "%s cannot be read as a picture: %s", source.name, height) end
  return core.frombuffer(pixels, { dtype = core.uint8 }):reshape(height, width, channels):permute(3, 1, 2):contiguous()
end

--- The picture in a string that holds a whole PNG or JPEG file. Keyword: mode, one of unchanged, gray, gray_alpha, rgb,
-- rgb_alpha. Palettes become colours, and 16 bits a channel become 8. `name` is what messages call the string.
function image.decode(s, options, name)
  return bytes.naming(bytes.string(s, "image.decode", name), decode, options)
end

--- The picture in a file, given by its path or open; keywords as for decode.
function image.read(path, options)
  return bytes.naming(bytes.file(path, "image.read"), decode, options)
end

--- A uint8 tensor [C, H, W] (C from 1 to 4: gray, gray and alpha, RGB, RGB and alpha) or [H, W] as a PNG file in a
-- string. Keyword: compression_level from 0 to 9 (6).
function image.encode_png(tensor, options)
  local owner = "image.encode_png"
  if not core.is_tensor(tensor) then
    core.raise(owner, "argument 'input' (position 1) must be Tensor, not %s", arguments.type_name(tensor))
  end
  if tensor.dtype ~= core.uint8 then
    core.raise(owner, "Input tensor dtype should be uint8, not %s; for values from 0 to 1: "
      .. "x:mul(255):round():to(torch.uint8)", tostring(tensor.dtype))
  end
  if tensor.ndim == 2 then tensor = tensor:unsqueeze(1) end
  if tensor.ndim ~= 3 or tensor:size(1) < 1 or tensor:size(1) > 4 or tensor:numel() == 0 then
    core.raise(owner, "Input data should be a 3-dimensional tensor [channels, height, width] with 1 to 4 channels, but "
      .. "its shape is [%s]", table.concat(tensor.shape, ", "))
  end
  local level = options and options.compression_level or 6
  if math.type(level) ~= "integer" or level < 0 or level > 9 then
    core.raise(owner, "Compression level should be between 0 and 9, not %s", tostring(level))
  end
  local channels, height, width = tensor:size(1), tensor:size(2), tensor:size(3)
  local pixels = tensor:cpu():permute(2, 3, 1):contiguous():tobytes()
  local result, reason = need(owner).encode_png(pixels, width, height, channels, level)
  if not result then core.raise(owner, "%s", reason) end
  return result
end

--- Writes a picture as a PNG file; see encode_png.
function image.write_png(tensor, path, options)
  bytes.write(path, { image.encode_png(tensor, options) }, "image.write_png")
end

return image
