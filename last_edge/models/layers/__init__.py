"""Building blocks of the LAST family, one module a file."""
