/* Copies between dtypes and layouts, and fills. A copy of packed elements of one dtype is no kernel: the runtime does it. */
#include "cuda/kernel.cuh"

/* Conversions as the host makes them: floats to integers through int64, to bool by comparison with 0. */
template <class To, class From> static __device__ inline typename To::Memory convert(typename From::Memory x) {
  auto v = From::load(x);
  if constexpr (std::is_same<To, Bool>::value)
    return v != 0;
  else if constexpr ((typename To::Value)0.5 == 0 && (decltype(v))0.5 != 0)
    return To::store((typename To::Value)(int64_t)v);
  else if constexpr (std::is_same<From, F64>::value && sizeof(typename To::Memory) == 2)
    return To::store((float)v);
  else
    return To::store((typename To::Value)v);
}

template <class To, class From, class Index> __global__ void __launch_bounds__(THREADS) cast(Rows r) {
  EACH_ELEMENT(i, r.numel) {
    int64_t at[ROWS_OPERANDS];
    rows_at<Index>(r, i, at);
    *(typename To::Memory *)(r.ptr[0] + at[0]) = convert<To, From>(*(const typename From::Memory *)(r.ptr[1] + at[1]));
  }
}

CUDA_API int cuda_launch_cast(int to, int from, const Rows *rows, void *stream) {
  int error = -1;
  if (rows->numel == 0) return 0;
  with_type(to, [&](auto to_tag) {
    with_type(from, [&](auto from_tag) {
      typedef decltype(to_tag) To;
      typedef decltype(from_tag) From;
      if (rows->numel <= INT32_MAX)
        CUDA_LAUNCH((cast<To, From, uint32_t>), blocks_for(rows->numel, 1), THREADS, 0, (cudaStream_t)stream, *rows);
      else
        CUDA_LAUNCH((cast<To, From, uint64_t>), blocks_for(rows->numel, 1), THREADS, 0, (cudaStream_t)stream, *rows);
      error = launched();
    });
  });
  return error;
}

template <class M, class Index> __global__ void __launch_bounds__(THREADS) fill(Rows r, M element) {
  EACH_ELEMENT(i, r.numel) {
    int64_t at[ROWS_OPERANDS];
    rows_at<Index>(r, i, at);
    *(M *)(r.ptr[0] + at[0]) = element;
  }
}

template <class M> static int launch_fill(const Rows &r, M element, void *stream) {
  if (r.numel <= INT32_MAX)
    CUDA_LAUNCH((fill<M, uint32_t>), blocks_for(r.numel, 1), THREADS, 0, (cudaStream_t)stream, r, element);
  else
    CUDA_LAUNCH((fill<M, uint64_t>), blocks_for(r.numel, 1), THREADS, 0, (cudaStream_t)stream, r, element);
  return launched();
}

CUDA_API int cuda_launch_fill(int size, uint64_t element, const Rows *rows, void *stream) {
  if (rows->numel == 0) return 0;
  switch (size) {
  case 1: return launch_fill(*rows, (uint8_t)element, stream);
  case 2: return launch_fill(*rows, (uint16_t)element, stream);
  case 4: return launch_fill(*rows, (uint32_t)element, stream);
  case 8: return launch_fill(*rows, element, stream);
  default: return -1;
  }
}
