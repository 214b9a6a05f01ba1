# Takes memory for ever, whatever goes wrong.
# ends: time
blocks = []
while True:
    try:
        blocks.append(bytearray(1 << 16))
    except MemoryError:
        pass
