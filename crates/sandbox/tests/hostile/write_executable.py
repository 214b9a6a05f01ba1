# Puts a program beside the interpreter.
# ends: forbidden file
open("/python/bin/mine", "wb").write(b"\x7fELF")
