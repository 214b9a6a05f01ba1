# Makes a device file of the host's disk.
# ends: forbidden system call
import os, stat
os.mknod("disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0))
