"""What a set of draws is worth: convergence, fit, calibration, degeneracy."""
