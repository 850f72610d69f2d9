"""The page of a report for the browser."""
