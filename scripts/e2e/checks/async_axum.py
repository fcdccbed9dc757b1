"""An axum application on the engine, by curl and wrk; Ctrl-C lets it finish."""

import async_examples
import stage
from stage import expect

TIME_LIMIT_S = 90


def check():
    stage.need("curl", "wrk", "nstat")
    with stage.Lab() as lab:
        server = lab.example("async-axum")
        before = lab.linux_counters()
        url = async_examples.URL
        expect(async_examples.curl(lab, f"{url}/") == "hello from axum\n", "the greeting")
        expect(async_examples.curl(lab, "-d", "a=1&b=2", f"{url}/echo") == "a=1&b=2", "the echo of a form")
        expect(async_examples.curl(lab, "-6", "-d", "six", f"{async_examples.URL_V6}/echo") == "six", "the echo over IPv6")
        # Larger than any window between the two, over one connection that is kept.
        sizes = async_examples.curl(
            lab, "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} %{size_download}\n", f"{url}/bytes/20000000", f"{url}/bytes/1"
        )
        expect(sizes.split() == ["1", "20000000", "0", "1"], f"bodies: {sizes.split()}")
        stage.expect_linux_unharmed(before, lab.linux_counters())
        async_examples.wrk(lab, "/")
        expect(async_examples.curl(lab, f"{url}/") == "hello from axum\n", "the greeting after wrk")
        async_examples.interrupt(server)


stage.main(check)
