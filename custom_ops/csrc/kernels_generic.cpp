#define GANAUG_KERNELS generic_kernels
#define GANAUG_NAME "generic"
#include "cpu/table.h"
