"""Running a suite: one cell step by step, and how cells spread over processes and machines."""
