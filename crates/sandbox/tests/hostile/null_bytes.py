# Is no text.
# ends: exception
exec("a\0b")
