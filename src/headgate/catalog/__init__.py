"""What models can do and what they cost: data with sources, compiled to integers."""
