"""Files shipped with the package: weights, their card, a demo cutout."""
