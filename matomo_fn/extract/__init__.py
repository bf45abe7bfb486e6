"""From Matomo's answers to the rows of slices."""
