# Uses several processors at once.
# ends: time
import hashlib, threading
def work():
    while True:
        hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**6)
for _ in range(8):
    threading.Thread(target=work).start()
