"""Datasets: one reader a file, the table of readers, preparation of clip stores and their inspection."""
