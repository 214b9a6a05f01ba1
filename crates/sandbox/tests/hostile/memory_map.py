# Maps more memory than there is.
# ends: memory
import mmap
print(len(mmap.mmap(-1, 1 << 40)))
