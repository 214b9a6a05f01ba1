# Prints for ever.
# ends: output
while True:
    print("x" * 1000)
