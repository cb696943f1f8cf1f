"""Weights on disk: snapshots with their provenance, initial weights of a training, and StyleGAN pickles."""

from ganaug.checkpoint.snapshot import LoadedGenerator, load_generator

__all__ = ["LoadedGenerator", "load_generator"]
