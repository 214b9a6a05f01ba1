# Becomes a fresh interpreter, without the hook, and connects.
# ends: forbidden process
import os
code = "import socket; socket.create_connection(('127.0.0.1', 22)); print('open')"
os.execv("/python/bin/python3", ["python3", "-S", "-c", code])
