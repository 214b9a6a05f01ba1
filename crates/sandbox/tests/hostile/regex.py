# Matches a pattern in exponential time.
# ends: time
import re
print(re.match(r"(a+)+$", "a" * 60 + "b"))
