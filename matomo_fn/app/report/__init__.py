"""The report of a connector: one HTML page that needs nothing but a browser."""
