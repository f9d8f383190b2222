/* The stand-in for opening NVIDIA's libraries: their names lead to the plain loops beside this file. STANDIN_MISSING names
 * one that is not there, such as libcudnn. */
#ifndef STANDIN_DLFCN_H
#define STANDIN_DLFCN_H
#include_next <dlfcn.h>

#ifdef __cplusplus
extern "C" {
#endif
void *standin_open(const char *path, int mode);
void *standin_symbol(void *library, const char *name);
const char *standin_open_error(void);
#ifdef __cplusplus
}
#endif
#define dlopen standin_open
#define dlsym standin_symbol
#define dlerror standin_open_error
#endif
