"""Sentences of sign language into text: tokenizer, objective, run, metrics."""
