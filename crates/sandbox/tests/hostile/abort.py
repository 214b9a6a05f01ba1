# Ends as if it had been struck.
# ends: killed
import os
os.abort()
