"""The embedded database: engine, tables, migrations."""
