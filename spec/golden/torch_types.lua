-- Made by make_torch.py from PyTorch 2.15: promotion, casts and limits of dtypes.
local cases = {}
cases.dtypes = "float64 float32 float16 bfloat16 uint8 int8 int16 int32 int64 bool"
cases.promote_types = {
  float64 = "float64 float64 float64 float64 float64 float64 float64 float64 float64 float64",
  float32 = "float64 float32 float32 float32 float32 float32 float32 float32 float32 float32",
  float16 = "float64 float32 float16 float32 float16 float16 float16 float16 float16 float16",
  bfloat16 = "float64 float32 float32 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16",
  uint8 = "float64 float32 float16 bfloat16 uint8 int16 int16 int32 int64 uint8",
  int8 = "float64 float32 float16 bfloat16 int16 int8 int16 int32 int64 int8",
  int16 = "float64 float32 float16 bfloat16 int16 int16 int16 int32 int64 int16",
  int32 = "float64 float32 float16 bfloat16 int32 int32 int32 int32 int64 int32",
  int64 = "float64 float32 float16 bfloat16 int64 int64 int64 int64 int64 int64",
  bool = "float64 float32 float16 bfloat16 uint8 int8 int16 int32 int64 bool",
}
cases.can_cast = {
  float64 = "yes yes yes yes no no no no no no",
  float32 = "yes yes yes yes no no no no no no",
  float16 = "yes yes yes yes no no no no no no",
  bfloat16 = "yes yes yes yes no no no no no no",
  uint8 = "yes yes yes yes yes yes yes yes yes no",
  int8 = "yes yes yes yes yes yes yes yes yes no",
  int16 = "yes yes yes yes yes yes yes yes yes no",
  int32 = "yes yes yes yes yes yes yes yes yes no",
  int64 = "yes yes yes yes yes yes yes yes yes no",
  bool = "yes yes yes yes yes yes yes yes yes yes",
}
cases.dimmed_with_zero_dim = {
  float64 = "float64 float64 float64 float64 float64 float64 float64 float64 float64 float64",
  float32 = "float32 float32 float32 float32 float32 float32 float32 float32 float32 float32",
  float16 = "float16 float16 float16 float16 float16 float16 float16 float16 float16 float16",
  bfloat16 = "bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16",
  uint8 = "float64 float32 float16 bfloat16 uint8 uint8 uint8 uint8 uint8 uint8",
  int8 = "float64 float32 float16 bfloat16 int8 int8 int8 int8 int8 int8",
  int16 = "float64 float32 float16 bfloat16 int16 int16 int16 int16 int16 int16",
  int32 = "float64 float32 float16 bfloat16 int32 int32 int32 int32 int32 int32",
  int64 = "float64 float32 float16 bfloat16 int64 int64 int64 int64 int64 int64",
  bool = "float64 float32 float16 bfloat16 uint8 int8 int16 int32 int64 bool",
}
cases.dimmed_with_dimmed = {
  float64 = "float64 float64 float64 float64 float64 float64 float64 float64 float64 float64",
  float32 = "float64 float32 float32 float32 float32 float32 float32 float32 float32 float32",
  float16 = "float64 float32 float16 float32 float16 float16 float16 float16 float16 float16",
  bfloat16 = "float64 float32 float32 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16",
  uint8 = "float64 float32 float16 bfloat16 uint8 int16 int16 int32 int64 uint8",
  int8 = "float64 float32 float16 bfloat16 int16 int8 int16 int32 int64 int8",
  int16 = "float64 float32 float16 bfloat16 int16 int16 int16 int32 int64 int16",
  int32 = "float64 float32 float16 bfloat16 int32 int32 int32 int32 int64 int32",
  int64 = "float64 float32 float16 bfloat16 int64 int64 int64 int64 int64 int64",
  bool = "float64 float32 float16 bfloat16 uint8 int8 int16 int32 int64 bool",
}
cases.zero_dim_with_zero_dim = {
  float64 = "float64 float64 float64 float64 float64 float64 float64 float64 float64 float64",
  float32 = "float64 float32 float32 float32 float32 float32 float32 float32 float32 float32",
  float16 = "float64 float32 float16 float32 float16 float16 float16 float16 float16 float16",
  bfloat16 = "float64 float32 float32 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16",
  uint8 = "float64 float32 float16 bfloat16 uint8 int16 int16 int32 int64 uint8",
  int8 = "float64 float32 float16 bfloat16 int16 int8 int16 int32 int64 int8",
  int16 = "float64 float32 float16 bfloat16 int16 int16 int16 int32 int64 int16",
  int32 = "float64 float32 float16 bfloat16 int32 int32 int32 int32 int64 int32",
  int64 = "float64 float32 float16 bfloat16 int64 int64 int64 int64 int64 int64",
  bool = "float64 float32 float16 bfloat16 uint8 int8 int16 int32 int64 bool",
}
cases.with_integer = "float64 float32 float16 bfloat16 uint8 int8 int16 int32 int64 int64"
cases.with_float = "float64 float32 float16 bfloat16 float32 float32 float32 float32 float32 float32"
cases.with_boolean = "float64 float32 float16 bfloat16 uint8 int8 int16 int32 int64 bool"
cases.scalars = "bool int64 float32 int64 int64 float32 float32 float32 float32"
cases.finfo = {
  float64 = { bits = 64, eps = 0x1.0000000000000p-52,
    max = 0x1.fffffffffffffp+1023,
    min = -0x1.fffffffffffffp+1023,
    tiny = 0x1.0000000000000p-1022,
    smallest_normal = 0x1.0000000000000p-1022,
    resolution = 0x1.203af9ee75616p-50,
    text = "finfo(resolution=1e-15, min=-1.79769e+308, max=1.79769e+308, eps=2.22045e-16, "
      .. "smallest_normal=2.22507e-308, tiny=2.22507e-308, dtype=float64)" },
  float32 = { bits = 32, eps = 0x1.0000000000000p-23,
    max = 0x1.fffffe0000000p+127,
    min = -0x1.fffffe0000000p+127,
    tiny = 0x1.0000000000000p-126,
    smallest_normal = 0x1.0000000000000p-126,
    resolution = 0x1.0c6f7a0b5ed8dp-20,
    text = "finfo(resolution=1e-06, min=-3.40282e+38, max=3.40282e+38, eps=1.19209e-07, "
      .. "smallest_normal=1.17549e-38, tiny=1.17549e-38, dtype=float32)" },
  float16 = { bits = 16, eps = 0x1.0000000000000p-10,
    max = 0x1.ffc0000000000p+15,
    min = -0x1.ffc0000000000p+15,
    tiny = 0x1.0000000000000p-14,
    smallest_normal = 0x1.0000000000000p-14,
    resolution = 0x1.0624dd2f1a9fcp-10,
    text = "finfo(resolution=0.001, min=-65504, max=65504, eps=0.000976562, "
      .. "smallest_normal=6.10352e-05, tiny=6.10352e-05, dtype=float16)" },
  bfloat16 = { bits = 16, eps = 0x1.0000000000000p-7,
    max = 0x1.fe00000000000p+127,
    min = -0x1.fe00000000000p+127,
    tiny = 0x1.0000000000000p-126,
    smallest_normal = 0x1.0000000000000p-126,
    resolution = 0x1.47ae147ae147bp-7,
    text = "finfo(resolution=0.01, min=-3.38953e+38, max=3.38953e+38, eps=0.0078125, "
      .. "smallest_normal=1.17549e-38, tiny=1.17549e-38, dtype=bfloat16)" },
}
cases.iinfo = {
  uint8 = { bits = 8, min = 0, max = 255,
    text = "iinfo(min=0, max=255, dtype=uint8)" },
  int8 = { bits = 8, min = -128, max = 127,
    text = "iinfo(min=-128, max=127, dtype=int8)" },
  int16 = { bits = 16, min = -32768, max = 32767,
    text = "iinfo(min=-32768, max=32767, dtype=int16)" },
  int32 = { bits = 32, min = -2147483648, max = 2147483647,
    text = "iinfo(min=-2.14748e+09, max=2.14748e+09, dtype=int32)" },
  int64 = { bits = 64, min = math.mininteger, max = 9223372036854775807,
    text = "iinfo(min=-9.22337e+18, max=9.22337e+18, dtype=int64)" },
}
return cases
