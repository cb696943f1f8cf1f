"""Classifiers of histology images: models by name, fit, predict and scores; nothing of data files, folds or GANs."""
