# Asks a shell.
# ends: forbidden process
import subprocess
print(subprocess.run("id; cat /etc/passwd", shell=True, capture_output=True).stdout)
