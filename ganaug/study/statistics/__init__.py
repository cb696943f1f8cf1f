"""Inference: metrics of resamples, paired differences, intervals and the verdict."""
