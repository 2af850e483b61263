"""The cluster's process: prints its addresses; ``down`` and ``up`` on standard input take it off the network and back.

The mock cluster is made by confluent-kafka's own library, called directly: through Python alone its groups wait three
seconds for their first member, and its brokers cannot be taken away.
"""

import ctypes
import sys
from pathlib import Path
from typing import Any

import confluent_kafka

BROKERS = 3
REBALANCE_MS = 50
PRODUCER = 0
REASON_BYTES = 512

POINTER, INT = ctypes.c_void_p, ctypes.c_int


def main() -> None:
    """Until standard input ends."""
    call = _library()
    reason = ctypes.create_string_buffer(REASON_BYTES)
    client = call("new", POINTER, INT, POINTER, ctypes.c_char_p, ctypes.c_size_t)(
        PRODUCER, call("conf_new", POINTER)(), reason, REASON_BYTES
    )
    cluster = call("mock_cluster_new", POINTER, POINTER, INT)(client, BROKERS)
    call("mock_group_initial_rebalance_delay_ms", None, POINTER, ctypes.c_int32)(cluster, REBALANCE_MS)
    print(call("mock_cluster_bootstraps", ctypes.c_char_p, POINTER)(cluster).decode(), flush=True)  # noqa: T201
    for line in sys.stdin:
        act = call(f"mock_broker_set_{line.strip()}", INT, POINTER, ctypes.c_int32)
        for broker in range(1, BROKERS + 1):
            act(cluster, broker)
        print("done", flush=True)  # noqa: T201


def _library() -> Any:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka-*"))))

    def call(name: str, answer: Any, *arguments: Any) -> Any:
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = answer, list(arguments)
        return function

    return call


if __name__ == "__main__":
    main()
