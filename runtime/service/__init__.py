"""`run` without a screen: as a service of systemd, which starts it again and watches it."""
