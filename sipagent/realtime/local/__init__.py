"""The embedded model: the server side of the Realtime protocol without I/O, and a book of phrases to answer from."""
