/* Scans on a device: what scan.c asks of scan.cu. */
#ifndef MT_CUDA_SCAN_H
#define MT_CUDA_SCAN_H
#include "cuda/rows.h"

typedef enum {
  PASS_SUM,
  PASS_PRODUCT,
  PASS_BEFORE,   /* the product of all before */
  PASS_AFTER,    /* out times the product of all before */
  PASS_GRADIENT, /* from the end: out times the sum of what later elements give, see scan.cu */
  PASS_LOG_SUM,
  PASS_MOST, /* running extremes and their places from 1 */
  PASS_LEAST
} ScanPass;

enum { SCAN_THREADS = 256, SCAN_ITEMS = 4 };

/* Packed tensors of float32, float64 or int64, seen as outer x length x inner; lines run along length, from the end when
 * `reverse`. A line is cut into `chunks` of `chunk` elements. group: threads that share a chunk, 32 or SCAN_THREADS, whose
 * elements follow each other; 1: a thread for each. */
typedef struct ScanRun {
  const void *x, *g;
  void *out;
  int64_t *index;
  int64_t outer, length, inner;
  int64_t chunk, chunks;
  bool reverse, totals; /* totals: set by cuda_launch_scan */
  int group;
  void *carry; /* 16 bytes for each chunk of each line, when there are several */
} ScanRun;
CUDA_API int cuda_launch_scan(ScanPass pass, int dtype, const ScanRun *run, void *stream);
#endif
