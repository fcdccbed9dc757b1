"""hyper on the engine, with a runtime and an endpoint for each of two threads, by curl and wrk."""

import async_examples
import stage
from stage import expect

TIME_LIMIT_S = 90


def check():
    stage.need("curl", "wrk", "nstat")
    with stage.Lab() as lab:
        server = lab.example("async-hyper", "2")
        before = lab.linux_counters()
        said = async_examples.curl(lab, f"{async_examples.URL}/some/path")
        expect(said == "hello from hyper, /some/path\n", f"hyper says {said!r}")
        said = async_examples.curl(lab, "-6", f"{async_examples.URL_V6}/six")
        expect(said == "hello from hyper, /six\n", f"over IPv6 hyper says {said!r}")
        stage.expect_linux_unharmed(before, lab.linux_counters())
        async_examples.wrk(lab, "/")
        server.expect_running()


stage.main(check)
