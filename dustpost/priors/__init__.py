"""Priors on the host, the dust given the host, the spectrum and the slope.

They know networks and distributions, never the forward model.
"""
