"""Traces of a server, as OpenTelemetry's own messages read them.

`traces.py BOATHOUSE LAKE` starts a receiver of OTLP and a server that sends to it, prints a line per check and ends with 1 when
one of them failed.
"""

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import traceback

import adbc_driver_flightsql.dbapi as dbapi
import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

BOATHOUSE, LAKE = sys.argv[1:]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self):
        self.requests = []

    def Export(self, request, context):
        self.requests.append((request, dict(context.invocation_metadata())))
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self):
        return [span for request, _ in self.requests for resource in request.resource_spans
                for scope in resource.scope_spans for span in scope.spans]


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def serve(endpoint):
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b",
                   "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=check", "BOATHOUSE_LOG": "boathouse::query=info"}
    command = [BOATHOUSE, "serve", LAKE, "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return server, re.match(r"listening on (\S+)", server.stdout.readline()).group(1)


def run(url):
    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE traced AS SELECT 1 AS a")
        cursor.execute("SELECT a FROM traced")
        assert cursor.fetchall() == [(1,)]
        name = "adbc.flight.sql.rpc.call_header.traceparent"
        cursor.adbc_statement.set_options(**{name: f"00-{TRACE}-{PARENT}-01"})
        cursor.execute("SELECT 2 AS within_a_trace")
        cursor.fetchall()


def check(receiver, log):
    spans = receiver.spans()
    assert spans and all(len(span.trace_id) == 16 and len(span.span_id) == 8 for span in spans)
    assert all(span.flags & 1 and span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    calls = [span for span in spans if span.kind == trace_pb2.Span.SPAN_KIND_SERVER]
    got = [span for span in calls if span.name.endswith("FlightService/DoGet")]
    selected = [span for span in got if attributes(span.attributes).get("db.query.text") == "SELECT a FROM traced"]
    assert len(selected) == 1, calls
    said = attributes(selected[0].attributes)
    assert (said["db.system.name"], said["db.operation.name"], said["boathouse.rows"]) == ("boathouse", "SELECT", 1)
    assert said["boathouse.query_id"].replace("-", "") == selected[0].trace_id.hex()
    lines = [line for line in log.splitlines() if "SELECT a FROM traced" in line]
    assert len(lines) == 1 and f'trace_id="{selected[0].trace_id.hex()}"' in lines[0], log
    parts = {span.name for span in spans if span.parent_span_id == selected[0].span_id}
    assert {"queued", "planning", "executing", "fetching"} == parts, parts
    within = [span for span in calls if span.trace_id.hex() == TRACE]
    assert within and all(span.parent_span_id.hex() == PARENT for span in within)
    for request, headers in receiver.requests:
        assert headers["x-tenant"] == "a b"
        for resource in request.resource_spans:
            process = attributes(resource.resource.attributes)
            assert (process["service.name"], process["deployment.environment.name"]) == ("boathouse", "check")


def main():
    receiver = Receiver()
    collector = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, collector)
    port = collector.add_insecure_port("127.0.0.1:0")
    collector.start()
    server, url = serve(f"http://127.0.0.1:{port}")
    try:
        run(url)
        # What is there goes out at the end.
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=60)
        assert server.returncode == 0
        check(receiver, log)
    except Exception:
        print("FAILED  traces")
        traceback.print_exc(file=sys.stdout)
        return 1
    finally:
        server.kill()
        collector.stop(None)
    print("ok      traces are read as OpenTelemetry writes them")
    return 0


sys.exit(main())
