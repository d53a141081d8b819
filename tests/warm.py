"""What the server of `tests.sessions` imports and computes once, so that the processes forked from it need not."""

import altair  # noqa: F401
import sklearn.linear_model  # noqa: F401
import torch._dynamo  # noqa: F401
import vl_convert  # noqa: F401

from tanas.ground.seeds import Seed
from tanas.spaces.named import named_space

SHAPE = (1, 12, 12)  # of `tests.conftest.bars`

for classes in (2, 3):
    named_space("standard", shape=SHAPE).sample(1, seed=Seed(), shape=SHAPE, classes=classes)
