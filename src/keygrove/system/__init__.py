"""The real world behind the ports: clock, SQLite, sockets, HTTP server."""
