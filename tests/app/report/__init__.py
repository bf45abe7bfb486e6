"""The report page: its facts, its answers over HTTP, and itself in a browser."""
