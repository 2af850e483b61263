"""The README's commands run, as they stand there but for the ports."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lastro.core.testing import free_port

README = Path(__file__).parent.parent / "README.md"
PORTS = ("8000", "8001", "8002")
SECONDS_MAX = 90


@pytest.mark.needs("curl")
def test_the_commands_work() -> None:
    """As a newcomer would paste them: what is started in the background is given the time to answer."""
    (told,) = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    free = {port: str(free_port()) for port in PORTS}
    told = re.sub("|".join(PORTS), lambda port: free[port[0]], told)
    ready = f"until curl --silent --fail localhost:{free['8000']}/readyz; do sleep 0.1; done\n" + "".join(
        f"until curl --silent localhost:{free[port]}; do sleep 0.1; done\n" for port in PORTS[1:]
    )
    charged = f"until curl --silent localhost:{free['8000']}/payments-summary | grep 19.90; do sleep 0.1; done\n"
    told = told.replace("curl -X POST", f"{ready}curl --fail -X POST")
    told = told.replace("lastro payments summary", f"{charged}lastro payments summary")
    with TemporaryDirectory(prefix="lastro-") as folder:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LASTRO_DATA_DIR": folder,
            "LASTRO_HTTP_PORT": free["8000"],
            "PROCESSOR_DEFAULT_URL": f"http://127.0.0.1:{free['8001']}",
            "PROCESSOR_FALLBACK_URL": f"http://127.0.0.1:{free['8002']}",
        }
        command = ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p) && wait || true' EXIT\n{told}"]
        with subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as shell:
            try:
                said, _ = shell.communicate(timeout=SECONDS_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(shell.pid, signal.SIGKILL)
                pytest.fail(shell.communicate()[0])
    assert shell.returncode == 0, said
    assert "19.90" in said, "over HTTP"
    assert "R$ 19,90" in said, "in the terminal"
