"""Matomo's reports in BigQuery: complete, typed, and safe to run again."""

__version__ = "0.1.0"
