"""What a client reads when Envoy itself answers and the gate cannot: our reasons, our texts, nothing of Envoy's.

When that happens is listed in native/gate/ENVOY_FACTS.md, c. Left alone, Envoy would name certificates and addresses in
grpc-message. Four cases, in this order:

    overload (flag OM), before any filter    OVERLOADED       not called
    the client's deadline                    DEADLINE         maybe called
    a body that takes too long               OVERLOADED       not called
    everything else from 400 on              PROVIDER_LOST    maybe called: the only word that is never too strong

The HTTP status is only how Envoy is told a gRPC code (503 is UNAVAILABLE, 500 is UNKNOWN). The gate's own refusals are
200 and pass by.
"""

import base64

from bus.edge.envoy_json import Json
from bus.exchange.meanings import encode_refusal, meaning
from bus.exchange.reasons import Reason

__all__ = ["local_replies"]


def local_replies() -> Json:
    """The LocalReplyConfig."""
    overload: Json = {"response_flag_filter": {"flags": ["OM"]}}
    return {
        "mappers": [
            _mapper(overload, 503, Reason.OVERLOADED),
            _mapper(_status("EQ", 504), 504, Reason.DEADLINE),
            _mapper(_status("EQ", 408), 503, Reason.OVERLOADED),
            _mapper(_status("GE", 400), 500, Reason.PROVIDER_LOST),
        ]
    }


def _status(operator: str, status: int) -> Json:
    value = {"default_value": status, "runtime_key": "govbus.none"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _mapper(condition: Json, status: int, reason: Reason) -> Json:
    details = base64.b64encode(encode_refusal(reason, {})).rstrip(b"=").decode("ascii")
    return {
        "filter": condition,
        "status_code": status,
        # Envoy reads % as a command; no text of ours has one (a test says so).
        "body_format_override": {"text_format_source": {"inline_string": meaning(reason).text}},
        "headers_to_add": [
            {
                "header": {"key": "grpc-status-details-bin", "value": details},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }
