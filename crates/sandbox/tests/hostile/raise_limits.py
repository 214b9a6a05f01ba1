# Raises its limits and then takes memory.
# ends: forbidden limits
import resource
for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC):
    try:
        resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        pass
blocks = []
while True:
    blocks.append(bytearray(1 << 20))
