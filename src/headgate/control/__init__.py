"""The control plane's use cases, one file per resource: they check, write, audit, and publish what changed."""
