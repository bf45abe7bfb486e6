"""Tests of matomo_fn.extract."""
