/* Optimiser steps in each instruction set. */
#include "cpu/optim.h"
#include "cpu/vmath.h"
#include <stddef.h>
#define OPTIM_LOOP static inline __attribute__((always_inline))
#define OPTIM_STEP static
#include "cpu/optim_steps.h"

OPTIM_STEPS(float, f32, FMA32)
OPTIM_STEPS(double, f64, FMA64)

const OptimTable VEC(optim_table) = {{[STEP_SGD] = {sgd_f32, sgd_f64},
                                      [STEP_ADAM] = {adam_f32, adam_f64},
                                      [STEP_RMS] = {rms_f32, rms_f64},
                                      [STEP_DELTA] = {delta_f32, delta_f64},
                                      [STEP_ADAMAX] = {adamax_f32, adamax_f64},
                                      [STEP_NADAM] = {nadam_f32, nadam_f64},
                                      [STEP_RADAM] = {radam_f32, radam_f64},
                                      [STEP_AVERAGE] = {average_f32, average_f64},
                                      [STEP_SIGN] = {sign_f32, sign_f64}}};
