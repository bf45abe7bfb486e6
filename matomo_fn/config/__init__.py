"""What users write: settings, connectors, requests and secrets."""
