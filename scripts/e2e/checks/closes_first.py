"""A server that closes first, at full rate, for three times two lifetimes of a second: its TIME_WAIT table at the bound, nobody refused."""

import closing
import stage

TIME_LIMIT_S = 90


def check():
    closing.closes_first(msl_s=1)


stage.main(check)
