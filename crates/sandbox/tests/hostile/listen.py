# Waits for visitors.
# ends: forbidden network
import socket
server = socket.create_server(("0.0.0.0", 8000))
server.accept()
