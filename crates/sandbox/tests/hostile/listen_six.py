# Waits for visitors by the newer protocol.
# ends: forbidden network
import socket
socket.create_server(("::", 8000), family=socket.AF_INET6).accept()
