"""The append-only record of who changed what, and who was refused."""
