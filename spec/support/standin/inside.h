/* What the two halves of the stand-in share: standin.cc runs kernels, runtime.cc keeps memory, streams and graphs. */
#ifndef STANDIN_INSIDE_H
#define STANDIN_INSIDE_H
#include "cuda_runtime_api.h"
#include <functional>
#include <mutex>
#include <string>

extern std::recursive_mutex standin_lock;
int standin_setting(const char *name, int standard);
[[noreturn]] void standin_die(const std::string &what);
/* Every entry of the runtime begins with this: counts the call, and lets it fail when its turn has come. */
bool standin_enter();
cudaError_t standin_note(cudaError_t error); /* for cudaGetLastError; returns it */
/* Runs a kernel of the current device: on that stream, at once or later. */
cudaError_t standin_run(cudaStream_t stream, std::function<void()> job);
#endif
