# Unpacks a little into a lot.
# ends: memory
import zlib
packer = zlib.compressobj(1)
packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
print(len(zlib.decompress(packed)))
