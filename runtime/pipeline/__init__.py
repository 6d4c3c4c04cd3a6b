"""One pass over a source: stages on threads, the session that owns them, timings and summary."""
