"""What a container's health check runs: 0 if the service in this container answers /livez, 1 if not."""

import os
import socket
import ssl
import sys

SECONDS = 2.0


def main() -> int:
    """Ask, over whatever the environment has it listen on."""
    path = os.environ.get("LASTRO_HTTP_SOCKET")
    port = int(os.environ.get("LASTRO_HTTP_PORT", "8000"))
    try:
        with _connected(path, port) as line:
            line.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return 0 if line.recv(64).startswith(b"HTTP/1.1 200") else 1
    except OSError:
        return 1


def _connected(path: str | None, port: int) -> socket.socket:
    if path:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(SECONDS)
        line.connect(path)
        return line
    line = socket.create_connection(("127.0.0.1", port), SECONDS)
    if not os.environ.get("LASTRO_TLS_CERTIFICATE"):
        return line
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # whether it answers is the question, not who it is
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    return anyone.wrap_socket(line)


if __name__ == "__main__":
    sys.exit(main())
