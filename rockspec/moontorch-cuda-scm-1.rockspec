rockspec_format = "3.0"
package = "moontorch-cuda"
version = "scm-1"
source = {
  url = "git+https://github.com/moontorch/moontorch",
}
description = {
  summary = "NVIDIA GPUs for moontorch",
  detailed = "What moontorch loads when a script first names a GPU: kernels and what drives them. Building it takes the CUDA toolkit (CUDA_HOME, or nvcc on the PATH); ARCHS in the environment names compute capabilities, such as ARCHS=90.",
  homepage = "https://github.com/moontorch/moontorch",
  license = "MIT",
  labels = { "tensor", "machine-learning", "cuda" },
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.5", "moontorch >= scm" }
build = {
  type = "make",
  build_target = "cuda",
  install_target = "install-cuda",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    INST_LIBDIR = "$(LIBDIR)",
    INST_LUADIR = "$(LUADIR)",
  },
}
