"""Weights on disk: snapshots with their provenance, what a training begins with, and StyleGAN pickles."""

from ganaug.checkpoint.snapshot import LoadedGenerator, load_generator

__all__ = ["LoadedGenerator", "load_generator"]
