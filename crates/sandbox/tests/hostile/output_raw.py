# Writes one huge block.
# ends: output
import os
os.write(1, b"x" * (1 << 26))
