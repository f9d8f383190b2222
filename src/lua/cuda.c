/* moontorch/cuda.so as Lua sees it: opened with the core's table of functions by lua/moontorch/cuda/binding.lua.
 *
 * Functions take devices and streams as numbers, which are checked here, and events and graphs as userdata that own them.
 * They raise the bare message; the Lua files add the function's name and the caller's line. */
#include "cuda/driver.h"
#include <lauxlib.h>
#include <lua.h>

static const char EVENT[] = "moontorch.cuda.Event", GRAPH[] = "moontorch.cuda.CUDAGraph";

static int raise_pending(lua_State *L) {
  lua_pushstring(L, fail_message());
  fail_clear();
  return lua_error(L);
}
static int done(lua_State *L, bool good) { return good ? 0 : raise_pending(L); }

/* The device at idx, the current one when nothing stands there. */
static int device_at(lua_State *L, int idx) {
  lua_Integer i = luaL_optinteger(L, idx, device_current());
  if (i < 0 || i >= driver_devices()) {
    lua_pushfstring(
        L,
        "CUDA error: invalid device ordinal: there is no cuda:%I, this machine has %d device%s, counted from "
        "0: torch.cuda.device_count()",
        i, driver_devices(), driver_devices() == 1 ? "" : "s");
    lua_error(L);
  }
  return (int)i;
}

/* Devices ------------------------------------------------------------------------------------------------------------- */

static int f_device_count(lua_State *L) { return lua_pushinteger(L, driver_devices()), 1; }
static int f_current_device(lua_State *L) { return lua_pushinteger(L, device_current()), 1; }

static int f_set_device(lua_State *L) {
  return device_set_current(device_at(L, 1)),
         0; /* each piece of work tells the runtime: so leaving a block cannot fail */
}

static int f_synchronize(lua_State *L) { return done(L, driver_settle_device(device_at(L, 1))); }

static int f_can_access_peer(lua_State *L) {
  int from = device_at(L, 1), to = device_at(L, 2), can = 0;
  if (!driver_check(cudaDeviceCanAccessPeer(&can, from, to), "cudaDeviceCanAccessPeer")) return raise_pending(L);
  return lua_pushboolean(L, can), 1;
}

static int f_properties(lua_State *L) {
  struct cudaDeviceProp p;
  if (!driver_check(cudaGetDeviceProperties(&p, device_at(L, 1)), "cudaGetDeviceProperties")) return raise_pending(L);
  const struct {
    const char *name;
    lua_Integer value;
  } field[] = {{"major", p.major},
               {"minor", p.minor},
               {"multi_processor_count", p.multiProcessorCount},
               {"total_memory", (lua_Integer)p.totalGlobalMem},
               {"max_threads_per_multi_processor", p.maxThreadsPerMultiProcessor},
               {"max_threads_per_block", p.maxThreadsPerBlock},
               {"warp_size", p.warpSize},
               {"regs_per_multiprocessor", p.regsPerMultiprocessor},
               {"shared_memory_per_block", (lua_Integer)p.sharedMemPerBlock},
               {"shared_memory_per_block_optin", (lua_Integer)p.sharedMemPerBlockOptin},
               {"shared_memory_per_multiprocessor", (lua_Integer)p.sharedMemPerMultiprocessor},
               {"L2_cache_size", p.l2CacheSize},
               {"memory_bus_width", p.memoryBusWidth},
               {"pci_bus_id", p.pciBusID},
               {"pci_device_id", p.pciDeviceID},
               {"pci_domain_id", p.pciDomainID}};
  lua_createtable(L, 0, 24);
  for (size_t k = 0; k < sizeof field / sizeof *field; k++) {
    lua_pushinteger(L, field[k].value);
    lua_setfield(L, -2, field[k].name);
  }
  lua_pushboolean(L, p.integrated);
  lua_setfield(L, -2, "is_integrated");
  lua_pushboolean(L, p.isMultiGpuBoard);
  lua_setfield(L, -2, "is_multi_gpu_board");
  lua_pushstring(L, p.name);
  lua_setfield(L, -2, "name");
  lua_pushlstring(L, p.uuid.bytes, sizeof p.uuid.bytes);
  lua_setfield(L, -2, "uuid");
  return 1;
}

static int f_sync_mode(lua_State *L) {
  if (lua_isinteger(L, 1)) driver_sync_mode = (int)lua_tointeger(L, 1);
  return lua_pushinteger(L, driver_sync_mode), 1;
}

/* Memory -------------------------------------------------------------------------------------------------------------- */

