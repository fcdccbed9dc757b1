"""A server that closes first, at full rate, for three times two lifetimes of 30 s: its TIME_WAIT table at the bound, nobody refused."""

import closing
import stage

TIME_LIMIT_S = 600


def check():
    closing.closes_first(msl_s=30)


stage.main(check)
