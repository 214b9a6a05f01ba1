# Sleeps, which takes no processor.
# ends: time
import time
time.sleep(1000)
