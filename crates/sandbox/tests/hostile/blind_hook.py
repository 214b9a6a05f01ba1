# Replaces what a hook could be made of, then connects.
# ends: forbidden network
import builtins, os, socket, sys
os.write = os.fsdecode = os.getcwd = lambda *_: b""
builtins.any = builtins.isinstance = lambda *_: False
sys._getframe = None
socket.socket()
