"""How the numbers of a fit hang on the priors of F and delta."""
