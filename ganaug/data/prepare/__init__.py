"""From a source to a prepared data set: pixels, copies, stain, and the pipeline of them all."""
