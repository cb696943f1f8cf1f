#define GANAUG_KERNELS avx512_kernels
#define GANAUG_NAME "avx512"
#include "cpu/table.h"
