"""WebSockets, the server's side: the opening handshake, and sessions of whole messages over a connection that has left HTTP."""
