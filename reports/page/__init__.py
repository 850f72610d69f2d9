"""The page of a report for the browser.

It knows tables, and writes one file.
"""
