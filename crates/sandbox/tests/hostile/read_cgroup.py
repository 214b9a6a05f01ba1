# Reads /sys/fs/cgroup/cgroup.procs.
# ends: forbidden file
print(open("/sys/fs/cgroup/cgroup.procs", "rb").read())
