"""Two runs compared number by number, and many runs drawn in the order of time.

Works on tidy frames of records, and knows no files.
"""
