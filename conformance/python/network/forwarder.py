"""A TCP forwarder in this process, which can lose a broker's answers."""

import select
import socket
import threading


class Forwarder:
    """Listens on a free port and joins each connection to `target`, a `host:port`."""

    def __init__(self, target=None, host="127.0.0.1"):
        self.target = target
        self.listener = socket.create_server((host, 0))
        self.address = f"{host}:{self.listener.getsockname()[1]}"
        self.lose_answers = threading.Event()
        self.answers_lost = 0
        self.connections = 0
        self.is_closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.is_closed = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while not self.is_closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client):
        host, port = self.target.rsplit(":", 1)
        with client, socket.create_connection((host, int(port))) as broker:
            while not self.is_closed:
                for ready in select.select([client, broker], [], [], 0.2)[0]:
                    try:
                        data = ready.recv(65536)
                    except OSError:
                        return
                    if not data:
                        return
                    if ready is broker and self.lose_answers.is_set():
                        # The broker has done it; the client will never hear so.
                        self.answers_lost += 1
                        return
                    (broker if ready is client else client).sendall(data)
