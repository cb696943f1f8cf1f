"""Classifiers of a fold, kept with their provenance."""
