"""Two results folders compared, and many drawn in the order of time; nothing is trained here."""
