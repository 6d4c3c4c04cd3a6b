"""What one runtime or chip asks: presets of quantisation, TensorRT rules and engines, LiteRT files."""
