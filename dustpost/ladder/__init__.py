"""The ladder study: dust made to cover more and more of a galaxy."""
