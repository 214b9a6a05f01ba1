# Leaves a file in /tmp, which is its own folder here.
# ends: wrong_output
open("/tmp/flow-canary-from-a-jail", "w").write("x")
print("written")
