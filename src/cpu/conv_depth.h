/* Convolution of planes by themselves (depthwise): each group has one channel in and one out. */
#ifndef MT_CONV_DEPTH_H
#define MT_CONV_DEPTH_H
#include "cpu/conv.h"

/* Whether what follows serves the problem: one or two dims, with few taps and small strides. */
bool conv_is_depth(const Conv *c, DType lane);
/* On packed elements of dtype `lane`: y from (x, w), or x from (y, w) if up; bias has a value for each channel, or is NULL. */
void conv_depth(const Conv *c, DType lane, const char *source, const char *w, bool up, const char *bias, char *out);
/* w from (x, y). False when memory runs out. */
bool conv_depth_weight(const Conv *c, DType lane, const char *x, const char *y, char *w);
#endif
