"""The preparation of a data set from a source: pixels, copies, stain, and the pipeline of them all."""
