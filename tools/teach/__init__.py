"""From takes of one's own gestures to a bundle that runs: `last-edge teach` and `last_edge.Teacher`."""
