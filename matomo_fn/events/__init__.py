"""Segment's calls into Matomo: collected, queued, mapped to hits, and delivered once each."""
