"""Linux leaves its checksums to absent hardware, as it does by default on veth: the engine has to take them, and say so."""

import services
import stage


def check():
    stage.need("curl", "nc", "nstat")
    with stage.Lab("--partial-checksums") as lab:
        server = lab.serve(*services.ALL, workers=1)
        before = lab.linux_counters()
        services.curl(lab)
        services.nc(lab)
        for host in (stage.ENGINE_V4, stage.ENGINE_V6):
            stage.echo_through_half_close(lab.connect(host, 7), 4 << 20, seed=3)
        stage.expect_linux_unharmed(before, lab.linux_counters())
        stage.drain(server)


stage.main(check)
