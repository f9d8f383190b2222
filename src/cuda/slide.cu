/* Sliding blocks: a thread for each step of a plane, which takes all elements of its block, and for each element of an
 * image, which adds up the blocks that hold it in the kernel's order. Nothing is written by two threads. */
#include "cuda/kernel.cuh"
#include "cuda/slide.h"

/* Where a thread's work lies: its plane, and its place in a grid of `width` columns. */
struct Spot {
  int64_t plane, y, x;
};
static __device__ inline Spot spot_of(int64_t i, const int64_t *shape) {
  int64_t width = shape[1], height = shape[0];
  if ((i | width | height) >> 32) return {i / width / height, i / width % height, i % width};
  uint32_t line = (uint32_t)i / (uint32_t)width, plane = line / (uint32_t)height;
  return {plane, line - plane * (uint32_t)height, (uint32_t)i - line * (uint32_t)width};
}

template <class E> __global__ void __launch_bounds__(THREADS) im2col(SlideRun r) {
  const int64_t steps = r.steps[0] * r.steps[1];
  EACH_ELEMENT(i, r.planes * steps) {
    Spot s = spot_of(i, r.steps);
    const E *from = (const E *)r.from + s.plane * r.size[0] * r.size[1];
    E *to = (E *)r.to + s.plane * r.kernel[0] * r.kernel[1] * steps + s.y * r.steps[1] + s.x;
    int64_t y = s.y * r.stride[0] - r.pad[0];
    for (int64_t a = 0; a < r.kernel[0]; a++, y += r.dilation[0]) {
      int64_t x = s.x * r.stride[1] - r.pad[1];
      bool inside = y >= 0 && y < r.size[0];
      for (int64_t b = 0; b < r.kernel[1]; b++, x += r.dilation[1], to += steps)
        *to = inside && x >= 0 && x < r.size[1] ? from[y * r.size[1] + x] : (E)0;
    }
  }
}

/* The step whose kernel element `at` before it begins there; -1: none. */
static __device__ inline int64_t step_at(int64_t at, int64_t stride, int64_t steps) {
  if (at < 0) return -1;
  int64_t step = stride == 1 ? at : at >> 32 ? at / stride : (uint32_t)at / (uint32_t)stride;
  return step < steps && step * stride == at ? step : -1;
}

template <class T> __global__ void __launch_bounds__(THREADS) col2im(SlideRun r) {
  typedef typename T::Memory M;
  typedef typename T::Value V;
  const int64_t steps = r.steps[0] * r.steps[1];
  EACH_ELEMENT(i, r.planes * r.size[0] * r.size[1]) {
    Spot s = spot_of(i, r.size);
    const M *from = (const M *)r.from + s.plane * r.kernel[0] * r.kernel[1] * steps;
    V sum = 0;
    for (int64_t a = 0; a < r.kernel[0]; a++) {
      int64_t y = step_at(s.y + r.pad[0] - a * r.dilation[0], r.stride[0], r.steps[0]);
      if (y < 0) continue;
      for (int64_t b = 0; b < r.kernel[1]; b++) {
        int64_t x = step_at(s.x + r.pad[1] - b * r.dilation[1], r.stride[1], r.steps[1]);
        if (x < 0) continue;
        V v = T::load(from[(a * r.kernel[1] + b) * steps + y * r.steps[1] + x]);
        if constexpr (std::is_same<T, Bool>::value)
          sum |= v;
        else
          sum += v;
      }
    }
    ((M *)r.to)[i] = T::store(sum);
  }
}

CUDA_API int cuda_launch_im2col(int dtype, const SlideRun *run, void *stream) {
  unsigned blocks = blocks_for(run->planes * run->steps[0] * run->steps[1], 1);
  int size = 0;
  with_type(dtype, [&](auto tag) { size = sizeof(typename decltype(tag)::Memory); });
  if (size == 1)
    CUDA_LAUNCH(im2col<uint8_t>, blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else if (size == 2)
    CUDA_LAUNCH(im2col<uint16_t>, blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else if (size == 4)
    CUDA_LAUNCH(im2col<uint32_t>, blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else if (size == 8)
    CUDA_LAUNCH(im2col<uint64_t>, blocks, THREADS, 0, (cudaStream_t)stream, *run);
  else
    return -1;
  return launched();
}

CUDA_API int cuda_launch_col2im(int dtype, const SlideRun *run, void *stream) {
  int error = -1;
  auto launch = [&](auto tag) {
    typedef decltype(tag) T;
    unsigned blocks = blocks_for(run->planes * run->size[0] * run->size[1], 1);
    CUDA_LAUNCH(col2im<T>, blocks, THREADS, 0, (cudaStream_t)stream, *run);
    error = launched();
  };
  if (dtype == 0)
    launch(Bool());
  else
    with_float(dtype, launch);
  return error;
}
