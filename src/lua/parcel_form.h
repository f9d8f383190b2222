/* The bytes of a parcel, which lua/parcel.c writes and lua/unparcel.c reads: a tag, then what belongs to it.
 *
 * Tables, functions, classes and generators are numbered in the order in which packing meets them; a second meeting is a
 * reference to the number. Unpacking numbers in the same order. */
#ifndef MT_PARCEL_FORM_H
#define MT_PARCEL_FORM_H
#include "lua/parcel.h"

enum {
  T_NIL,
  T_FALSE,
  T_TRUE,
  T_INTEGER,
  T_FLOAT,
  T_STRING,
  T_REFERENCE,
  T_TABLE,
  T_CLASS,
  T_MODULE,
  T_MEMBER,
  T_FUNCTION,
  T_CFUNCTION,
  T_TENSOR,
  T_GENERATOR,
  T_DTYPE,
  T_DEVICE,
  T_NONE,
  T_SIZE,
  T_MADE
};
enum { PARCEL_REQUIRES_GRAD = 1, PARCEL_PARAMETER = 2 }; /* of a tensor */
#endif
