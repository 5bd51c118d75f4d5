"""Files in and out: the only part that knows FITS, WCS, units and strings."""
