"""What is seen: drawing, overlay, window, video and snapshot."""
