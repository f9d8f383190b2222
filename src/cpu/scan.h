/* Scans of packed float32 rows, by instruction set; NULL where vectors of doubles are too short to pay. */
#ifndef MT_SCAN_H
#define MT_SCAN_H
#include "cpu/isa.h"
#include <stddef.h>
#include <stdint.h>

typedef void (*ScanRow)(const void *x, void *out, int64_t n);
typedef struct {
  ScanRow sum, product;
} ScanTable;
VEC_TABLE(ScanTable, scan_table);
#endif
