# Listens to the wire.
# ends: forbidden network
import socket
print(socket.socket(socket.AF_PACKET, socket.SOCK_RAW).recv(100))
