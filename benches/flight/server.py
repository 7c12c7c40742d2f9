"""pyarrow's Flight server, which sends the Arrow files of a folder from memory and throws away what it is sent."""

import pathlib
import sys

import pyarrow as pa
import pyarrow.flight as flight


class Server(flight.FlightServerBase):
    def __init__(self, folder):
        super().__init__("grpc://127.0.0.1:0")
        self.tables = {path.stem: pa.ipc.open_file(path).read_all() for path in pathlib.Path(folder).glob("*.arrow")}

    def do_get(self, context, ticket):
        return flight.RecordBatchStream(self.tables[ticket.ticket.decode()])

    def do_put(self, context, descriptor, reader, writer):
        for _ in reader:
            pass


server = Server(sys.argv[1])
print(f"port {server.port}", flush=True)
server.serve()
