# Connects to a server.
# ends: forbidden network
import socket
socket.create_connection(("1.1.1.1", 80), 1)
