# Fetches a page.
# ends: forbidden network
import urllib.request
print(urllib.request.urlopen("http://example.com").read())
