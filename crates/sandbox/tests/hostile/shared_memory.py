# Leaves shared memory behind.
# ends: exception
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(name="flow_canary", create=True, size=1 << 20)
print(block.name)
