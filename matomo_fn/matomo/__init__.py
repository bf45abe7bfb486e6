"""Everything that speaks to a Matomo."""
