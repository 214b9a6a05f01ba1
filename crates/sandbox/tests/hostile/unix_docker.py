# Speaks to the container service.
# ends: forbidden network
import socket
client = socket.socket(socket.AF_UNIX)
client.connect("/var/run/docker.sock")
