rockspec_format = "3.0"
package = "moontorch"
version = "scm-1"
source = {
  url = "git+https://github.com/moontorch/moontorch",
}
description = {
  summary = "PyTorch for Lua: tensors, autograd, neural networks",
  detailed = "A tensor, autograd and neural-network library for Lua 5.4 that behaves as PyTorch, with a C11 core and no dependency.",
  homepage = "https://github.com/moontorch/moontorch",
  license = "MIT",
  labels = { "tensor", "machine-learning", "neural-network" },
}
supported_platforms = { "linux", "macosx" }
dependencies = { "lua >= 5.4, < 5.5" }
build = {
  type = "make",
  build_target = "rock",
  install_target = "install",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INST_LIBDIR = "$(LIBDIR)",
    INST_LUADIR = "$(LUADIR)",
  },
}
