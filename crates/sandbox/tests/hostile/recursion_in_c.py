# Recurses in compiled code until the stack ends.
# ends: killed
nested = ()
for _ in range(10**6 * 2):
    nested = (nested,)
hash(nested)
