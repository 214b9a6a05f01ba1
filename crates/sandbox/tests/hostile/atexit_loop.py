# Goes on in its exit handlers.
# ends: time
import atexit
def again():
    while True:
        pass
atexit.register(again)
