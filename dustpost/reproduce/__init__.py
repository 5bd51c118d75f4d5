"""The paper's figures, with error bars: galaxies whose truth is known, fitted and scored."""
