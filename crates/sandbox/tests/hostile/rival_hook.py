# Adds a hook that fails, to silence others.
# ends: forbidden file
import sys
def silence(event, args):
    if event == "open":
        raise RuntimeError("silence")
sys.addaudithook(silence)
print(open("/etc/passwd").read())
