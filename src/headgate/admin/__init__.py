"""The REST API: one file per resource, each a literal tuple of endpoints; routing, OpenAPI and policy come from it."""
