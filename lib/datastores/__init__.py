"""Where images live: a port, and one adapter per sort of server or folder."""
