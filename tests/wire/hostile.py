"""What a hostile body costs a process: run in one of its own, so that nothing else counts."""

import subprocess
import sys
from pathlib import Path

from msgspec import Struct, json

# The body comes from a file: building it would raise the peak that is measured. VmHWM rather than ru_maxrss, which
# starts at the peak of the process that spawned this one.
_SCRIPT = """
import resource, sys, time
from pathlib import Path
from headgate.domain.errors import InvalidRequestError
from headgate.wire import WIRE_FORMATS
from headgate.wire.format import UpstreamBody

def peak():
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20

form, body = WIRE_FORMATS[sys.argv[1]], Path(sys.argv[2]).read_bytes()
base, start, outcome = peak(), time.process_time(), "accepted"
try:
    envelope = form.parse_envelope(body)
except InvalidRequestError as error:
    outcome = error.message
parsing = peak() - base
if outcome == "accepted":
    assert len(form.render_upstream(envelope, UpstreamBody("m"))) <= len(body)
seconds = time.process_time() - start
import msgspec
print(msgspec.json.encode([outcome, parsing, peak() - base - (len(body) >> 20), seconds]).decode())
"""


class Cost(Struct, array_like=True):
    """What one body cost."""

    outcome: str
    """``accepted``, or the words of the refusal."""
    parsing_mib: int
    """By how much the peak of memory rose, the body itself apart."""
    sending_mib: int
    """The same after rendering, the copy that is sent apart."""
    seconds: float


def cost_of(form: str, body: bytes, folder: Path) -> Cost:
    """Parse a body, and render it where it is accepted, in a process of its own."""
    path = folder / "body.json"
    path.write_bytes(body)
    command = [sys.executable, "-c", _SCRIPT, form, str(path)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    path.unlink()
    return json.decode(done.stdout, type=Cost)
