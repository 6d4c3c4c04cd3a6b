"""The browser runtime: a page that recognises gestures on its own, and what serves or exports it."""
