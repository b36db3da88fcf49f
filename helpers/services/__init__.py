"""Models behind a door: `client.py` asks them, `door.py` is a stand-in for such a service on this machine."""