static void set_number(lua_State *L, const char *group, const char *part, const char *name, int64_t value) {
  lua_pushfstring(L, *part ? "%s.%s.%s" : *name ? "%s%s.%s" : "%s", group, part, name);
  lua_pushinteger(L, value);
  lua_rawset(L, -3);
}
static void set_stat(lua_State *L, const char *group, const char *part, const Stat *s) {
  set_number(L, group, part, "current", s->current);
  set_number(L, group, part, "peak", s->peak);
  set_number(L, group, part, "allocated", s->allocated);
  set_number(L, group, part, "freed", s->freed);
}

/* PyTorch's names; what only its other settings count is 0. */
static int f_memory_stats(lua_State *L) {
  static const char *const group[STATS] = {"allocation",      "segment",        "active",       "inactive_split",
                                           "allocated_bytes", "reserved_bytes", "active_bytes", "inactive_split_bytes",
                                           "requested_bytes"};
  static const char *const part[] = {"all", "large_pool", "small_pool"};
  static const Stat none = {0};
  MemoryStats s = cuda_memory_stats(device_at(L, 1));
  lua_createtable(L, 0, STATS * 12 + 16);
  for (int i = 0; i < STATS; i++)
    for (int k = 0; k < 3; k++) set_stat(L, group[i], part[k], &s.stat[i][k]);
  set_stat(L, "oversize_allocations", "", &none);
  set_stat(L, "oversize_segments", "", &none);
  set_number(L, "num_alloc_retries", "", "", s.retries);
  set_number(L, "num_ooms", "", "", s.ooms);
  set_number(L, "num_sync_all_streams", "", "", s.waits);
  set_number(L, "num_device_alloc", "", "", s.mallocs);
  set_number(L, "num_device_free", "", "", s.frees);
  set_number(L, "max_split_size", "", "", -1);
  return 1;
}

static int f_empty_cache(lua_State *L) {
  for (int k = 0; k < driver_devices(); k++)
    if (!cuda_trim(k)) return raise_pending(L);
  pinned_trim();
  return 0;
}

static int f_reset_peak(lua_State *L) { return cuda_reset_peak(device_at(L, 1)), 0; }
static int f_reset_accumulated(lua_State *L) { return cuda_reset_accumulated(device_at(L, 1)), 0; }
static int f_fraction(lua_State *L) { return lua_pushnumber(L, cuda_fraction(device_at(L, 1))), 1; }
static int f_set_fraction(lua_State *L) { return cuda_set_fraction(device_at(L, 1), luaL_checknumber(L, 2)), 0; }

static int f_mem_get_info(lua_State *L) {
  size_t available = 0, total = 0;
  if (!driver_use(device_at(L, 1)) || !driver_check(cudaMemGetInfo(&available, &total), "cudaMemGetInfo"))
    return raise_pending(L);
  lua_pushinteger(L, (lua_Integer)available);
  lua_pushinteger(L, (lua_Integer)total);
  return 2;
}

/* Streams: a device and a number at idx ---------------------------------------------------------------------------------- */

static cudaStream_t stream_at(lua_State *L, int idx, int *index) {
  cudaStream_t stream = NULL;
  *index = device_at(L, idx);
  if (!stream_handle(*index, (int)luaL_checkinteger(L, idx + 1), &stream)) raise_pending(L);
  return stream;
}

