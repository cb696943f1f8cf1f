"""The ways in which the cells of a study are run."""
