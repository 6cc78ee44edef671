"""Log-probabilities for recorded samples: a model, a file in, the same file with a column out."""
