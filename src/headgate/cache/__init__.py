"""Was it answered before: answers that are kept and given again, within a tenant by construction."""
