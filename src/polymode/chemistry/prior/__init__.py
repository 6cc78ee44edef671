"""Priors: data, training, and the one that comes with polymode."""
