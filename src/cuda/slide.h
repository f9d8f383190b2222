/* Sliding blocks on a device: what slide.c asks of slide.cu. */
#ifndef MT_CUDA_SLIDE_H
#define MT_CUDA_SLIDE_H
#include "cuda/rows.h"

/* Packed planes of an image and the columns of their blocks: plane, kernel element, step. All pairs are height first. */
typedef struct SlideRun {
  const void *from;
  void *to;
  int64_t planes;
  int64_t kernel[2], dilation[2], pad[2], stride[2], size[2], steps[2];
} SlideRun;
/* Columns of an image, for any dtype; an image from columns, whose sums run in the kernel's order, for floats and bool.
 * 0, a CUDA error, or -1 for other dtypes. */
CUDA_API int cuda_launch_im2col(int dtype, const SlideRun *run, void *stream);
CUDA_API int cuda_launch_col2im(int dtype, const SlideRun *run, void *stream);
#endif
