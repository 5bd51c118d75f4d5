"""Galaxies by the million: batches on Dask, a store that outlives bad days, one table."""
