# Takes memory in several threads.
# ends: memory or killed SIGSEGV
import threading
blocks, go = [], threading.Event()
def take():
    go.wait()
    while True:
        blocks.append(bytearray(1 << 20))
threading.excepthook = lambda args: None
for _ in range(4):
    threading.Thread(target=take, daemon=True).start()
go.set()
take()