/* (device, priority) -> number, priority */
static int f_stream_take(lua_State *L) {
  int priority = (int)luaL_checkinteger(L, 2), number = stream_take(device_at(L, 1), &priority);
  if (number < 0) return raise_pending(L);
  lua_pushinteger(L, number);
  lua_pushinteger(L, priority);
  return 2;
}
static int f_stream_current(lua_State *L) { return lua_pushinteger(L, stream_current(device_at(L, 1))), 1; }
static int f_stream_set(lua_State *L) {
  int index;
  stream_at(L, 1, &index);
  stream_set_current(index, (int)lua_tointeger(L, 2));
  return 0;
}
static int f_stream_handle(lua_State *L) {
  int index;
  return lua_pushinteger(L, (lua_Integer)(uintptr_t)stream_at(L, 1, &index)), 1;
}
static int f_stream_synchronize(lua_State *L) {
  int index;
  cudaStream_t stream = stream_at(L, 1, &index);
  return done(L, driver_settle_stream(index, stream));
}
static int push_query(lua_State *L, cudaError_t error, const char *what) {
  if (error == cudaErrorNotReady)
    cudaGetLastError();
  else if (!driver_check(error, what))
    return raise_pending(L);
  return lua_pushboolean(L, error == cudaSuccess), 1;
}
static int f_stream_query(lua_State *L) {
  int index;
  cudaStream_t stream = stream_at(L, 1, &index);
  if (!driver_use(index)) return raise_pending(L);
  return push_query(L, cudaStreamQuery(stream), "cudaStreamQuery");
}
static int f_priority_range(lua_State *L) {
  int least = 0, greatest = 0;
  if (!driver_use(device_current()) ||
      !driver_check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange"))
    return raise_pending(L);
  lua_pushinteger(L, least);
  lua_pushinteger(L, greatest < 1 - POOL_PRIORITIES ? 1 - POOL_PRIORITIES : greatest);
  return 2;
}

/* Events: made when first recorded --------------------------------------------------------------------------------------- */

typedef struct Event {
  cudaEvent_t event;
  int device;
  unsigned flags;
  bool made;
} Event;

/* (enable_timing, blocking) */
static int f_event_new(lua_State *L) {
  bool timing = lua_toboolean(L, 1), blocking = lua_toboolean(L, 2);
  Event *e = lua_newuserdatauv(L, sizeof *e, 0);
  unsigned flags = (timing ? 0u : (unsigned)cudaEventDisableTiming) | (blocking ? (unsigned)cudaEventBlockingSync : 0u);
  *e = (Event){.flags = flags};
  luaL_setmetatable(L, EVENT);
  return 1;
}
static int event_gc(lua_State *L) {
  Event *e = luaL_checkudata(L, 1, EVENT);
  if (e->made) cudaEventDestroy(e->event);
  e->made = false;
  cudaGetLastError();
  return 0;
}
/* (event, device, stream) */
static int f_event_record(lua_State *L) {
  int index;
  Event *e = luaL_checkudata(L, 1, EVENT);
  cudaStream_t stream = stream_at(L, 2, &index);
  if (e->made && e->device != index)
    return luaL_error(L, "Event device %d does not match recording stream's device %d.", e->device, index);
  if (!driver_use(index)) return raise_pending(L);
  if (!e->made) {
    if (!driver_check(cudaEventCreateWithFlags(&e->event, e->flags), "cudaEventCreateWithFlags"))
      return raise_pending(L);
    e->made = true;
    e->device = index;
  }
  return done(L, driver_check(cudaEventRecord(e->event, stream), "cudaEventRecord"));
}
/* (event, device, stream): the stream goes on after it */
static int f_event_wait(lua_State *L) {
  int index;
  Event *e = luaL_checkudata(L, 1, EVENT);
  cudaStream_t stream = stream_at(L, 2, &index);
  if (!e->made) return 0;
  return done(L, driver_use(index) && driver_check(cudaStreamWaitEvent(stream, e->event, 0), "cudaStreamWaitEvent"));
}
static int f_event_query(lua_State *L) {
  Event *e = luaL_checkudata(L, 1, EVENT);
  if (!e->made) return lua_pushboolean(L, true), 1;
  return push_query(L, cudaEventQuery(e->event), "cudaEventQuery");
}
static int f_event_synchronize(lua_State *L) {
  Event *e = luaL_checkudata(L, 1, EVENT);
  return done(L, !e->made || driver_settle_event(e->device, e->event));
}
/* (first, second) -> milliseconds */
static int f_event_elapsed(lua_State *L) {
  Event *a = luaL_checkudata(L, 1, EVENT), *b = luaL_checkudata(L, 2, EVENT);
  float milliseconds = 0;
  if (!a->made || !b->made) return luaL_error(L, "Both events must be recorded before calculating elapsed time.");
  if ((a->flags | b->flags) & cudaEventDisableTiming)
    return luaL_error(L, "Both events must be created with argument 'enable_timing=True'.");
  cudaError_t error = cudaEventElapsedTime(&milliseconds, a->event, b->event);
  if (error == cudaErrorNotReady) {
    cudaGetLastError();
    return luaL_error(L, "Both events must be completed before calculating elapsed time. Wait for the second one: "
                         "event:synchronize()");
  }
  if (!driver_check(error, "cudaEventElapsedTime")) return raise_pending(L);
  return lua_pushnumber(L, milliseconds), 1;
}
/* -> handle, device; nil before the event was recorded */
static int f_event_handle(lua_State *L) {
  Event *e = luaL_checkudata(L, 1, EVENT);
  if (!e->made) return 0;
  lua_pushinteger(L, (lua_Integer)(uintptr_t)e->event);
  lua_pushinteger(L, e->device);
  return 2;
}

/* Graphs ---------------------------------------------------------------------------------------------------------------- */

static Graph *graph_at(lua_State *L) { return *(Graph **)luaL_checkudata(L, 1, GRAPH); }

static int f_graph_new(lua_State *L) {
  Graph **g = lua_newuserdatauv(L, sizeof *g, 0);
  *g = NULL;
  luaL_setmetatable(L, GRAPH);
  *g = graph_new();
  return *g ? 1 : raise_pending(L);
}
static int graph_gc(lua_State *L) {
  Graph **g = luaL_checkudata(L, 1, GRAPH);
  if (*g) graph_free(*g);
  *g = NULL;
  return 0;
}
/* (graph, pool or 0, mode) */
static int f_graph_begin(lua_State *L) {
  return done(L, graph_capture_begin(graph_at(L), luaL_checkinteger(L, 2), (int)luaL_checkinteger(L, 3)));
}
/* -> was there nothing to capture? */
static int f_graph_end(lua_State *L) {
  bool empty = false;
  if (!graph_capture_end(graph_at(L), &empty)) return raise_pending(L);
  return lua_pushboolean(L, empty), 1;
}
static int f_graph_abort(lua_State *L) { return graph_capture_abort(graph_at(L)), 0; }
static int f_graph_replay(lua_State *L) { return done(L, graph_replay(graph_at(L))); }
static int f_graph_reset(lua_State *L) { return done(L, graph_reset(graph_at(L))); }
static int f_graph_pool(lua_State *L) { return lua_pushinteger(L, graph_pool(graph_at(L))), 1; }
static int f_pool_new(lua_State *L) { return lua_pushinteger(L, graph_pool_new()), 1; }
static int f_capturing(lua_State *L) { return lua_pushboolean(L, capturing_here()), 1; }

static int f_dnn_version(lua_State *L) { return lua_pushinteger(L, dnn_version()), 1; }

static const luaL_Reg functions[] = {{"device_count", f_device_count},
                                     {"dnn_version", f_dnn_version},
                                     {"current_device", f_current_device},
                                     {"set_device", f_set_device},
                                     {"synchronize", f_synchronize},
                                     {"can_access_peer", f_can_access_peer},
                                     {"properties", f_properties},
                                     {"sync_mode", f_sync_mode},
                                     {"memory_stats", f_memory_stats},
                                     {"empty_cache", f_empty_cache},
                                     {"reset_peak", f_reset_peak},
                                     {"reset_accumulated", f_reset_accumulated},
                                     {"fraction", f_fraction},
                                     {"set_fraction", f_set_fraction},
                                     {"mem_get_info", f_mem_get_info},
                                     {"stream_take", f_stream_take},
                                     {"stream_current", f_stream_current},
                                     {"stream_set", f_stream_set},
                                     {"stream_handle", f_stream_handle},
                                     {"stream_synchronize", f_stream_synchronize},
                                     {"stream_query", f_stream_query},
                                     {"priority_range", f_priority_range},
                                     {"event_new", f_event_new},
                                     {"event_record", f_event_record},
                                     {"event_wait", f_event_wait},
                                     {"event_query", f_event_query},
                                     {"event_synchronize", f_event_synchronize},
                                     {"event_elapsed", f_event_elapsed},
                                     {"event_handle", f_event_handle},
                                     {"graph_new", f_graph_new},
                                     {"graph_begin", f_graph_begin},
                                     {"graph_end", f_graph_end},
                                     {"graph_abort", f_graph_abort},
                                     {"graph_replay", f_graph_replay},
                                     {"graph_reset", f_graph_reset},
                                     {"graph_pool", f_graph_pool},
                                     {"pool_new", f_pool_new},
                                     {"capturing", f_capturing},
                                     {NULL, NULL}};

static void open_class(lua_State *L, const char *name, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

/* (the core's table) -> functions, or nil and why there is no device. */
__attribute__((visibility("default"))) int luaopen_moontorch_cuda(lua_State *L) {
  const CoreApi *api = lua_touserdata(L, 1);
  if (!api || !core_link(api)) {
    lua_pushnil(L);
    lua_pushliteral(
        L, "moontorch/cuda.so is of another version than moontorch/core.so: build both from one checkout, or keep the "
           "tensor on the cpu");
    return 2;
  }
  const char *reason = driver_start();
  if (reason) {
    lua_pushnil(L);
    lua_pushstring(L, reason);
    return 2;
  }
  open_class(L, EVENT, event_gc);
  open_class(L, GRAPH, graph_gc);
  luaL_newlib(L, functions);
#ifdef MT_CUDA_ARCHS
  lua_pushliteral(L, MT_CUDA_ARCHS);
  lua_setfield(L, -2, "archs");
#endif
  return 1;
}
