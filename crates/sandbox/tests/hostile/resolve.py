# Tells a secret to a name server.
# ends: forbidden network
import socket
print(socket.getaddrinfo("secret.example.com", 80))
