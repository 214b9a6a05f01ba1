# Connects and hides that it cannot.
# ends: forbidden network
import socket
try:
    socket.create_connection(("127.0.0.1", 22), 1)
except BaseException:
    print("nothing happened")
