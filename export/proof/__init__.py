"""Proof of every figure: parity of forms, backends side by side, verification, measuring again."""
