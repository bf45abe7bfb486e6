"""Tests of matomo_fn.catalogue."""
