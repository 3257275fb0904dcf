"""The rules of the business, one noun a file: plain functions that take a session, an `Access` and values."""
