"""HTTP/2 over TLS before a sandbox, with a throw-away certificate:  tls_front.py SANDBOX_URL [IDLE_SECONDS]

Hypercorn in front, passing each request on. Prints its address and the certificate to trust as JSON, then serves until
it is ended. The sandbox's own address in answers is replaced by the front's, as an edge server would have it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import trustme
from hypercorn.asyncio import serve
from hypercorn.config import Config

_NOT_PASSED_ON = {b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive"}


class Front:
    def __init__(self, behind: str) -> None:
        self.behind, self.here = behind, ""
        self._client = httpx.AsyncClient(base_url=behind, timeout=None, follow_redirects=False)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _NOT_PASSED_ON]
        answer = await self._client.request(scope["method"], target.decode(), headers=headers, content=body)
        content = answer.content.replace(self.behind.encode(), self.here.encode())
        passed = [(k.lower(), v) for k, v in answer.headers.raw if k.lower() not in _NOT_PASSED_ON]
        passed.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": answer.status_code, "headers": passed})
        await send({"type": "http.response.body", "body": content})


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        chain, key, trusted = (Path(folder) / name for name in ("chain.pem", "key.pem", "trusted.pem"))
        certificate.private_key_pem.write_to_path(key)
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(chain, append=True)
        authority.cert_pem.write_to_path(trusted)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        front = Front(sys.argv[1])
        front.here = f"https://127.0.0.1:{port}"
        config = Config()
        config.bind, config.certfile, config.keyfile = [f"127.0.0.1:{port}"], str(chain), str(key)
        config.alpn_protocols = ["h2", "http/1.1"]
        config.loglevel = "ERROR"
        if len(sys.argv) > 2:
            config.keep_alive_timeout = float(sys.argv[2])
        serving = asyncio.create_task(serve(front, config))  # type: ignore[arg-type]
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        print(json.dumps({"url": front.here, "trusted": trusted.read_text()}), flush=True)
        await serving


asyncio.run(main())
