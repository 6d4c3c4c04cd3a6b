"""Edge form and ONNX file: folding, graph building, declared names, and running a file as it is."""
