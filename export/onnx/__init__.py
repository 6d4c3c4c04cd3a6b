"""The ONNX file: traced from a model's deployed form, held to its declared names and axes, and run as it is."""
