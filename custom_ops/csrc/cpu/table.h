// The kernels of one instruction set; each kernels_*.cpp includes this once, under its own compiler flags.
#pragma once
#include "bias_act.h"
#include "conv3x3.h"
#include "kernels.h"
#include "upfirdn2d.h"

namespace ganaug {

extern const Kernels GANAUG_KERNELS = {
    GANAUG_NAME,     bias_act,     bias_act_slope, bias_act_adjoint,  upfirdn2d, upfirdn2d_scratch, conv3x3_weights,
    conv3x3_weights_adjoint, conv3x3_strips, conv3x3_join, conv3x3_spread, conv3x3_correlate};

}  // namespace ganaug
