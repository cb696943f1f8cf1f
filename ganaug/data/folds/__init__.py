"""Patient-disjoint folds: schemes, partitions, fixed lists, and the file that holds them."""
