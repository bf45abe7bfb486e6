"""Tests of matomo_fn.sync."""
