# Catches the signal that tells it to end.
# ends: time
import signal
signal.signal(signal.SIGXCPU, lambda *_: None)
while True:
    pass
