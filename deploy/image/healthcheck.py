"""Exit status 0 while the process answers. A database that is away is no reason to kill what waits for it."""

import os
import sys
import urllib.request

url = f"http://127.0.0.1:{os.environ.get('PORT') or '8001'}/healthz"
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=4) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    sys.exit(f"{url}: {error}")
