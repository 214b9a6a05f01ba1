# Speaks to the kernel's network.
# ends: forbidden network
import socket
print(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
