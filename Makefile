# moontorch: how everything is built and proved. `make demo` is the start; README.md tells the rest.
#
# Everything made lies under $(BUILD): objects, moontorch/core.so (the Lua module) and libmoontorch.a (for hosts that
# link statically). CC, CFLAGS, LIBFLAG, LUA_INCDIR, INST_LIBDIR and INST_LUADIR may be given, as luarocks does; the
# flags that the code cannot do without are added to CFLAGS, never replaced by it. GNU make 3.81 or newer.
BUILD ?= build
CC ?= cc
CFLAGS ?= -O2
LUA ?= $(shell command -v lua5.4 || command -v lua)
LUA_INCDIR ?= $(patsubst %/lua.h,%,$(firstword $(wildcard $(addsuffix /lua.h,/usr/include/lua5.4 \
  /usr/local/include/lua5.4 /opt/homebrew/include/lua5.4 /opt/homebrew/include/lua /usr/local/include /usr/include))))
LUA_LIBS ?= -llua5.4
PREFIX ?= /usr/local
INST_LIBDIR ?= $(PREFIX)/lib/lua/5.4
INST_LUADIR ?= $(PREFIX)/share/lua/5.4
INSTALL ?= install
OBJCOPY ?= objcopy
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# V=1 shows commands in full.
Q = $(if $(V),,@echo '  '$(1) $@;)
# Parallel sub-makes, unless the caller has said how many jobs there shall be.
J = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(JOBS))

OS := $(shell uname -s)
MACHINE := $(shell uname -m)
ifeq ($(OS),Darwin)
  LIBFLAG ?= -bundle -undefined dynamic_lookup
  LINK_FLAGS = -Wl,-dead_strip
else
  LIBFLAG ?= -shared
  LINK_FLAGS = -Wl,-z,nodelete -Wl,--gc-sections -Wl,--version-script=src/lua/exports.map
endif

# BLAS=openblas or BLAS=onednn: that library multiplies large float32 (OpenBLAS: float64 too) matrices.
BLAS ?=
BLAS_HEADER = $(if $(filter openblas,$(BLAS)),openblas_config.h,dnnl.h)
ifneq ($(BLAS),)
  ifeq ($(filter openblas onednn,$(BLAS)),)
    $(error BLAS=$(BLAS): openblas, onednn, or nothing for our own kernels)
  endif
  BLAS_CFLAGS := $(if $(filter openblas,$(BLAS)),$(shell pkg-config --cflags openblas 2>/dev/null))
  BLAS_LIBS := $(if $(filter openblas,$(BLAS)),$(or $(shell pkg-config --libs openblas 2>/dev/null),-lopenblas),-ldnnl -lgomp)
  ifneq ($(shell printf '\043include <$(BLAS_HEADER)>\n' | $(CC) $(CFLAGS) $(BLAS_CFLAGS) -E -x c - >/dev/null 2>&1 && echo yes),yes)
    $(error BLAS=$(BLAS): $(BLAS_HEADER) is missing; on Debian and Ubuntu it is in \
      $(if $(filter openblas,$(BLAS)),libopenblas-dev,libdnnl-dev))
  endif
endif

WARN = -Wall -Wextra -Wno-unused-parameter
BASE_FLAGS = -std=gnu11 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -fno-math-errno \
  -fno-trapping-math -ffp-contract=off -pthread -Isrc $(WARN) $(if $(BLAS),-DMT_BLAS_$(BLAS)) $(BLAS_CFLAGS) $(CFLAGS)
# The core never runs below a Lua error, so it needs no tables for unwinding, a tenth of the object. src/lua keeps them: a
# host may have built Lua as C++, whose errors are exceptions.
CORE_FLAGS = -fno-asynchronous-unwind-tables -fno-unwind-tables
# Sources in src/cpu/vec are compiled once for each instruction set. gcc's -O3 is no faster here, and a third larger.
ifndef VEC_OPT
  VEC_OPT := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),-O3,\
    -O2 -ftree-vectorize -fvect-cost-model=dynamic)
