"""What `make docs` adds to the pages in docs/: reference made from the code, figures, examples."""
