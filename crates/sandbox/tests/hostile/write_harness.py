# Overwrites the harness.
# ends: forbidden file
open("/jail/run.py", "w").write("print('owned')")
