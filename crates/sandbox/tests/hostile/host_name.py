# Renames the host.
# ends: forbidden system call
import socket
socket.sethostname("owned")
