"""May it be paid for: budgets and rate limits that concurrent requests cannot exceed."""
