"""Weights files of other people, read without running what is in them."""
