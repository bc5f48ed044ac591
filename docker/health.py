#!/opt/sipagent/bin/python
"""Ask the control port whether sipagent is alive; exit status 0 says yes."""

import os
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

url = urlsplit(os.environ.get("SIPAGENT_HEALTH_URL", "http://127.0.0.1:8080/health"))
connection = HTTPConnection(url.netloc, timeout=3)
try:
    connection.request("GET", url.path)
    response = connection.getresponse()
    body = response.read(1000).decode(errors="replace")
except (OSError, HTTPException) as error:
    sys.exit(f"{url.geturl()}: {error}")
sys.exit(0 if response.status == 200 else f"{url.geturl()}: {response.status} {body}")
