"""The tests mirror the package; what they stand on is in tests/support."""
