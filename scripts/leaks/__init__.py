"""Leaks that are planted in copies of one trained workspace, by kind."""