endif
# Base and AVX2 do without loops of half vectors behind their loops, which gcc adds: 60 KB and 84 KB, and rows of 7 to 255
# elements take as long one by one at their ends, AVX-512's narrow integers, which are AVX2's, too. AVX-512 keeps them: its
# ends are up to 15 floats.
NO_EPILOGUES := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),,--param vect-epilogues-nomask=0)
VEC_FLAGS_base = $(NO_EPILOGUES)
VEC_FLAGS_avx2 = -mavx2 -mfma -mf16c $(NO_EPILOGUES)
VEC_FLAGS_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512
SETS = $(if $(filter x86_64,$(MACHINE)),base avx2 avx512,base)

SRC := $(wildcard src/base/*.c src/tensor/*.c src/cpu/*.c src/graph/*.c src/ops/*.c)
LUASRC := $(filter-out src/lua/static.c src/lua/image.c src/lua/cuda.c,$(wildcard src/lua/*.c))
VECSRC := $(wildcard src/cpu/vec/*.c)
LUATREE := $(shell find lua -name '*.lua' 2>/dev/null | sort)
# Hosts link the archive and Lua; the other C tests know nothing of Lua.
HOSTTESTS = spec/c/static_test.c spec/c/lua_oom_test.c
CTESTS := $(filter-out $(HOSTTESTS),$(wildcard spec/c/*_test.c))
OBJ := $(SRC:src/%.c=$(BUILD)/%.o) $(foreach s,$(SETS),$(VECSRC:src/%.c=$(BUILD)/%.$(s).o))
LUAOBJ := $(LUASRC:src/%.c=$(BUILD)/%.o)
STATICOBJ = $(BUILD)/lua/static.o $(BUILD)/lua/embedded.o
MODULE = $(BUILD)/moontorch/core.so
ARCHIVE = $(BUILD)/libmoontorch.a
# PNG and JPEG are a module of their own, built where the headers of both libraries are found.
IMAGE_CFLAGS := $(shell pkg-config --cflags libpng libjpeg 2>/dev/null)
IMAGE_LIBS := $(or $(shell pkg-config --libs libpng libjpeg 2>/dev/null),-lpng -ljpeg)
IMAGE_TEST = printf '\043include <stdio.h>\n\043include <jpeglib.h>\n\043include <png.h>\n' | \
  $(CC) $(CFLAGS) $(IMAGE_CFLAGS) -E -x c - >/dev/null 2>&1 && echo yes
IMAGE := $(if $(shell $(IMAGE_TEST)),$(BUILD)/moontorch/image.so)
CTESTBIN := $(CTESTS:spec/c/%.c=$(BUILD)/spec/%)
STATICTEST = $(HOSTTESTS:spec/c/%.c=$(BUILD)/spec/%)

# What a script needs to find this checkout's modules before any installed ones.
HERE = $(if $(wildcard ../shared/data/mnist),MNIST="$${MNIST:-../shared/data/mnist}") \
  LUA_PATH_5_4="./lua/?.lua;./lua/?/init.lua;$${LUA_PATH_5_4-$${LUA_PATH-;;}}" \
  LUA_CPATH_5_4="$(BUILD)/?.so;$${LUA_CPATH_5_4-$${LUA_CPATH-;;}}"
RUN = $(HERE) $(LUA)
PROVE = $(LUA) spec/support/run.lua --jobs $(JOBS)

all:
	@$(MAKE) $(J) --no-print-directory module archive
module: $(MODULE) $(IMAGE)
	@:
archive: $(ARCHIVE)
	@:
rock:
	@$(MAKE) $(J) --no-print-directory module
ctests: $(CTESTBIN)
	@:
static-test: $(STATICTEST)
	@:

# A change of flags or of the list of sources rebuilds what depends on it.
FLAGS = $(CC) $(BASE_FLAGS) $(CORE_FLAGS) $(VEC_OPT) $(foreach s,$(SETS),$(VEC_FLAGS_$(s))) $(LIBFLAG) $(LUA_INCDIR)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(SRC) $(VECSRC) $(LUASRC) $(LUATREE)' >$@.new; cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(MODULE): $(OBJ) $(LUAOBJ) $(wildcard src/lua/exports.map) $(BUILD)/sources
	@mkdir -p $(@D)
	$(call Q,LD)$(CC) $(LIBFLAG) $(CFLAGS) -o $@ $(OBJ) $(LUAOBJ) $(LINK_FLAGS) $(BLAS_LIBS) -lm -pthread
$(BUILD)/moontorch/image.so: $(BUILD)/lua/image.o src/lua/exports.map
	$(call Q,LD)$(CC) $(LIBFLAG) $(CFLAGS) -o $@ $< $(LINK_FLAGS) $(IMAGE_LIBS)
$(BUILD)/lua/image.o: BASE_FLAGS += $(IMAGE_CFLAGS)
$(BUILD)/lua/%.o: src/lua/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(BASE_FLAGS) -I$(LUA_INCDIR) -MMD -MP -c $< -o $@
$(BUILD)/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(BASE_FLAGS) $(CORE_FLAGS) -MMD -MP -c $< -o $@
# Declarations, checks and gradient formulas: each runs once a call, and there are many.
$(BUILD)/ops/%.o: src/ops/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(BASE_FLAGS) $(CORE_FLAGS) $(if $(findstring -O0,$(CFLAGS))$(findstring -O1,$(CFLAGS)),,-Os) -MMD -MP -c $< -o $@
define vec_rule
$$(BUILD)/cpu/vec/%.$(1).o: src/cpu/vec/%.c $$(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call Q,CC)$$(CC) $$(BASE_FLAGS) $$(CORE_FLAGS) $$(VEC_OPT) $$(VEC_FLAGS_$(1)) -DVEC_SET=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach s,$(SETS),$(eval $(call vec_rule,$(s))))

# The archive holds one object in which only luaopen_* and mt_* are visible, where the linker and objcopy can make it; elsewhere
# the objects as they are. The Lua modules are inside, as C arrays.
$(BUILD)/lua/embedded.c: src/lua/embed.sh $(LUATREE) $(BUILD)/sources
	@mkdir -p $(@D)
	@sh src/lua/embed.sh lua >$@.new && mv $@.new $@
$(BUILD)/lua/embedded.o: $(BUILD)/lua/embedded.c $(BUILD)/flags
	$(call Q,CC)$(CC) $(BASE_FLAGS) -c $< -o $@
$(ARCHIVE): $(OBJ) $(LUAOBJ) $(STATICOBJ) $(BUILD)/sources
	@rm -f $@
	@if $(CC) -r -nostdlib -o $(BUILD)/moontorch.o $(OBJ) $(LUAOBJ) $(STATICOBJ) && \
	  $(OBJCOPY) --localize-hidden $(BUILD)/moontorch.o; \
	then echo '  AR $@'; $(AR) rcs $@ $(BUILD)/moontorch.o; \
	else echo '  AR $@ (symbols left as they are)'; $(AR) rcs $@ $(OBJ) $(LUAOBJ) $(STATICOBJ); fi

# C tests link against an archive, so that each takes only what it calls.
$(BUILD)/libcore.a: $(OBJ) $(BUILD)/sources
	@rm -f $@; $(AR) rcs $@ $(OBJ)
$(CTESTBIN): $(BUILD)/spec/%: spec/c/%.c $(BUILD)/libcore.a $(BUILD)/flags
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(BASE_FLAGS) -MMD -MP -o $@ $< $(BUILD)/libcore.a $(BLAS_LIBS) -lm -pthread
$(STATICTEST): $(BUILD)/spec/%: spec/c/%.c $(ARCHIVE) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(BASE_FLAGS) -I$(LUA_INCDIR) -o $@ $< $(ARCHIVE) $(LUA_LIBS) $(BLAS_LIBS) -lm -ldl -pthread
-include $(OBJ:.o=.d) $(LUAOBJ:.o=.d) $(CTESTBIN:=.d) $(BUILD)/lua/static.d $(BUILD)/lua/image.d

deps:
	@sh .ci/deps.sh

demo:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory all
	$(RUN) examples/mnist.lua
	$(RUN) examples/mnist.lua --load mnist.safetensors

# NAME=mnist_cnn runs examples/mnist_cnn.lua; ARGS="--epochs 1" passes options on.
EXAMPLES := $(sort $(patsubst examples/%.lua,%,$(wildcard examples/*.lua examples/port/*.lua)))
example:
	@$(if $(filter $(NAME),$(EXAMPLES)),:,echo "make example NAME=one of: $(EXAMPLES)"; exit 1)
	@$(MAKE) $(J) --no-print-directory module
	$(RUN) examples/$(NAME).lua $(ARGS)

# SPEC=path runs one file; BUSTED="--filter=..." passes options on.
test:
	@$(MAKE) $(J) --no-print-directory module archive ctests static-test
	@$(PROVE) --build $(BUILD) --busted "$(BUSTED)" $(or $(SPEC),$(CTESTBIN) $(STATICTEST) spec)

CFORMATTED = $$(find src spec bench -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cc')
check:
	luacheck -q lua spec examples bench
	$(LUA) spec/support/check_floors.lua
	clang-format --dry-run -Werror $(CFORMATTED)
	@$(MAKE) $(J) --no-print-directory BUILD=$(BUILD)/check-gcc CC=gcc CFLAGS="-O2 -Werror" module ctests
	@if command -v clang >/dev/null; then $(MAKE) $(J) --no-print-directory BUILD=$(BUILD)/check-clang CC=clang \
	  CFLAGS="-O1 -Werror" VEC_OPT=-O1 module ctests; fi
	sh spec/support/check_symbols.sh $(BUILD)/check-gcc/moontorch/core.so

SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ASAN_ENV = ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=8192:detect_leaks=1 \
  UBSAN_OPTIONS=print_stacktrace=1 LSAN_OPTIONS=suppressions=spec/support/lsan.supp:print_suppressions=0
asan:
	@$(MAKE) $(J) --no-print-directory BUILD=$(BUILD)/asan CC=gcc CFLAGS="-O1 -g1 $(SANITIZE)" VEC_OPT=-O1 module ctests
	@$(PROVE) --build $(BUILD)/asan $(addprefix --env ,$(ASAN_ENV)) --timeout 1200 \
	  --lua-env LD_PRELOAD=$$(gcc -print-file-name=libasan.so) --busted "$(BUSTED)" \
	  $(or $(SPEC),$(CTESTBIN:$(BUILD)/%=$(BUILD)/asan/%) spec)

# Every allocation of small programs fails in turn, the library's own under the sanitizers, then Lua's.
oom:
	@$(MAKE) $(J) --no-print-directory BUILD=$(BUILD)/asan CC=gcc CFLAGS="-O1 -g1 $(SANITIZE)" VEC_OPT=-O1 module
	@$(MAKE) $(J) --no-print-directory static-test
	@$(PROVE) --build $(BUILD)/asan $(addprefix --env ,$(ASAN_ENV)) --timeout 1200 \
	  --lua-env LD_PRELOAD=$$(gcc -print-file-name=libasan.so) $(BUILD)/spec/lua_oom_test spec/oom_spec.lua

# All that is fuzzed: calls, then files.
fuzz:
	@$(MAKE) --no-print-directory fuzz-calls
	@$(MAKE) --no-print-directory fuzz-files
# Random calls of every operator under the sanitizers, other ones each time; the seed that is printed makes them again.
fuzz-calls:
	@$(MAKE) $(J) --no-print-directory BUILD=$(BUILD)/asan CC=gcc CFLAGS="-O1 -g1 $(SANITIZE)" VEC_OPT=-O1 module
	@seed=$${FUZZ_SEED:-$$(date +%s)}; echo "FUZZ_SEED=$$seed"; $(PROVE) --build $(BUILD)/asan \
	  $(addprefix --env ,$(ASAN_ENV)) --env FUZZ_SEED=$$seed --env FUZZ_CALLS=$${FUZZ_CALLS:-200000} --timeout 3600 \
	  --lua-env LD_PRELOAD=$$(gcc -print-file-name=libasan.so) spec/fuzz_spec.lua

# Files changed at random, FUZZ_SECONDS for each reader, under the sanitizers; the seed makes them again.
fuzz-files:
	@$(MAKE) $(J) --no-print-directory BUILD=$(BUILD)/asan CC=gcc CFLAGS="-O1 -g1 $(SANITIZE)" VEC_OPT=-O1 module
	@seed=$${FUZZ_SEED:-$$(date +%s)}; echo "FUZZ_SEED=$$seed"; $(PROVE) --build $(BUILD)/asan \
	  $(addprefix --env ,$(ASAN_ENV)) --env FUZZ_SEED=$$seed --env FUZZ_SECONDS=$${FUZZ_SECONDS:-10} \
	  --timeout $$((600 + 20 * $${FUZZ_SECONDS:-10})) \
	  --lua-env LD_PRELOAD=$$(gcc -print-file-name=libasan.so) spec/fuzz_files_spec.lua

# The specs again with the collector at its most eager, once in each of its modes.
gcstress:
	@$(MAKE) $(J) --no-print-directory module
	@for mode in incremental generational; do echo "collector: $$mode"; \
	  $(PROVE) --build $(BUILD) --env GCSTRESS=$$mode --timeout 1200 \
	    --busted "--helper=spec/support/gcstress.lua $(BUSTED)" $(or $(SPEC),spec) || exit 1; done

# PYTHON names the one whose PyTorch is the rival; ONLY=text the rows that are run; BENCH_JSON a file for the figures.
bench:
	@$(MAKE) $(J) --no-print-directory module $(BUILD)/bench/machine
	ONLY="$(ONLY)" $(RUN) bench/run.lua cpu $(BUILD)/bench/machine
# The same on a GPU; where there is none, a line says so. BENCH_TINY=1 only sees that every row runs.
bench-cuda:
	@$(MAKE) $(J) --no-print-directory module cuda
	ONLY="$(ONLY)" $(RUN) bench/run.lua cuda
# Memory of 10,000 training steps of each model, beside PyTorch's; ARGS=names picks models, STEPS=1000 shortens.
bench-memory:
	@$(MAKE) $(J) --no-print-directory module
	$(RUN) bench/memory.lua $(ARGS)
$(BUILD)/bench/machine: bench/machine.c
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) -O3 -Wall -Wextra -pthread -o $@ $<

# moontorch/cuda.so, with nvcc from CUDA_HOME or the PATH. ARCHS names compute capabilities (ARCHS=90 builds for one).
NVCC ?= $(if $(CUDA_HOME),$(CUDA_HOME)/bin/nvcc,nvcc)
CUDA_ROOT = $(or $(CUDA_HOME),$(patsubst %/bin/nvcc,%,$(shell command -v $(NVCC) 2>/dev/null)))
ARCHS ?= 75 80 86 89 90
GENCODE = $(foreach a,$(ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
  -gencode arch=compute_$(lastword $(ARCHS)),code=compute_$(lastword $(ARCHS))
NVCC_FLAGS = -std=c++17 -O3 $(GENCODE) --threads 0 -Isrc -Xcompiler -fPIC,-fvisibility=hidden,-Wall \
  -Werror all-warnings -diag-suppress 186
CUDA_KERNELS := $(wildcard src/cuda/*.cu)
CUDA_HOST := $(wildcard src/cuda/*.c) src/lua/cuda.c src/base/dtype.c src/cpu/formula_ids.c
CUDA_ARCHS = -DMT_CUDA_ARCHS='"$(ARCHS)"'
cuda:
	@command -v $(NVCC) >/dev/null || { echo "cuda: there is no nvcc at CUDA_HOME or on the PATH; install the CUDA \
	toolkit (developer.nvidia.com/cuda-downloads)"; exit 1; }
	@$(MAKE) $(J) --no-print-directory $(BUILD)/moontorch/cuda.so
$(BUILD)/moontorch/cuda.so: $(CUDA_KERNELS:src/%.cu=$(BUILD)/gpu/%.cu.o) $(CUDA_HOST:src/%.c=$(BUILD)/gpu/%.o)
	@mkdir -p $(@D)
	$(call Q,LD)$(CC) $(LIBFLAG) -o $@ $^ $(LINK_FLAGS) -L$(CUDA_ROOT)/lib64 -L$(CUDA_ROOT)/lib -lcudart_static -lstdc++ \
	  -ldl -lrt -lm -pthread
$(BUILD)/gpu/%.cu.o: src/%.cu Makefile
	@mkdir -p $(@D)
	$(call Q,NVCC)$(NVCC) $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
$(BUILD)/gpu/%.o: src/%.c
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(BASE_FLAGS) $(CUDA_ARCHS) -I$(CUDA_ROOT)/include -I$(LUA_INCDIR) -MMD -MP -c $< -o $@

# The same sources for a GPU that is not there: spec/support/standin runs kernels on the host, under the sanitizers.
STANDIN = $(BUILD)/standin
STANDIN_DIR = spec/support/standin
STANDIN_FLAGS = -O1 -g1 -fPIC -fvisibility=hidden $(SANITIZE) -I$(STANDIN_DIR) -Isrc $(WARN)
STANDIN_SOURCES := $(wildcard $(STANDIN_DIR)/*.cc)
STANDIN_OBJ = $(CUDA_KERNELS:src/%.cu=$(STANDIN)/%.cu.o) $(STANDIN_SOURCES:$(STANDIN_DIR)/%.cc=$(STANDIN)/%.o)
$(STANDIN)/%.cu.o: src/%.cu
	@mkdir -p $(@D)
	$(call Q,CXX)g++ -std=c++17 $(STANDIN_FLAGS) -Wno-unused-function -MMD -MP -x c++ -c $< -o $@
$(STANDIN)/%.o: src/%.c
	@mkdir -p $(@D)
	$(call Q,CC)gcc -std=gnu11 $(STANDIN_FLAGS) -DMT_CUDA_ARCHS='"80"' -I$(LUA_INCDIR) -MMD -MP -c $< -o $@
$(STANDIN)/%.o: $(STANDIN_DIR)/%.cc $(wildcard $(STANDIN_DIR)/*.h)
	@mkdir -p $(@D)
	$(call Q,CXX)g++ -std=c++17 $(STANDIN_FLAGS) -c $< -o $@
$(STANDIN)/control.o: $(STANDIN_DIR)/control.c
	@mkdir -p $(@D)
	$(call Q,CC)gcc -std=gnu11 $(STANDIN_FLAGS) -I$(LUA_INCDIR) -c $< -o $@
$(STANDIN)/moontorch/cuda.so: $(STANDIN_OBJ) $(STANDIN)/control.o $(CUDA_HOST:src/%.c=$(STANDIN)/%.o)
	@mkdir -p $(@D)
	$(call Q,LD)g++ -shared $(SANITIZE) -o $@ $^ $(LINK_FLAGS) -lm -pthread
$(STANDIN)/spec/%_test: spec/cuda/%_test.cc $(STANDIN_OBJ) $(BUILD)/asan/libcore.a
	@mkdir -p $(@D)
	$(call Q,CXX)g++ -std=c++17 $(STANDIN_FLAGS) -fpermissive -o $@ $^ -lm -pthread
-include $(foreach o,$(CUDA_KERNELS:src/%.cu=%.cu.d) $(CUDA_HOST:src/%.c=%.d),$(BUILD)/gpu/$o $(STANDIN)/$o)
CUDA_TESTS = $(patsubst spec/cuda/%.cc,$(STANDIN)/spec/%,$(wildcard spec/cuda/*_test.cc))
standin: $(STANDIN)/moontorch/cuda.so $(CUDA_TESTS)
	@cp $(BUILD)/asan/moontorch/*.so $(STANDIN)/moontorch/
STANDIN_PROVE = $(PROVE) --build $(STANDIN) $(addprefix --env ,$(ASAN_ENV)) --timeout 1200 \
  --lua-env LD_PRELOAD=$$(gcc -print-file-name=libasan.so)
CUDA_PROVE = $(PROVE) --build $(BUILD) --timeout 3600
MODULE_SPECS = spec/autocast_spec.lua spec/scaler_spec.lua spec/device_spec.lua spec/pitfalls_spec.lua
CUDA_SPECS = $(wildcard spec/cuda*_spec.lua) spec/bench_spec.lua
ON_CUDA_SPECS = spec/guide_spec.lua spec/pitfalls_spec.lua spec/examples_spec.lua
test-cuda-standin:
	@$(MAKE) $(J) --no-print-directory BUILD=$(BUILD)/asan CC=gcc CFLAGS="-O1 -g1 $(SANITIZE)" VEC_OPT=-O1 module \
	  $(BUILD)/asan/libcore.a
	@$(MAKE) $(J) --no-print-directory standin
	@for order in "STANDIN_LAZY=0" "STANDIN_LAZY=1 STANDIN_REVERSE=1"; do echo "threads: $$order"; \
	  $(STANDIN_PROVE) --env STANDIN_DEVICES=3 $$(for word in $$order; do echo --env $$word; done) --busted "$(BUSTED)" \
	    $(or $(SPEC),$(CUDA_TESTS) $(CUDA_SPECS)) || exit 1; done
	@$(if $(SPEC),:,echo "modules, autocast, pitfalls:"; $(STANDIN_PROVE) $(MODULE_SPECS))
	@$(if $(SPEC),:,echo "what makes its tensors on the GPU:"; $(STANDIN_PROVE) --env EXAMPLE_DEVICE=cuda \
	  --busted "--helper=spec/support/on_cuda.lua" $(ON_CUDA_SPECS))

# The same specs on a GPU, then NVIDIA's own checks over some of them; where there is none, a line says so. The checks see
# the interpreter itself: with shells and the runner between, they would take those for programs that never use CUDA.
SANITIZER = $(CUDA_ROOT)/bin/compute-sanitizer --launch-timeout 120 --target-processes application-only --error-exitcode 1
test-cuda:
	@$(MAKE) $(J) --no-print-directory module cuda
	@if ! $(RUN) -e 'os.exit(require("moontorch").cuda.is_available())'; then \
	  echo "test-cuda: skipped, moontorch/cuda.so finds no GPU here"; \
	else \
	  $(CUDA_PROVE) --busted "$(BUSTED)" $(or $(SPEC),$(CUDA_SPECS) $(MODULE_SPECS)) && \
	  $(CUDA_PROVE) --env EXAMPLE_DEVICE=cuda --busted "--helper=spec/support/on_cuda.lua" $(ON_CUDA_SPECS) && \
	  for tool in memcheck racecheck initcheck; do \
	    for spec in cuda_kernels cuda_index cuda_optim; do echo "compute-sanitizer: $$tool, $$spec"; \
	      $(HERE) $(SANITIZER) --tool $$tool $(LUA) spec/support/busted.lua --run=make --ignore-lua spec/$${spec}_spec.lua \
	        || exit 1; done; done; fi

# PyTorch's answers to all samples of the op table; PYTHON has the PyTorch that is asked.
golden-table:
	@$(MAKE) $(J) --no-print-directory module
	@mkdir -p $(BUILD)/table
	$(RUN) spec/support/dump_cases.lua $(BUILD)/table
	$(or $(PYTHON),python3) spec/golden/make_table.py $(BUILD)/table

# Files written here, this build's and those in spec/golden/files/ours, read by PyTorch; PYTHON has it and safetensors.
crossover:
	@$(MAKE) $(J) --no-print-directory module
	@mkdir -p $(BUILD)/crossover
	$(RUN) spec/support/crossover.lua $(BUILD)/crossover
	$(or $(PYTHON),python3) spec/golden/check_ours.py $(BUILD)/crossover spec/golden/files/ours

# Names of PyTorch that exist, and how they are proved. COVERAGE_LISTS names files of spec/coverage that must be complete.
coverage:
	@$(MAKE) $(J) --no-print-directory module
	@$(RUN) spec/support/coverage.lua $(or $(COVERAGE_LISTS),torch tensor autograd functional nn init module_methods \
	  optim data)

docs:
	@$(MAKE) $(J) --no-print-directory module
	$(RUN) spec/support/docs.lua $(BUILD)

format:
	clang-format -i $(CFORMATTED)

install: $(MODULE) $(IMAGE)
	$(INSTALL) -d $(DESTDIR)$(INST_LIBDIR)/moontorch
	for f in $(MODULE) $(IMAGE); do $(INSTALL) -m 755 $$f $(DESTDIR)$(INST_LIBDIR)/moontorch/ || exit 1; done
	cd lua && for f in $(LUATREE:lua/%=%); do $(INSTALL) -d $(DESTDIR)$(INST_LUADIR)/$$(dirname $$f) && \
	  $(INSTALL) -m 644 $$f $(DESTDIR)$(INST_LUADIR)/$$f || exit 1; done

install-cuda:
	$(INSTALL) -d $(DESTDIR)$(INST_LIBDIR)/moontorch
	$(INSTALL) -m 755 $(BUILD)/moontorch/cuda.so $(DESTDIR)$(INST_LIBDIR)/moontorch/

clean:
	rm -rf $(BUILD)

.PHONY: all rock module archive ctests static-test deps demo example test check asan oom fuzz fuzz-calls fuzz-files \
  gcstress bench bench-cuda bench-memory golden-table crossover coverage cuda standin test-cuda-standin test-cuda docs format install install-cuda clean FORCE
.DELETE_ON_ERROR:
