"""The data plane: what happens to one request, in order. Start reading at `handle`."""
