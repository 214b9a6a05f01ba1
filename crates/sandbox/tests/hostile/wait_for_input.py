# Waits for input that never comes.
# ends: time
import os, select
read, write = os.pipe()
select.select([read], [], [])
