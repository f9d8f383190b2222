/* The core's functions under their own names, through the table that moontorch/cuda.so was given. */
#include "cuda/driver.h"
#include <stdarg.h>
#include <stdio.h>

static const CoreApi *core;

bool core_link(const CoreApi *api) {
  if (api->version != CORE_API_VERSION || api->size != sizeof(CoreApi)) return false;
  core = api;
  return (size_t)core->device_kernels() * sizeof(void (*)(void)) == sizeof(DeviceKernels);
}

bool fail(MtCode code, const char *format, ...) {
  char message[1024];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  return core->fail(code, "%s", message);
}

void fail_suffix(const char *format, ...) {
  char message[1024];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  core->fail_suffix("%s", message);
}

#define TRAMPOLINE(result, name, parameters, arguments) \
  result name parameters { return core->name arguments; }
CORE_FUNCTIONS(TRAMPOLINE)
