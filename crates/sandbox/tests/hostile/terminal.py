# Opens a terminal for a child.
# ends: forbidden process
import pty
pty.spawn(["/bin/sh"])
