/* What a call says of tensors on two devices. No GPU is needed: tensors of the host are said to lie on one while the call is
 * refused, which happens before anything is read. Prints one line; non-zero on failure. */
#include "graph/node.h"
#include "ops/ops.h"
#include <stdio.h>
#include <string.h>

static int passed, wrong;

static void check(bool ok, const char *what) {
  ok ? passed++ : wrong++;
  if (!ok) fprintf(stderr, "not ok: %s\n  %s\n", what, fail_message());
}

static Tensor *make(int ndim, int64_t rows, int64_t columns) {
  return tensor_new(MT_F32, ndim, (int64_t[]){rows, columns}, (Device){MT_CPU, 0});
}

static void claim(Tensor *t, int kind, int index) { t->storage->device = (Device){kind, index}; }

static bool says(const char *part) { return failed() && strstr(fail_message(), part); }

static void test_two_tensors(void) {
  Tensor *x = make(2, 2, 3), *y = make(2, 2, 3);
  for (int turn = 0; turn < 2; turn++) {
    claim(turn ? x : y, MT_CUDA, 0);
    int mark = pool_open();
    check(!op_mul(x, y), "a matrix of the host and one of a GPU are refused");
    check(says("Expected all tensors to be on the same device, but found at least two devices,"), "PyTorch's sentence");
    check(says(turn ? "input is float32 [2, 3] on cuda:0" : "input is float32 [2, 3] on cpu"), "the first");
    check(says(turn ? "other is float32 [2, 3] on cpu" : "other is float32 [2, 3] on cuda:0"), "the second");
    check(says(turn ? "other:to(\"cuda:0\")" : "input:to(\"cuda:0\")"), "what moves");
    fail_clear();
    pool_shut(mark);
    claim(turn ? x : y, MT_CPU, 0);
  }
  claim(x, MT_CUDA, 0);
  claim(y, MT_CUDA, 1);
  int mark = pool_open();
  check(!op_mul(x, y) && says("cuda:0 and cuda:1") && says("other:to(\"cuda:0\")"), "two GPUs");
  fail_clear();
  pool_shut(mark);
  claim(x, MT_CPU, 0);
  claim(y, MT_CPU, 0);
  mark = pool_open();
  check(op_mul(x, y) != NULL, "one device is enough");
  pool_shut(mark);
  tensor_release(x);
  tensor_release(y);
}

static void test_list(void) {
  extern OpDef def_cat;
  Tensor *list[] = {make(2, 2, 3), make(2, 2, 3), make(2, 2, 3)};
  claim(list[1], MT_CUDA, 0);
  Arg arg[] = {{.given = true, .tensors = list, .n = 3}, ARG_I(0)};
  int mark = pool_open();
  check(!op_run(&def_cat, arg), "a list on two devices is refused");
  check(says("tensors[1] is float32 [2, 3] on cpu, tensors[2] is float32 [2, 3] on cuda:0"), "each of a list");
  check(says("tensors[1]:to(\"cuda:0\")"), "what moves");
  fail_clear();
  pool_shut(mark);
  claim(list[1], MT_CPU, 0);
  for (int i = 0; i < 3; i++) tensor_release(list[i]);
}

int main(void) {
  if (!ops_load()) return 1;
  test_two_tensors();
  test_list();
  printf("%d passed, %d failed\n", passed, wrong);
  return wrong != 0;
}
