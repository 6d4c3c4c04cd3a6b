"""The command line, reports, benchmarks and checks."""
