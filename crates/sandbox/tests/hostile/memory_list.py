# Doubles a list for ever.
# ends: memory
items = [0]
while True:
    items += items
