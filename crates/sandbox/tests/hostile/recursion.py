# Recurses without end.
# ends: exception
def down(n):
    return down(n + 1)
down(0)
