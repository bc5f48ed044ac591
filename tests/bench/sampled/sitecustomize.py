"""Python runs this file at its start when its folder is in PYTHONPATH; ``make profile`` puts it there."""

import os
import sys

import sampler

if "SIPAGENT_PROFILE" in os.environ and "sipagent" in sys.orig_argv:  # not in the callers and the model beside it
    sampler.install(os.environ["SIPAGENT_PROFILE"])
