/* Sliding blocks of images on a device: im2col and col2im, as cpu/slide.c has them. */
#include "cuda/slide.h"
#include "cuda/driver.h"
#include <string.h>

/* image: its shape is (N, C, H, W); blocks: {kernel, dilation, pad, stride}. */
static bool run(int (*launch)(int, const SlideRun *, void *), Tensor *x, const Tensor *image, const Arg *blocks,
                const Arg *steps, Tensor *out) {
  int index = tensor_device(out).index;
  if (out->numel == 0) return true;
  Tensor *packed = cuda_packed(x, (DType)out->dtype);
  bool good = packed && driver_use(index);
  if (good) {
    SlideRun r = {.from = tensor_data(packed),
                  .to = tensor_data(out),
                  .planes = image->shape[0] * image->shape[1],
                  .size = {image->shape[2], image->shape[3]}};
    memcpy(r.kernel, blocks->ints, sizeof r.kernel);
    memcpy(r.dilation, blocks->ints + 2, sizeof r.dilation);
    memcpy(r.pad, blocks->ints + 4, sizeof r.pad);
    memcpy(r.stride, blocks->ints + 6, sizeof r.stride);
    memcpy(r.steps, steps->ints, sizeof r.steps);
    good = driver_launched(launch(out->dtype, &r, driver_stream(index)), "sliding blocks");
  }
  tensor_release(packed);
  return good;
}

bool cuda_im2col(OpCall *c) { return run(cuda_launch_im2col, in(c, 0), in(c, 0), &c->arg[1], &c->arg[2], c->out[0]); }
bool cuda_col2im(OpCall *c) { return run(cuda_launch_col2im, in(c, 0), c->out[0], &c->arg[2], &c->arg[3], c->out[0]); }
