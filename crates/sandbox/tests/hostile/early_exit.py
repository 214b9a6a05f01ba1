# Ends before its test, as if all were well.
# ends: wrong_output
import os
os._exit(0)
