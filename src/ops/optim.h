/* Optimisers, for what steps many parameters. */
#ifndef MT_OPS_OPTIM_H
#define MT_OPS_OPTIM_H
#include <stdbool.h>

/* From true to false steps of this thread that lie on a device may wait for one another and be launched at once; nothing
 * else that the thread does there comes before them. *there: is there a device besides the host? False after a failure, of
 * the second call when they could not be launched. */
bool optim_gather(bool begin, bool *there);
#endif
