#define GANAUG_KERNELS avx2_kernels
#define GANAUG_NAME "avx2"
#include "cpu/table.h"
